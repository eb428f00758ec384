#!/usr/bin/env bash
# snakemake 9.27.1: a parameter whose function takes `input` is never compared with that of the last run.
#
# Expected: with the rerun trigger "params" (on by default), a job runs again when the value of one of
# its `params` changes, whatever the arguments of the function that gives it.
# Seen: so it is for a function of wildcards; a function of wildcards and input counts as derived from the
# input and is left out of the comparison. A value that changes while the input file does not (the state of
# files that the input lists, say) reruns nothing: "Nothing to be done".
#
# Output seen:
#   function of wildcards:           runs again
#   function of wildcards and input: Nothing to be done
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check snakemake==9.27.1
cd "$folder"

cat >Snakefile <<'END'
from pathlib import Path


def state_by_wildcards(wildcards):
    return Path("state").read_text()


def state_by_input(wildcards, input):
    return Path("state").read_text()


rule by_wildcards:
    input: "listed"
    output: "by_wildcards.txt"
    params: state=state_by_wildcards
    shell: "echo {params.state} > {output}"


rule by_input:
    input: "listed"
    output: "by_input.txt"
    params: state=state_by_input
    shell: "echo {params.state} > {output}"
END
echo "state" >listed
echo one >state
venv/bin/snakemake --cores 1 --quiet all -- by_wildcards.txt by_input.txt
echo two >state

said() { # what a dry run says of a file
  venv/bin/snakemake --dry-run "$1" >log 2>&1
  if grep -q "Params have changed" log; then echo "runs again"; else grep -o "^Nothing to be done" log; fi
}
wildcards=$(said by_wildcards.txt)
input=$(said by_input.txt)
echo "function of wildcards:           $wildcards"
echo "function of wildcards and input: $input"
[ "$wildcards" = "runs again" ] && [ "$input" = "Nothing to be done" ]
