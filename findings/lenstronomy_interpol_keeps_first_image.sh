#!/usr/bin/env bash
# lenstronomy 1.13.6: a light model INTERPOL draws the image of its first call only. Given another image, of another
# shape too, the same LightModel or ImageModel goes on with the first, without a warning; `scale`, `amp` and `center_x` of the
# new call are heeded, and total_flux is that of the new image. So who makes mocks with one model and one galaxy after the
# other gets all of them with the first galaxy as source. `LightModel.delete_interpol_caches()` between calls helps.
#
# Seen, also with 1.14.2 (flux in the frame, and place of its centre along x; first image: flux 1 in the middle, second:
# flux 3, 0.4 arcsec to the right):
#                               flux     x
#   first                       1.000   0.000
#   second, same model          1.000   0.000
#   second, caches deleted      3.000   0.400
#   second, new model           3.000   0.400
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q lenstronomy==1.13.6 "numpy==2.1.3" "scipy==1.16.3" "numba==0.61.2"
cat > "$folder/draw.py" <<'PYTHON'
import warnings

warnings.simplefilter("ignore")
import numpy as np
from lenstronomy.Data.imaging_data import ImageData
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel

PIXELS, SIDE, SCALE = 60, 0.1, 0.05


def model():
    middle = -(PIXELS - 1) / 2 * SIDE
    frame = ImageData(
        np.zeros((PIXELS, PIXELS)),
        ra_at_xy_0=middle,
        dec_at_xy_0=middle,
        transform_pix2angle=np.eye(2) * SIDE,
    )
    sources = LightModel(["INTERPOL"])
    lens = LensModel([])
    return ImageModel(frame, PSF(psf_type="NONE"), lens, sources, kwargs_numerics={"supersampling_factor": 4})


def galaxy(side, flux, offset):
    place = np.arange(side) - (side - 1) / 2
    light = np.exp(-0.5 * (((place - offset) / 3) ** 2 + (place[:, None] / 3) ** 2))
    return flux * light / light.sum() / SCALE**2  # per square arcsec, as its documentation asks


def draw(drawing, image):
    source = {"image": image, "amp": 1.0, "center_x": 0.0, "center_y": 0.0, "phi_G": 0.0, "scale": SCALE}
    seen = drawing.image([], [source], unconvolved=True)
    x = (np.arange(PIXELS) - (PIXELS - 1) / 2) * SIDE
    return seen.sum(), (seen * x).sum() / seen.sum()


one, other = galaxy(41, 1.0, 0), galaxy(61, 3.0, 8)
drawing = model()
rows = {"first": draw(drawing, one), "second, same model": draw(drawing, other)}
drawing.SourceModel.delete_interpol_caches()
rows["second, caches deleted"] = draw(drawing, other)
rows["second, new model"] = draw(model(), other)
for name, (flux, x) in rows.items():
    print(f"{name:26s} {flux:7.3f} {x:7.3f}")
kept = np.allclose(rows["second, same model"], rows["first"])
right = all(np.allclose(rows[k], (3.0, 0.4), atol=0.01) for k in rows if k.endswith(("deleted", "new model")))
raise SystemExit(not (kept and right))
PYTHON
"$folder/venv/bin/python" "$folder/draw.py"
