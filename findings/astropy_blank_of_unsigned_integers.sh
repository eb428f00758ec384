#!/usr/bin/env bash
# astropy 7.0.2: missing pixels (BLANK) of an image of unsigned 16-bit integers (BZERO = 32768, the
# convention of the FITS standard) come out as ordinary numbers, without a warning. The same pixel of
# a signed image is NaN, and so it is here with fits.open(..., uint=False).
#
# Seen:
#   signed:                    [nan  1.  2.] float32
#   unsigned:                  [0 1 2] uint16, warnings: 0
#   unsigned with uint=False:  [nan  1.  2.] float32
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet astropy==7.0.2 numpy==2.1.3
"$folder/venv/bin/python" - <<'PYTHON'
import io
import warnings

import numpy as np
from astropy.io import fits


def read(stored, zero, **how):
    cards = [("SIMPLE", True), ("BITPIX", 16), ("NAXIS", 2), ("NAXIS1", 3), ("NAXIS2", 1)]
    cards += [("BZERO", zero), ("BSCALE", 1), ("BLANK", -32768)]
    data = np.array(stored, ">i2").tobytes().ljust(2880, b"\0")
    file = io.BytesIO(fits.Header(cards).tostring().encode() + data)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with fits.open(file, **how) as units:
            return units[0].data[0], len(said)


signed, _ = read([-32768, 1, 2], 0)
unsigned, said = read([-32768, -32767, -32766], 32768)
scaled, _ = read([-32768, -32767, -32766], 32768, uint=False)
print("signed:                   ", signed, signed.dtype)
print("unsigned:                 ", unsigned, unsigned.dtype, "warnings:", said)
print("unsigned with uint=False: ", scaled, scaled.dtype)
as_stated = np.isnan(signed[0]) and unsigned[0] == 0 and said == 0 and np.isnan(scaled[0])
raise SystemExit(0 if as_stated else "astropy does not behave as stated any more")
PYTHON
