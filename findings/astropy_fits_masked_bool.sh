#!/usr/bin/env bash
# astropy 7.0.2: a masked boolean comes back from FITS as a value, without a warning.
#
# Table.write(format="fits") keeps masked cells of integers (TNULL), floats (NaN) and strings (empty), and
# Table.read masks them again. In a boolean column the number below the mask is written, though FITS has a third state
# of logicals (a zero byte: undefined): "unknown" becomes True. ECSV keeps it. Seen, for three rows of which the
# second is masked:
#
#   integer  fits: 1 -- 3          ecsv: 1 -- 3
#   real     fits: 1.0 -- 3.0      ecsv: 1.0 -- 3.0
#   text     fits: a -- c          ecsv: a -- c
#   boolean  fits: True True False ecsv: True -- False
#   bytes of the boolean in FITS: b'TTF'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check astropy==7.0.2 numpy==2.1.3
cd "$folder"
venv/bin/python - <<'PYTHON'
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import MaskedColumn, Table

values = {
    "integer": [1, 2, 3], "real": [1.0, 2.0, 3.0], "text": ["a", "b", "c"], "boolean": [True, True, False]
}
table = Table({name: MaskedColumn(v, mask=[False, True, False]) for name, v in values.items()})
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    table.write("table.fits")
    from_fits = Table.read("table.fits")
table.write("table.ecsv")
from_ecsv = Table.read("table.ecsv")


def lost(found, name):
    return not np.ma.getmaskarray(found[name])[1]


for name in values:
    in_fits, in_ecsv = (" ".join(map(str, found[name])) for found in (from_fits, from_ecsv))
    print(f"{name:8} fits: {in_fits:15} ecsv: {in_ecsv}")
start = fits.open("table.fits")[1].fileinfo()["datLoc"]
row = fits.open("table.fits")[1].header["NAXIS1"]
stored = Path("table.fits").read_bytes()[start : start + 3 * row][row - 1 :: row]
print("bytes of the boolean in FITS:", stored)
assert not any(lost(from_ecsv, name) for name in values), "ECSV: not as stated"
assert [name for name in values if lost(from_fits, name)] == ["boolean"], "not as stated any more"
assert stored == b"TTF" and not warned, "not as stated any more"
PYTHON
