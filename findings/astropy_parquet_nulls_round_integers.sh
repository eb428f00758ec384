#!/usr/bin/env bash
# numpy 2.1.3, astropy 7.0.2, pyarrow 21.0.0, pandas 2.3.3: Table.read(format="parquet") makes float64 of a column
# of int64 as soon as one of its values is null, without a word. Identifiers of 64 bits are rounded
# to multiples of 8, so that those of different objects become one; the null is NaN, not masked.
# Seen: 43158176442354199 and 43158176442354201 are both read as 4.31581764423542e+16.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$(command -v python3.11 || command -v python3)" -m venv venv
venv/bin/pip install --quiet numpy==2.1.3 astropy==7.0.2 pyarrow==21.0.0 pandas==2.3.3
venv/bin/python - <<'PY'
import pyarrow as pa
import pyarrow.parquet as parquet
from astropy.table import Table

ids = [43158176442354199, 43158176442354201, None]
parquet.write_table(pa.table({"id": pa.array(ids, pa.int64())}), "ids.parquet")
assert parquet.read_table("ids.parquet")["id"].to_pylist() == ids
column = Table.read("ids.parquet", format="parquet")["id"]
print("pyarrow wrote", ids, "as int64; astropy reads", column.tolist(), "as", column.dtype)
assert column.dtype == "float64" and column[0] == column[1]
PY
