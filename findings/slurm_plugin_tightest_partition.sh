#!/usr/bin/env bash
# snakemake-executor-plugin-slurm 2.6.0 chooses, from a partition file, the partition with the largest
# sum of (asked for / allowed). Two things follow that a list of limits does not suggest: a job that
# asks for no GPU goes to the GPU partition if its limits are the tightest, and a partition without
# limits sums up to 0 and is never chosen, not even for a job that fits nowhere else.
#
# Output seen:
#   1000 MB, 30 minutes, no GPU -> gpu
#   1000 MB, 5000 minutes -> None
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$(command -v python3.11 || command -v python3)" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1 snakemake-executor-plugin-slurm==2.6.0

cat > partitions.yaml <<'END'
partitions:
  main:
    max_runtime: 1440
    max_mem_mb: 128000
  gpu:
    max_runtime: 600
    max_mem_mb: 64000
    max_gpu: 4
  unlimited: {}
END
cat > look.py <<'END'
import logging
from pathlib import Path

from snakemake_executor_plugin_slurm.partitions import get_best_partition, read_partition_file


class Job:
    name, threads = "job", 1

    def __init__(self, **resources):
        self.resources = resources


partitions = read_partition_file(Path("partitions.yaml"))
quiet = logging.Logger("quiet", logging.CRITICAL)
short = get_best_partition(partitions, Job(mem_mb=1000, runtime=30), quiet)
long = get_best_partition(partitions, Job(mem_mb=1000, runtime=5000), quiet)
print(f"1000 MB, 30 minutes, no GPU -> {short}")
print(f"1000 MB, 5000 minutes -> {long}")
raise SystemExit((short, long) != ("gpu", None))
END
venv/bin/python look.py
