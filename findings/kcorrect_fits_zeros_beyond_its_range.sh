#!/usr/bin/env bash
# kcorrect 5.1.9: a galaxy beyond the redshifts that the object was made for is fitted with coefficients that are all 0,
# without a warning or an error. The documentation promises a ValueError of its matrix there, and reconstruct() raises
# one; fit_coeffs() catches it. The default range ends at redshift 2.
#
# Seen (coefficients of the same fluxes at redshifts 0.9 and 1.1, range 0 to 1):
#   0.9   not all 0
#   1.1   0 0 0 0 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q kcorrect==5.1.9 "astropy==7.0.2" "numpy==2.1.3" "scipy==1.16.3"
cat > "$folder/ask.py" <<'PYTHON'
import warnings

import numpy as np
from kcorrect.kcorrect import KcorrectSDSS

warnings.simplefilter("error", RuntimeWarning)
kc = KcorrectSDSS(redshift_range=[0.0, 1.0], nredshift=50)
flux = np.tile(10 ** (-0.4 * np.array([24.0, 22.5, 21.0, 20.3, 19.9])), (2, 1))
redshift = np.array([0.9, 1.1])
found = kc.fit_coeffs(redshift=redshift, maggies=flux, ivar=1 / (0.05 * flux) ** 2)
for z, coeffs in zip(redshift, found):
    print(z, *coeffs)
try:
    kc.reconstruct(redshift=redshift, coeffs=found)
    raised = False
except ValueError as error:
    raised = True
    print("reconstruct:", error)
raise SystemExit(not (found[0].any() and not found[1].any() and raised))
PYTHON
"$folder/venv/bin/python" "$folder/ask.py"
