#!/usr/bin/env bash
# kcorrect 5.1.9: a band whose curve does not end at 0 gets a wrong effective wavelength and wrong fluxes, of any size
# and sign. Response calls scipy.integrate.trapezoid(wavelength, integrand), where SciPy takes the integrand first:
# what is integrated is wavelength over the integrand, by parts the same as long as the integrand is 0 at both ends.
# Effective wavelengths are therefore wrong for many of the curves that the package brings along, and so is
# kcorrect.utils.maggies2flambda, which uses them; Response.project is wrong where the spectrum does not go on beyond
# the band. A zero on each side of the curve helps.
#
# Seen (effective wavelength by kcorrect, and by the formula that it states, Angstrom):
#   flat from 5000 to 6000      2015.0    5477.2
#   epsi_I                     14719.4    8522.0
#   vimos_U                     3557.8    3711.6
#   cfht_megacam_z              8358.4    8820.3
#   jwst_f444w                 42909.9   43808.6
# Fluxes of 1e-9 (wavelength / 5500)^p erg / s / cm^2 / Angstrom in the flat band, where the spectrum has the
# wavelengths of the band, and where it goes on beyond it [maggies]:
#   p = -4    0.84529   0.28184
#   p =  0   -0.27713   0.27711
#   p =  2   -0.83825   0.27945
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q kcorrect==5.1.9 "astropy==7.0.2" "numpy==2.1.3" "scipy==1.16.3"
cat > "$folder/ask.py" <<'PYTHON'
import numpy as np
from kcorrect.response import Response, ResponseDict
from scipy.integrate import trapezoid

inside = np.arange(5000.0, 6001.0, 10.0)
beyond = np.arange(4000.0, 7001.0, 10.0)
bands = ResponseDict()
bands["flat from 5000 to 6000"] = Response(wave=inside, response=np.ones(inside.size))
as_stated = True
for name in ("flat from 5000 to 6000", "epsi_I", "vimos_U", "cfht_megacam_z", "jwst_f444w"):
    bands.load_response(name)
    band = bands[name]
    x, y = np.array(band.wave, float), np.array(band.response, float)
    stated = np.exp(trapezoid(np.log(x) * y / x, x) / trapezoid(y / x, x))
    print(f"{name:26s}{band.lambda_eff:10.1f}{stated:10.1f}")
    as_stated &= abs(band.lambda_eff / stated - 1) > 0.01
flat = bands["flat from 5000 to 6000"]
padded = Response(
    wave=np.r_[4990, inside, 6010], response=np.r_[0, np.ones(inside.size), 0]
)
print(f"with zeros at 4990 and 6010{padded.lambda_eff:9.1f}")
as_stated &= abs(padded.lambda_eff / 5477.2 - 1) < 1e-3
for power in (-4, 0, 2):
    short, long = (
        float(flat.project(wave=x, flux=1e-9 * (x / 5500) ** power)) for x in (inside, beyond)
    )
    print(f"p = {power:2d}{short:11.5f}{long:10.5f}")
    as_stated &= abs(short / long - 1) > 1
raise SystemExit(not as_stated)
PYTHON
"$folder/venv/bin/python" "$folder/ask.py"
