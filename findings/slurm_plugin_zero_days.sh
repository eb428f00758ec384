#!/usr/bin/env bash
# snakemake-executor-plugin-slurm 2.6.0 reads the limit "0-12" of a partition file (days-hours, as
# SLURM writes half a day) as 12 minutes: with no days, what follows the dash is taken for minutes.
# A partition of 12 hours is so never chosen for a job of more than 12 minutes; the job goes, without
# a word, to another partition. "1-12" is read as it is meant.
#
# Output seen:
#   max_runtime "1-12" -> 2160 minutes
#   max_runtime "0-12" -> 12 minutes
#   a job of 30 minutes goes to: week
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$(command -v python3.11 || command -v python3)" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1 snakemake-executor-plugin-slurm==2.6.0

cat > partitions.yaml <<'END'
partitions:
  half_day:
    max_runtime: "0-12"
    max_mem_mb: 4000
  week:
    max_runtime: "7-00"
    max_mem_mb: 64000
END
cat > look.py <<'END'
import logging
from pathlib import Path

from snakemake_executor_plugin_slurm.partitions import PartitionLimits
from snakemake_executor_plugin_slurm.partitions import get_best_partition, read_partition_file


class Job:
    name, threads, resources = "job", 1, {"mem_mb": 2000, "runtime": 30}


one, zero = (PartitionLimits(max_runtime=text).max_runtime for text in ("1-12", "0-12"))
print(f'max_runtime "1-12" -> {one} minutes')
print(f'max_runtime "0-12" -> {zero} minutes')
partitions = read_partition_file(Path("partitions.yaml"))
chosen = get_best_partition(partitions, Job(), logging.getLogger("quiet"))
print(f"a job of 30 minutes goes to: {chosen}")
raise SystemExit((one, zero, chosen) != (2160, 12, "week"))
END
venv/bin/python look.py
