#!/usr/bin/env bash
# astro-sedpy 0.4.1: the magnitude of a spectrum that ends inside a band is that of the part which is there, divided by
# the whole band: too faint, without a warning. The assertion that the spectrum spans the band stands in its source, as a
# comment. Only a band without any overlap gives NaN. kcorrect 5.1.9 does the same; speclite 1.0.0 raises a ValueError.
# A spectrum of SDSS (3800 to 9200 Angstrom) covers r and i, g but for its foot, half of z and a
# tenth of u.
#
# Seen (AB magnitude of a source of magnitude 0, spectrum from 3800 to 9200 Angstrom, ugriz):
#   sedpy      2.448 0.001 0.000 0.000 0.329
#   kcorrect   2.329 0.001 0.000 0.000 0.303
#   speclite   ValueError for u, g and z
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q astro-sedpy==0.4.1 kcorrect==5.1.9 speclite==1.0.0 "astropy==7.0.2" "numpy==2.1.3" "scipy==1.16.3"
cat > "$folder/ask.py" <<'PYTHON'
import warnings

import numpy as np
from astropy import units as u
from kcorrect.response import ResponseDict
from sedpy import observate
from speclite.filters import load_filter

warnings.simplefilter("error", RuntimeWarning)
wave = np.arange(3800.0, 9200.5, 1.0)
flux = 3.631e-20 * 2.99792458e18 / wave**2
sedpy = observate.getSED(wave, flux, observate.load_filters([f"sdss_{b}0" for b in "ugriz"]))
bands, theirs, raised = ResponseDict(), [], ""
for b in "ugriz":
    bands.load_response(f"sdss_{b}0")
    theirs.append(-2.5 * np.log10(float(bands[f"sdss_{b}0"].project(wave=wave, flux=flux))))
    try:
        load_filter(f"sdss2010-{b}").get_ab_magnitude(
            flux * u.Unit("erg s-1 cm-2 AA-1"), wave * u.AA
        )
    except ValueError:
        raised += b
print("sedpy     ", *np.round(sedpy, 3))
print("kcorrect  ", *np.round(theirs, 3))
print("speclite   ValueError for", *raised)
raise SystemExit(
    not (min(sedpy[0], theirs[0]) > 2 and min(sedpy[4], theirs[4]) > 0.2 and raised == "ugz")
)
PYTHON
"$folder/venv/bin/python" "$folder/ask.py"
