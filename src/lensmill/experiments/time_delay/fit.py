"""Maximum a posteriori fits of the family to positions and delays, many systems at a time.

An elliptical power law with external shear is fitted by least squares to image positions, galaxy
position and delays, with the prior of the population on slope, ellipticity and shear as further
constraints. It is independent of the networks, tells whether any member of the family reproduces
a system, and gives a classical time-delay distance beside the network's.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.time_delay.observe import Observed, select
from lensmill.lensing.distances import time_delay
from lensmill.lensing.profiles import deflection, fields

PARAMETERS = (
    "ln_theta_e",
    "ellipticity_1",  # (1 - q) cos 2 phi
    "ellipticity_2",  # (1 - q) sin 2 phi
    "slope",
    "gamma1",
    "gamma2",
    "lens_x",
    "lens_y",
    "source_x",
    "source_y",
    "ln_d_dt",
)
CONSTRAINED = ("slope", "one_minus_q", "shear")  # parameters whose prior takes part in the fit

DAYS = float(time_delay(1.0, 1.0))  # per Mpc arcsec^2

# ASSUME: the linear map from source plane to image plane is cut off at this eigenvalue of the
# inverse magnification. Images that close to a critical curve constrain the model less than they
# could; without the cut-off one of them would decide the fit through a map that is not linear.
SOFTENING = 0.02

STEP = 1e-6  # of the difference quotients, in units of the parameters (all of order one)
TINY = 1e-10  # keeps matrices invertible in directions that nothing constrains
MAX_ITERATIONS = 300
TOLERANCE = 1e-6  # a step that lowers chi^2 by less than this ends the fit


class Fit(NamedTuple):
    """The best fits: one per system."""

    parameters: NDArray  # (n, 11), in the order of PARAMETERS
    chi2: NDArray  # (n,)
    dof: NDArray  # (n,) data and priors less parameters; at most 0: nothing can be tested
    ln_d_dt_error: NDArray  # (n,) of the linearised fit; inf where no delay was measured


def degrees_of_freedom(data: Observed) -> NDArray:
    """Count data and priors less parameters, per system."""
    known = 2 * data.delay.shape[1] + 2 * data.lens_known + data.delay_measured[:, 1:].sum(axis=1)
    return known + len(CONSTRAINED) - len(PARAMETERS)


def fit(data: Observed, prior: Mapping[str, Any], starts: int = 8) -> Fit:
    """Fit every system from several starting points and keep the best.

    Parameters
    ----------
    data : Observed
        Systems with the same number of images.
    prior : mapping
        Priors of ``slope``, ``one_minus_q`` and ``shear``: normal or lognormal ones constrain
        the fit, others do not.
    starts : int
        Starting points: orientations of ellipticity and shear.
    """
    n = len(data.delay)
    first = np.concatenate([_start(data, k, starts) for k in range(starts)])
    p, chi2 = _minimise(select(data, np.tile(np.arange(n), starts)), prior, first)
    best = np.argmin(chi2.reshape(starts, n), axis=0) * n + np.arange(n)
    parameters, chi2 = p[best], chi2[best]
    linear = _distance_error(_jacobian(parameters, data, prior))
    error = np.where(data.delay_measured[:, 1:].any(axis=1), linear, np.inf)
    return Fit(parameters, chi2, degrees_of_freedom(data), error)


def residuals(p: NDArray, data: Observed, prior: Mapping[str, Any]) -> NDArray:
    """Return residuals in units of their errors, shape (n, 3 k + 2 + 3); 0 where no data are.

    Positions are compared in the source plane and carried to the image plane with the
    magnification tensor of the model, so that they count in units of the position error.
    """
    lens = _lens(p)
    x, y = data.position[..., 0] - p[:, 6:7], data.position[..., 1] - p[:, 7:8]
    potential, alpha_x, alpha_y, xx, yy, xy = fields(x, y, **lens)
    source_x, source_y = p[:, 8:9] - p[:, 6:7], p[:, 9:10] - p[:, 7:8]
    miss_x, miss_y = x - alpha_x - source_x, y - alpha_y - source_y

    # soft inverse of A = 1 - hessian: A / (A^2 + softening^2), on the eigenvalues of A
    a, c, b = 1 - xx, 1 - yy, -xy
    squared = a * a + b * b + SOFTENING**2, c * c + b * b + SOFTENING**2, b * (a + c)
    determinant = squared[0] * squared[1] - squared[2] ** 2
    u = (squared[1] * miss_x - squared[2] * miss_y) / determinant
    v = (squared[0] * miss_y - squared[2] * miss_x) / determinant
    position = np.concatenate([a * u + b * v, b * u + c * v], axis=1)
    position /= np.concatenate([data.position_error] * 2, axis=1)

    fermat = ((x - source_x) ** 2 + (y - source_y) ** 2) / 2 - potential
    predicted = DAYS * np.exp(p[:, 10:]) * (fermat - fermat[:, :1])
    counts = data.delay_measured & (data.delay_error > 0)  # the first row has neither
    delay = (predicted - data.delay) / np.where(counts, data.delay_error, np.inf)

    galaxy = (p[:, 6:8] - data.lens_position) / np.where(data.lens_known, data.lens_error, np.inf)[
        :, None
    ]
    shape = {
        "slope": p[:, 3],
        "one_minus_q": np.hypot(p[:, 1], p[:, 2]),
        "shear": np.hypot(p[:, 4], p[:, 5]),
    }
    constraint = np.stack([standardised(prior[n], shape[n]) for n in CONSTRAINED], axis=1)
    return np.concatenate([position, delay, galaxy, constraint], axis=1)


def standardised(prior: list, value: NDArray) -> NDArray:
    """Z-score: distance from the centre of a prior in units of its width; 0 without one."""
    kind, *p = prior
    if kind in ("normal", "truncated_normal"):
        return (value - p[0]) / p[1]
    if kind in ("lognormal", "truncated_lognormal"):
        return np.log10(np.maximum(value, 1e-6) / p[0]) / p[1]
    return np.zeros_like(value)


def _lens(p: NDArray) -> dict[str, NDArray]:
    """Arguments of the lens model, shape (n, 1) each."""
    e = np.minimum(np.hypot(p[:, 1], p[:, 2]), 0.95)
    lens = {
        "theta_e": np.exp(p[:, 0]),
        "q": 1 - e,
        "phi": np.arctan2(p[:, 2], p[:, 1]) / 2,
        "slope": np.clip(p[:, 3], 1.2, 2.8),
        "gamma1": p[:, 4],
        "gamma2": p[:, 5],
    }
    return {name: value[:, None] for name, value in lens.items()}


def _start(data: Observed, k: int, starts: int) -> NDArray:
    """Return starting point ``k`` of every system, shape (n, 11)."""
    p = np.zeros((len(data.delay), len(PARAMETERS)))
    middle = data.position.mean(axis=1)
    p[:, 6:8] = np.where(data.lens_known[:, None], data.lens_position, middle)
    x, y = data.position[..., 0] - p[:, 6:7], data.position[..., 1] - p[:, 7:8]
    p[:, 0] = np.log(np.hypot(x, y).mean(axis=1))
    angle = 2 * np.pi * k / starts
    p[:, 1], p[:, 2] = 0.2 * np.cos(angle), 0.2 * np.sin(angle)
    p[:, 3] = 2.0
    tilt = angle + np.pi * (k % 2)  # shear along the ellipticity or across
    p[:, 4], p[:, 5] = 0.05 * np.cos(tilt), 0.05 * np.sin(tilt)
    alpha_x, alpha_y = deflection(x, y, **_lens(p))
    p[:, 8] = p[:, 6] + (x - alpha_x).mean(axis=1)
    p[:, 9] = p[:, 7] + (y - alpha_y).mean(axis=1)
    p[:, 10] = np.log(3000.0)  # Mpc; the delays are linear in it and correct it in one step
    return p


def _jacobian(p: NDArray, data: Observed, prior: Mapping[str, Any]) -> NDArray:
    """Return derivatives of the residuals by forward differences, shape (n, residuals, 11)."""
    n, m = p.shape
    ahead = np.concatenate([p[None], p + STEP * np.eye(m)[:, None]])
    rows = np.tile(np.arange(n), m + 1)
    r = residuals(ahead.reshape(-1, m), select(data, rows), prior)
    r = r.reshape(m + 1, n, r.shape[1])
    return np.moveaxis(r[1:] - r[0], 0, 2) / STEP


def _distance_error(jacobian: NDArray) -> NDArray:
    """Return the error of the last parameter by linear propagation; large if it is not fixed."""
    curvature = np.einsum("nri,nrj->nij", jacobian, jacobian)
    width = np.sqrt(np.einsum("nii->ni", curvature)) + TINY
    # in units in which every parameter alone has an error of one, so that rounding is harmless
    scaled = curvature / (width[:, :, None] * width[:, None, :])
    inverse = np.linalg.inv(scaled + TINY * np.eye(scaled.shape[1]))
    return np.sqrt(np.abs(inverse[:, -1, -1])) / width[:, -1]


def _minimise(data: Observed, prior: Mapping[str, Any], start: NDArray) -> tuple[NDArray, NDArray]:
    """Levenberg-Marquardt on all systems at once; those that have converged drop out."""
    p = start.copy()
    r = residuals(p, data, prior)
    chi2 = (r**2).sum(axis=1)
    damping = np.full(len(p), 1e-2)
    jacobian = np.empty((*r.shape, p.shape[1]))
    active = moved = np.arange(len(p))
    for _ in range(MAX_ITERATIONS):
        jacobian[moved] = _jacobian(p[moved], select(data, moved), prior)
        some, here, slopes = select(data, active), p[active], jacobian[active]
        gradient = np.einsum("nri,nr->ni", slopes, r[active])
        curvature = np.einsum("nri,nrj->nij", slopes, slopes)
        scale = np.maximum(damping[active, None], TINY) * np.einsum("nii->ni", curvature) + TINY
        damped = curvature + scale[:, None, :] * np.eye(p.shape[1])
        step = np.linalg.solve(damped, -gradient[..., None])[..., 0]
        tried = here + np.clip(step, -0.5, 0.5)
        new = residuals(tried, some, prior)
        gained = chi2[active] - (new**2).sum(axis=1)
        lower = gained > 0
        p[active[lower]], r[active[lower]] = tried[lower], new[lower]
        chi2[active] -= np.where(lower, gained, 0)
        damping[active] *= np.where(lower, 0.2, 4.0)
        done = (lower & (gained < TOLERANCE) & (damping[active] < 1)) | (damping[active] > 1e8)
        active, moved = active[~done], active[~done & lower]
        if not len(active):
            break
    return p, chi2
