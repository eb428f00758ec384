"""Ingest images of surveys: what `lensmill.cutouts` reads is what this experiment takes."""

from lensmill.cutouts.ingest import ingest, list_files
from lensmill.cutouts.shards import index as index_shards
from lensmill.cutouts.shards import ingest as ingest_shard
from lensmill.cutouts.shards import merge as merge_shards
from lensmill.cutouts.shards import plan

__all__ = ["index_shards", "ingest", "ingest_shard", "list_files", "merge_shards", "plan"]
