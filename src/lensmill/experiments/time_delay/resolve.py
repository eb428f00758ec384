"""Some systems once more by independent codes: distances by astropy, images by lenstronomy."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
from astropy.cosmology import FlatLambdaCDM
from numpy.typing import NDArray

from lensmill.lensing.images import DEGENERATE, ON_CAUSTIC
from lensmill.pipeline import checks

SAME_PLACE = 1e-6  # arcsec; lenstronomy accepts an image at 1e-8


def outcomes(dataset: str, rows: NDArray, min_magnification: float) -> list[dict[str, Any]]:
    """Check the systems in some rows of a data set.

    Images fainter than ``min_magnification`` are not expected in it.
    """
    systems, images = checks.sample(dataset, rows)
    results = [_distances(systems)]
    if find_spec("lenstronomy") is None:
        why = "lenstronomy is not installed"
        return [*results, checks.skipped("lenstronomy", why)]
    return results + _lenstronomy(systems, images, min_magnification)


def _distances(systems: Mapping[str, NDArray]) -> dict[str, Any]:
    worst = checks.Worst("distances by astropy", "the relative error of D_l, D_s, D_ls, D_dt", 1e-9)
    for cosmology in np.unique(np.stack([systems["h0"], systems["omega_m"]], axis=1), axis=0):
        model = FlatLambdaCDM(H0=cosmology[0], Om0=cosmology[1], Tcmb0=0)
        mine = (systems["h0"] == cosmology[0]) & (systems["omega_m"] == cosmology[1])
        z_lens, z_source = systems["z_lens"][mine], systems["z_source"][mine]
        d_l = model.angular_diameter_distance(z_lens).value
        d_s = model.angular_diameter_distance(z_source).value
        d_ls = model.angular_diameter_distance_z1z2(z_lens, z_source).value
        again = {"d_l": d_l, "d_s": d_s, "d_ls": d_ls, "d_dt": (1 + z_lens) * d_l * d_s / d_ls}
        for name, values in again.items():
            worst.add(systems[name][mine] / values - 1, systems["index"][mine])
    return worst.outcome()


def _lenstronomy(
    systems: Mapping[str, NDArray],
    images: list[Mapping[str, NDArray]],
    min_magnification: float,
) -> list[dict[str, Any]]:
    """Trace every image by lenstronomy's functions, and look for images that it finds in addition.

    Its count is no reference, since its solver loses faint images, but what it finds must be here.
    For a round lens without shear, and for a source on an axis, it returns nothing at all: so what
    it found is counted, and where that is nothing the check is skipped.
    """
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LensModel.Solver.lens_equation_solver import LensEquationSolver
    from lenstronomy.Util.param_util import phi_q2_ellipticity

    residual = checks.Worst(
        "lens equation by lenstronomy", "the source missed by an image", 1e-9, "arcsec"
    )
    magnification = checks.Worst(
        "magnification by lenstronomy", "the relative error of a magnification below 1000", 1e-6
    )
    fermat = checks.Worst(
        "Fermat potential by lenstronomy", "the error of Fermat differences", 1e-9, "arcsec2"
    )
    extra = checks.Wrong("images by lenstronomy", "lenstronomy finds no image that is not here")
    full = LensModel(["EPL", "SHEAR", "CONVERGENCE"])
    solvable = LensModel(["EPL", "SHEAR"])
    ours = confirmed = asked = answered = 0
    for row, here in enumerate(images):
        one = {name: values[row] for name, values in systems.items()}
        where = np.full(len(here["x"]), one["index"])
        e1, e2 = phi_q2_ellipticity(one["phi"], one["q"])
        epl = {"theta_E": one["theta_e"], "gamma": one["slope"], "e1": e1, "e2": e2}
        epl |= {"center_x": 0.0, "center_y": 0.0}
        shear = {"gamma1": one["gamma1"], "gamma2": one["gamma2"], "ra_0": 0, "dec_0": 0}
        lens = [epl, shear, {"kappa": one["kappa_ext"], "ra_0": 0, "dec_0": 0}]

        x, y = here["x"], here["y"]
        source_x, source_y = full.ray_shooting(x, y, lens)
        residual.add(np.hypot(source_x - one["source_x"], source_y - one["source_y"]), where)
        mild = np.abs(here["magnification"]) < 1e3
        ratio = full.magnification(x, y, lens) / here["magnification"]
        magnification.add((ratio - 1)[mild], where[mild])
        again = full.fermat_potential(x, y, lens, one["source_x"], one["source_y"])
        difference = (again - again[:1]) - (here["fermat"] - here["fermat"][:1])
        fermat.add(difference[1:], where[1:])

        if one["status"] in (ON_CAUSTIC, DEGENERATE) or len(x) == 0:
            continue
        # its solver knows no sheet, but a sheet is a change of scale
        sheet = 1 - one["kappa_ext"]
        scaled = [
            epl | {"theta_E": one["theta_e"] / sheet ** (1 / (one["slope"] - 1))},
            shear | {name: shear[name] / sheet for name in ("gamma1", "gamma2")},
        ]
        other_x, other_y = LensEquationSolver(solvable).image_position_analytical(
            one["source_x"] / sheet, one["source_y"] / sheet, scaled
        )
        real = np.isfinite(other_x + other_y)
        other_x, other_y = other_x[real], other_y[real]
        apart = np.hypot(x[:, None] - other_x, y[:, None] - other_y)
        # near the limit the two codes may differ on which side of it an image is
        bright = np.abs(full.magnification(other_x, other_y, lens)) > 1.01 * min_magnification
        new = (apart.min(axis=0) > SAME_PLACE) & bright
        extra.add(np.atleast_1d(new), np.full(len(other_x), one["index"]))
        ours += len(x)
        confirmed += int((apart.min(axis=1, initial=np.inf) <= SAME_PLACE).sum())
        asked, answered = asked + 1, answered + (len(other_x) > 0)
    result = extra.outcome()
    counted = (
        f"it finds {confirmed} of our {ours} images, and none at all in {asked - answered} of "
    )
    counted += f"{asked} systems"
    if answered == 0:
        result = checks.skipped(extra.name, f"lenstronomy's solver compares nothing, {counted}")
    else:
        result["sentence"] += f"; {counted}"
    return [residual.outcome(), magnification.outcome(), fermat.outcome(), result]
