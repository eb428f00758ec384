"""Ingest images of real lenses, and what is published of them."""

import functools

from lensmill.cutouts.ingest import ingest as ingest_images
from lensmill.cutouts.ingest import list_files
from lensmill.experiments.lens_parameters.parameters import TRUTH

__all__ = ["ingest", "list_files"]

# columns of a user's table that are known of a lens: `theta_e`, `q`, `phi`, `slope`, ...
ingest = functools.partial(ingest_images, columns=TRUTH)
