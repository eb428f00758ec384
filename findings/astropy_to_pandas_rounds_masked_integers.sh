#!/usr/bin/env bash
# numpy 2.1.3, astropy 7.0.2, pandas 2.3.3: Table.to_pandas() makes pandas' Int64, which needs no float64 for its
# gaps, of a masked column of int64, but passes it through float64 on the way: integers above 2^53
# are rounded, and the dtype says that they are exact.
# Seen: 9007199254740993 (2^53 + 1) becomes 9007199254740992, dtype Int64.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$(command -v python3.11 || command -v python3)" -m venv venv
venv/bin/pip install --quiet numpy==2.1.3 astropy==7.0.2 pandas==2.3.3
venv/bin/python - <<'PY'
from astropy.table import MaskedColumn, Table

table = Table({"id": MaskedColumn([2**53 + 1, 0], mask=[False, True])})
series = table.to_pandas()["id"]
print("astropy holds", table["id"][0], "- pandas gets", series[0], "as", series.dtype)
assert str(series.dtype) == "Int64" and series[0] == 2**53
PY
