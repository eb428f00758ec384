"""The same scenes drawn by lenstronomy, an independent code."""

import numpy as np
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel
from lenstronomy.PointSource.point_source import PointSource
from lenstronomy.SimulationAPI.data_api import DataAPI

from lensmill.imaging import scenes
from lensmill.imaging.scenes import Scenes


def ellipticity(q, phi):
    e = (1 - q) / (1 + q)
    return {"e1": e * np.cos(2 * phi), "e2": e * np.sin(2 * phi)}


def sersic(light, rows):
    """Keywords of Sersic profiles; lenstronomy's b(n) is approximate: other radius, amplitude."""
    index, theirs = light.index, 1.9992 * light.index - 0.3271
    b = scenes.sersic_b(index)
    radius = light.radius * (theirs / b) ** index
    amplitude = light.flux[:, 0] * scenes.central_brightness(light, b) * np.exp(-theirs)
    return [
        {
            "amp": amplitude[k],
            "R_sersic": radius[k],
            "n_sersic": index[k],
            "center_x": light.x[k],
            "center_y": light.y[k],
            **ellipticity(light.q[k], light.phi[k]),
        }
        for k in rows
    ]


def draw(scene: Scenes, size: int, pixel_scale: float, psf: dict, numerics: dict | None = None):
    """Image of each system, shape (n, size, size); Sersic profiles and points, one band."""
    images = []
    light = scene.light
    grid = {"pixel_scale": pixel_scale, "exposure_time": 1, "magnitude_zero_point": 25}
    data = DataAPI(size, **grid, read_noise=0, ccd_gain=1, sky_brightness=20).data_class
    for i in range(scene.lenses.theta_e.size):
        theta_e, q, phi, slope, gamma1, gamma2, x, y = (c[i] for c in scene.lenses)
        rows = np.arange(scene.first[i], scene.first[i + 1])
        extended = light.kind[rows] == scenes.SERSIC
        behind = rows[extended & light.lensed[rows]]
        front = rows[extended & ~light.lensed[rows]]
        points = rows[light.kind[rows] == scenes.POINT]
        lens = {"theta_E": theta_e, "center_x": x, "center_y": y, **ellipticity(q, phi)}
        isothermal = slope == 2
        model = ImageModel(
            data,
            PSF(**psf),
            LensModel(["SIE" if isothermal else "EPL", "SHEAR"]),
            LightModel(["SERSIC_ELLIPSE"] * len(behind)),
            LightModel(["SERSIC_ELLIPSE"] * len(front)),
            PointSource(["UNLENSED"]),
            kwargs_numerics=numerics or {},
        )
        images.append(
            model.image(
                kwargs_lens=[
                    lens if isothermal else lens | {"gamma": slope},
                    {"gamma1": gamma1, "gamma2": gamma2, "ra_0": x, "dec_0": y},
                ],
                kwargs_source=sersic(light, behind),
                kwargs_lens_light=sersic(light, front),
                kwargs_ps=[
                    {
                        "ra_image": light.x[points],
                        "dec_image": light.y[points],
                        "point_amp": light.flux[points, 0],
                    }
                ],
            )
        )
    return np.array(images)
