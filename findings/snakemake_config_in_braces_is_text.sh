#!/usr/bin/env bash
# Snakemake 9.27.1: `--config depth=3` gives a number, but a mapping or a list on the command line,
# `--config 'nested={depth: 3}'`, is read so that every value in it is text ('3'), and `true` and `null`
# are text too. The same words in a --configfile are numbers. Arithmetic on such a setting fails, or, for
# `'3' * 2`, gives '33'.
#
# Seen (`--config depth=3`, then depth and flag of `nested`):
#   in braces: 3 str str
#   in a file: 3 int bool
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$(command -v python3.11 || command -v python3)" -m venv venv
venv/bin/pip install -q snakemake==9.27.1
cat > Snakefile <<'RULES'
nested = config["nested"]
with open(config["out"], "w") as said:
    print(repr(config["depth"]), type(nested["depth"]).__name__, type(nested["flag"]).__name__, file=said)
rule all:
RULES
echo 'nested: {depth: 3, flag: true}' > nested.yaml
run() { venv/bin/snakemake -n -q --cores 1 "$@" > log 2>&1 || { cat log; exit 1; }; }
run --config depth=3 'nested={depth: 3, flag: true}' out=braces
run --configfile nested.yaml --config depth=3 out=file
echo "in braces: $(cat braces)"
echo "in a file: $(cat file)"
[ "$(cat braces)" = "3 str str" ] && [ "$(cat file)" = "3 int bool" ]
