#!/usr/bin/env bash
# astropy 7.0.2: in a FITS table TNULL is the integer that stands for "nothing was measured", as it is stored, before
# TSCAL and TZERO (FITS 4.0, section 7.3.2). A column of integers without scaling is read with that cell masked. As soon
# as it is scaled, as magnitudes in compact catalogues are, the cell is a number like any other: fits.open, and Table.read
# too, give the mark times the scale, and nothing is masked.
#
# Seen (the same stored integers 100, null, 300):
#   plain   100 -- 300
#   scaled  16.0 -312.68 18.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$(command -v python3.11 || command -v python3)" -m venv venv
venv/bin/pip install --quiet numpy==2.1.3 astropy==7.0.2
venv/bin/python - <<'PY'
import numpy as np
from astropy.io import fits
from astropy.table import Table

stored = np.array([100, -32768, 300], "i2")
read = {}
for name in ("plain", "scaled"):
    hdu = fits.BinTableHDU.from_columns([fits.Column("mag", "I", null=-32768, array=stored)])
    if name == "scaled":
        hdu.header["TSCAL1"], hdu.header["TZERO1"] = 0.01, 15.0
    hdu.writeto(f"{name}.fits")
    read[name] = Table.read(f"{name}.fits")["mag"]
    print(f"{name:7}", *map(str, read[name]))
assert read["plain"].mask.tolist() == [False, True, False]
assert not np.ma.is_masked(read["scaled"]) and read["scaled"][1] < -300
PY
