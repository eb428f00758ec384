#!/usr/bin/env bash
# lenstronomy 1.13.6: with analytic kinematics, Galkin.dispersion writes `rho0_r0_gamma`, the mass of its first call,
# into the dictionary of the caller, and from then on takes the mass from there. Who changes theta_E or gamma in that
# dictionary and asks again (a loop, a sampler that fills one dictionary) gets the dispersion of the first Einstein
# radius, without a warning; for a power law of slope 2, sigma goes with sqrt(theta_E). The numerical class of the
# same package does follow the change.
#
# Seen, also with 1.14.2 (sigma in km/s, the same random stars in each):
#   analytic, theta_E = 1.2: 250.2; now in the dictionary: gamma, rho0_r0_gamma, theta_E
#   analytic, theta_E = 2.4 set in the same dictionary: 250.2
#   analytic, theta_E = 2.4 in a new dictionary: 353.8
#   numerical, 1.2, then 2.4 set in the same dictionary: 250.6 354.4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q lenstronomy==1.13.6 "numpy==2.1.3" "scipy==1.16.3" "numba==0.61.2"
cat > "$folder/ask.py" <<'PYTHON'
import warnings

warnings.simplefilter("ignore")
import numpy as np
from lenstronomy.GalKin.galkin import Galkin


def galkin(analytic):
    return Galkin(
        {
            "mass_profile_list": ["SPP"],
            "light_profile_list": ["HERNQUIST"],
            "anisotropy_model": "OM",
        },
        {"aperture_type": "shell", "r_in": 0, "r_out": 0.8},
        {"psf_type": "GAUSSIAN", "fwhm": 0.7},
        {"d_d": 1000.0, "d_s": 1800.0, "d_ds": 1200.0},
        analytic_kinematics=analytic,
    )


def sigma(kin, *galaxy):
    np.random.seed(1)
    return float(kin.dispersion(*galaxy, sampling_number=1000))


kin, stars, orbits = galkin(True), {"r_eff": 1.5}, {"r_ani": 1.5}
mass = {"theta_E": 1.2, "gamma": 2.0}
first = sigma(kin, mass, stars, orbits)
print(f"analytic, theta_E = 1.2: {first:.1f}; now in the dictionary: {', '.join(sorted(mass))}")
mass["theta_E"] = 2.4
again = sigma(kin, mass, stars, orbits)
print(f"analytic, theta_E = 2.4 set in the same dictionary: {again:.1f}")
new = sigma(kin, {"theta_E": 2.4, "gamma": 2.0}, stars, orbits)
print(f"analytic, theta_E = 2.4 in a new dictionary: {new:.1f}")

centre = {"center_x": 0, "center_y": 0}
kin, stars = galkin(False), [{"Rs": 0.551 * 1.5, "amp": 1.0} | centre]
mass = {"theta_E": 1.2, "gamma": 2.0} | centre
one = sigma(kin, [mass], stars, orbits)
mass["theta_E"] = 2.4
two = sigma(kin, [mass], stars, orbits)
print(f"numerical, 1.2, then 2.4 set in the same dictionary: {one:.1f} {two:.1f}")

follows = abs(new / first - 2**0.5) < 1e-6 and abs(two / one - 2**0.5) < 1e-6
raise SystemExit(not (again == first and follows))
PYTHON
"$folder/venv/bin/python" "$folder/ask.py"
