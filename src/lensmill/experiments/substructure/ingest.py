"""Ingest images of real lenses: nothing is known of their substructure."""

from lensmill.cutouts.ingest import ingest, list_files

__all__ = ["ingest", "list_files"]
