"""Ingest images of surveys: what `lensmill.cutouts` reads is what this experiment takes."""

from lensmill.cutouts.ingest import ingest, list_files

__all__ = ["ingest", "list_files"]
