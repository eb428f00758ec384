#!/usr/bin/env bash
# emcee 3.1.6: DESnookerMove samples a distribution that is too narrow, and so does a mix of moves with it.
#
# A snooker step along the line through another walker is accepted with the factor (|q - z| / |x - z|)^(d - 1)
# (ter Braak & Vrugt 2008). The proposal in de_snooker.py divides the vector by the square root of its length, so that it
# is no unit vector, and takes half the exponent. No diagnostic shows it: chains mix, acceptance is normal, errors come
# out too small, the more so the more dimensions. 80 % DEMove and 20 % DESnookerMove is a mix that many analyses use.
# Seen, standard deviation of a standard normal, 60 walkers:
#
#                                  2 dimensions   10 dimensions
#   StretchMove (default)              1.00            1.00
#   DEMove                             1.00            1.00
#   DESnookerMove                      0.94            0.78
#   80 % DEMove, 20 % DESnookerMove    1.00            0.93
#
# Corrected upstream (pull request 531) after the last release, which is this one. Until then: DEMove alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check emcee==3.1.6 numpy==2.1.3
cd "$folder"
venv/bin/python - <<'PYTHON'
import emcee
import numpy as np
from emcee.moves import DEMove, DESnookerMove, StretchMove


def spread(moves, dimensions):
    """Return the standard deviation of a sampled standard normal, over all coordinates."""
    np.random.seed(1)
    sampler = emcee.EnsembleSampler(
        60, dimensions, lambda x: -0.5 * (x**2).sum(axis=1), vectorize=True, moves=moves
    )
    sampler.run_mcmc(np.random.normal(size=(60, dimensions)), 5000)
    return sampler.get_chain(discard=1000, flat=True).std()


found = {}
for name, moves in (
    ("StretchMove (default)", StretchMove()),
    ("DEMove", DEMove()),
    ("DESnookerMove", DESnookerMove()),
    ("80 % DEMove, 20 % DESnookerMove", [(DEMove(), 0.8), (DESnookerMove(), 0.2)]),
):
    found[name] = [spread(moves, dimensions) for dimensions in (2, 10)]
    print(f"{name:<32} {found[name][0]:.2f}  {found[name][1]:.2f}")

assert all(abs(s - 1) < 0.02 for name in ("StretchMove (default)", "DEMove") for s in found[name])
assert found["DESnookerMove"][1] < 0.85, "DESnookerMove is right now"
assert 0.88 < found["80 % DEMove, 20 % DESnookerMove"][1] < 0.96, "the mix has changed"
PYTHON
