#!/usr/bin/env bash
# skypy 0.5.5: the metallicity and the young stars of kcorrect's templates are one number for all galaxies asked about.
# skypy.galaxies.spectrum.kcorrect.metallicity, m300 and m1000 take coefficients of shape (galaxies, 5) and state one
# value per galaxy, but sum over the galaxies too: what comes is the mean of the sample by mass, and with stellar_mass every
# galaxy gets that same fraction of its mass. One galaxy at a time gives the right values.
#
# Seen (three galaxies, each one of the templates; all at once, and one by one):
#   metallicity   0.0244             0.0500 0.0226 0.0057
#   m300          0.1803             0.0000 0.0000 0.5409
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q skypy==0.5.5 "astropy==7.0.2" "numpy==2.1.3" "scipy==1.16.3" pyyaml==6.0.2 networkx==3.5
cat > "$folder/ask.py" <<'PYTHON'
import numpy as np
from skypy.galaxies.spectrum import kcorrect

galaxies = np.eye(5)[[0, 2, 4]]
as_stated = True
for name in ("metallicity", "m300"):
    ask = getattr(kcorrect, name)
    together, alone = ask(galaxies), np.array([ask(one[None]) for one in galaxies])
    print(f"{name:14s}", np.round(together, 4), np.round(alone, 4))
    as_stated &= np.ndim(together) == 0 and np.ptp(alone) > 0.02
raise SystemExit(not as_stated)
PYTHON
"$folder/venv/bin/python" "$folder/ask.py"
