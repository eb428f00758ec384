"""Ingest images of real lenses, and what is published of them."""

import functools

from lensmill.cutouts import shards
from lensmill.cutouts.ingest import ingest as ingest_images
from lensmill.cutouts.ingest import list_files
from lensmill.cutouts.shards import index as index_shards
from lensmill.cutouts.shards import plan
from lensmill.experiments.lens_parameters.parameters import TRUTH

__all__ = ["index_shards", "ingest", "ingest_shard", "list_files", "merge_shards", "plan"]

# columns of a user's table that are known of a lens: `theta_e`, `q`, `phi`, `slope`, ...
ingest = functools.partial(ingest_images, columns=TRUTH)
ingest_shard = functools.partial(shards.ingest, columns=TRUTH)
merge_shards = functools.partial(shards.merge, columns=TRUTH)
