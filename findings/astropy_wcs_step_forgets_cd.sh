#!/usr/bin/env bash
# astropy 7.0.2: a WCS sliced with a step keeps its pixel scale if the header has a CD matrix.
#
# wcs[::2, ::2] is the WCS of an image of which every second pixel is kept (or binned 2 x 2). With CDELT the
# reference pixel and the scale change, and the sky stays where it is. With the same numbers in CD1_1 and CD2_2, as most
# observatories write them, only the reference pixel changes: the scale is wrong by the step, the place of everything
# but the reference pixel too. The only hint is a RuntimeWarning, which speaks of the header and not of a wrong result
# ("cdelt will be ignored since cd is present"). Seen:
#
#   CDELT: scale 0.36 -> 0.72 arcsec; one place of the sky lies 0.000 arcsec apart before and after
#   CD: scale 0.36 -> 0.36 arcsec; one place of the sky lies 10.564 arcsec apart before and after
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check astropy==7.0.2 numpy==2.1.3
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

seen = {}
for key, cards in {
    "CDELT": {"CDELT1": -1e-4, "CDELT2": 1e-4},
    "CD": {"CD1_1": -1e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1e-4},
}.items():
    header = fits.Header({"NAXIS": 2, "NAXIS1": 100, "NAXIS2": 100})
    header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CRVAL2=60.0, CRPIX1=50.0, CRPIX2=50.0)
    header.update(cards)
    wcs = WCS(header)
    half = wcs[::2, ::2]
    # pixel 45 of the coarse image covers pixels 90 and 91 of the fine one: its centre lies at 90.5
    fine, coarse = wcs.pixel_to_world(90.5, 90.5), half.pixel_to_world(45, 45)
    scales = [3600 * proj_plane_pixel_scales(each)[0] for each in (wcs, half)]
    apart = fine.separation(coarse).arcsec
    print(f"{key}: scale {scales[0]:.2f} -> {scales[1]:.2f} arcsec; one place of the sky lies "
          f"{apart:.3f} arcsec apart before and after")
    seen[key] = (scales[1] / scales[0], apart)
assert np.allclose(seen["CDELT"], (2, 0), atol=1e-3), "CDELT: not as stated"
assert np.isclose(seen["CD"][0], 1) and seen["CD"][1] > 5, "CD: not as stated any more"
PYTHON
