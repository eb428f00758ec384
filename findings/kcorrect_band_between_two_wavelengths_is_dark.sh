#!/usr/bin/env bash
# kcorrect 5.1.9: a band that lies between two wavelengths of a spectrum gets flux 0, without a warning.
# Response.project interpolates the spectrum (by a cubic spline) to the wavelengths of the band, which any band within
# the spectrum allows, but returns 0 before that if no wavelength of the spectrum itself lies in the band: narrow bands,
# and broad ones on the coarse infrared ends of spectra. One wavelength in the band is enough for the right flux.
#
# Seen (AB magnitude 0 through a band from 5810 to 5990 Angstrom, maggies):
#   a wavelength every 200 Angstrom, from 1000   0.00000
#   the same, from 1100                          1.00000
#   a wavelength every 5 Angstrom                1.00000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q kcorrect==5.1.9 "astropy==7.0.2" "numpy==2.1.3" "scipy==1.16.3"
cat > "$folder/ask.py" <<'PYTHON'
import numpy as np
from kcorrect.response import Response
from kcorrect.utils import sed_ab

band = Response(wave=np.arange(5810.0, 5991.0), response=np.hanning(181))
seen = []
for first, step in ((1000, 200), (1100, 200), (1000, 5)):
    wave = np.arange(first, 20000.0, step)
    seen.append(float(band.project(wave=wave, flux=sed_ab(wave))))
    print(f"a wavelength every {step} Angstrom, from {first}: {seen[-1]:.5f}")
raise SystemExit(not (seen[0] == 0 and abs(seen[1] - 1) < 5e-3 and abs(seen[2] - 1) < 5e-3))
PYTHON
"$folder/venv/bin/python" "$folder/ask.py"
