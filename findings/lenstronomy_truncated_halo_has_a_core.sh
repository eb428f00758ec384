#!/usr/bin/env bash
# lenstronomy 1.13.6: TNFW has a core that its formula (Baltz et al. 2009), its documentation and its NFW do not have.
# Within 0.001 Rs the deflection is that of 0.001 Rs, made smaller in proportion: a sheet. The convergence by `hessian`
# is another: of the cusp, held at its value of 0.001 Rs. So deflections there are not those of the convergence, nor of
# the NFW halo that is left where the truncation is far away. For the halo of a cluster (Rs = 100 arcsec) that is the
# innermost 0.1 arcsec, where the brightest galaxy and central images lie.
#
# Seen (Rs 100, r_trunc 1e7 arcsec; deflection over that of NFW, half the divergence of the deflection over the
# convergence of `hessian`):
#   R = 1 arcsec     1.000 1.000
#   R = 0.05 arcsec  0.911 1.076
#   R = 0.01 arcsec  0.755 1.076
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q lenstronomy==1.13.6 "numpy==2.1.3" "scipy==1.16.3" "numba==0.61.2"
cat > "$folder/core.py" <<'PYTHON'
import warnings

warnings.simplefilter("ignore")
import numpy as np
from lenstronomy.LensModel.lens_model import LensModel

halo = {"Rs": 100.0, "alpha_Rs": 10.0, "center_x": 0.0, "center_y": 0.0}
nfw, tnfw = LensModel(["NFW"]), LensModel(["TNFW"])
truncated = [{**halo, "r_trunc": 1e7}]
stated = {1.0: (1.0, 1.0), 0.05: (0.911, 1.076), 0.01: (0.755, 1.076)}
as_stated = True
for radius, wanted in stated.items():
    ratio = tnfw.alpha(radius, 0.0, truncated)[0] / nfw.alpha(radius, 0.0, [halo])[0]
    step = 1e-3 * radius
    right, left = (tnfw.alpha(radius + sign * step, 0.0, truncated)[0] for sign in (1, -1))
    above, below = (tnfw.alpha(radius, sign * step, truncated)[1] for sign in (1, -1))
    half_divergence = (right - left + above - below) / (4 * step)
    found = ratio, half_divergence / tnfw.kappa(radius, 0.0, truncated)
    print(f"R = {radius:g} arcsec".ljust(16), "{:.3f} {:.3f}".format(*found))
    as_stated &= bool(np.allclose(found, wanted, atol=0.002))
raise SystemExit(not as_stated)
PYTHON
"$folder/venv/bin/python" "$folder/core.py"
