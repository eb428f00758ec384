#!/usr/bin/env bash
# astropy 7.0.2: BLANK is honoured in every integer image but in an unsigned one.
#
# FITS stores unsigned integers as signed ones with BZERO = 32768, and BLANK marks pixels without a value, by their
# stored number. astropy turns BLANK into NaN in plain and in scaled integer images; with the BZERO of unsigned ones it
# returns uint16 and the marked pixels as numbers: 0 for BLANK = -32768, a valid value, without a warning. Only
# uint=False (not the default) gives NaN. Seen, for four pixels of which the first is BLANK:
#
#   int16: float32 [nan 1.0 2.0 3.0]
#   int16, BSCALE 0.5: float32 [nan 0.5 1.0 1.5]
#   uint16: uint16 [0 1 2 3]
#   uint16, uint=False: float32 [nan 1.0 2.0 3.0]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check astropy==7.0.2 numpy==2.1.3
cd "$folder"
venv/bin/python - <<'PYTHON'
import warnings

import numpy as np
from astropy.io import fits


def read(name, stored, cards, **how):
    """Write stored numbers under a header, and read them as anybody would."""
    unit = fits.PrimaryHDU(np.array([stored], "i2"))
    unit.header.update(cards)
    unit.writeto("image.fits", overwrite=True)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        values = fits.getdata("image.fits", **how)[0]
    print(f"{name}: {values.dtype} [{' '.join(map(str, values))}]", *(w.message for w in warned))
    return values, warned


plain, _ = read("int16", [-32768, 1, 2, 3], {"BLANK": -32768})
scaled, _ = read("int16, BSCALE 0.5", [-32768, 1, 2, 3], {"BLANK": -32768, "BSCALE": 0.5})
unsigned = [-32768, -32767, -32766, -32765], {"BLANK": -32768, "BZERO": 32768}
numbers, warned = read("uint16", *unsigned)
as_float, _ = read("uint16, uint=False", *unsigned, uint=False)
assert all(np.isnan(values[0]) for values in (plain, scaled, as_float)), "BLANK is not NaN elsewhere"
assert numbers.dtype == np.uint16 and numbers[0] == 0 and not warned, "not as stated any more"
PYTHON
