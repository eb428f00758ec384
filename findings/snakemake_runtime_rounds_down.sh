#!/usr/bin/env bash
# Snakemake 9.27.1 turns `runtime: "119s"` into 1 minute: it rounds a time down to whole minutes (never
# below 1), while it rounds memory up to whole megabytes. As a limit of SLURM, that minute ends a job
# which was given two.
#
# Output seen:
#   runtime "119s" -> 1 minutes
#   mem "1000001 bytes" -> 2 MB
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$(command -v python3.11 || command -v python3)" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1

cat > Snakefile <<'END'
rule step:
    output: "made"
    resources: runtime="119s", mem="1000001 bytes"
    params:
        minutes=lambda wildcards, resources: resources.runtime,
        memory=lambda wildcards, resources: resources.mem_mb
    shell: "echo {params.minutes} {params.memory} > {output}"
END
venv/bin/snakemake --cores 1 --quiet all
read -r minutes memory < made
echo "runtime \"119s\" -> $minutes minutes"
echo "mem \"1000001 bytes\" -> $memory MB"
[ "$minutes" = 1 ] && [ "$memory" = 2 ]
