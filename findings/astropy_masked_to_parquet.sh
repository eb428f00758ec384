#!/usr/bin/env bash
# numpy 2.1.3, astropy 7.0.2, pyarrow 21.0.0, pandas 2.3.3: Table.write(format="parquet") writes no null for a
# masked value. It writes the number hidden under the mask, and a second column `<name>.mask` that
# only astropy knows. Any other reader takes the value that was never measured for a measured one.
# Seen: pandas reads z = [1.5, 0.0], null_count of the Parquet column 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$(command -v python3.11 || command -v python3)" -m venv venv
venv/bin/pip install --quiet numpy==2.1.3 astropy==7.0.2 pyarrow==21.0.0 pandas==2.3.3
venv/bin/python - <<'PY'
import pandas as pd
import pyarrow.parquet as parquet
from astropy.table import MaskedColumn, Table

table = Table({"z": MaskedColumn([1.5, 0.0], mask=[False, True])})
table.write("z.parquet", format="parquet")
frame = pd.read_parquet("z.parquet")
nulls = parquet.read_table("z.parquet")["z"].null_count
print("astropy wrote z = [1.5, masked]; pandas reads", frame.to_dict("list"), "nulls:", nulls)
assert frame["z"].tolist() == [1.5, 0.0] and nulls == 0 and "z.mask" in frame
PY
