"""Mock observations of lensed quasars: the seam between the data and the networks.

Systems with one number of images make one set of arrays. Images stand in the order of the file:
the true order of arrival in simulations, the published one in tables of real systems. Whoever
needs an order that the observer can know derives it from the delays (`frames`); noise is drawn
before that.
"""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from lensmill.pipeline import splits, store
from lensmill.pipeline.priors import inverse_cdf
from lensmill.pipeline.streams import uniforms

log = logging.getLogger(__name__)

LAST_GOOD_STATUS = 1  # ok or refined; a source on a caustic has no well-defined set of images

NONE: dict[str, Any] = {
    "position_error": ["fixed", 0.0],
    "delay_error": ["fixed", 0.0],
    "delay_error_fraction": ["fixed", 0.0],
    "error_ratio": ["fixed", 1.0],
    "missing_delay": 0.0,
    "lens_error": ["fixed", 0.0],
    "lens_unknown": 0.0,
}


class Observed(NamedTuple):
    """``n`` systems of ``k`` images as they are observed.

    Angles in arcsec, delays in days after the first row; an error of 0 means exact.
    """

    index: NDArray  # (n,) in the population
    position: NDArray  # (n, k, 2)
    position_error: NDArray  # (n, k), of each coordinate
    delay: NDArray  # (n, k); the first row is 0, rows not measured are 0
    delay_error: NDArray  # (n, k); 0 in the first row
    delay_measured: NDArray  # (n, k), bool; the first row is True
    z_lens: NDArray  # (n,)
    z_source: NDArray  # (n,)
    lens_position: NDArray  # (n, 2)
    lens_error: NDArray  # (n,), of each coordinate
    lens_known: NDArray  # (n,), bool


class Truth(NamedTuple):
    """The targets of the networks, row by row as in `Observed`; zeros where unknown."""

    first_image: NDArray  # (n,), row of the first image in the file
    position: NDArray  # (n, k, 2) [arcsec]
    delay: NDArray  # (n, k) [day]
    potential: NDArray  # (n, k) [arcsec^2]
    deflection: NDArray  # (n, k, 2) [arcsec]
    d_dt: NDArray  # (n,) [Mpc]
    d_dt_known: NDArray  # (n,), bool
    lens_model_known: NDArray  # (n,), bool: potential and deflection are meant


def select(table: Any, rows: NDArray) -> Any:
    """Return some systems of an `Observed` or a `Truth`, in the order asked for."""
    return type(table)(*(column[rows] for column in table))


def from_simulated(
    dataset: str, split: str | None, part: int | None, n_images: int
) -> tuple[Observed, Truth]:
    """Read simulated systems without noise.

    Parameters
    ----------
    dataset : path
        The merged data set.
    split : path, optional
        Its split; without it all systems are read.
    part : int, optional
        ``TRAIN``, ``VALIDATION`` or ``TEST`` of `lensmill.pipeline.splits`.
    n_images : int
        Systems with this number of images are read.

    Raises
    ------
    ValueError
        If the split is of another data set, or no system is left: then with the number of
        systems in each part.
    """
    columns = ["index", "z_lens", "z_source", "d_dt", "status", "n_images", "first_image"]
    systems = store.read(dataset, "systems", [*columns, "lens_x", "lens_y"])
    wanted = (systems["n_images"] == n_images) & (systems["status"] <= LAST_GOOD_STATUS)
    if split is not None:
        labels = store.read(split, "systems")
        store.check_order(systems["index"], labels["index"], f"{split}, the split of {dataset},")
        counts = np.bincount(labels["split"][wanted], minlength=len(splits.NAMES))
        wanted &= labels["split"] == part
    if not wanted.any():
        alike = int((systems["n_images"] == n_images).sum())
        stock = f"{dataset} has {alike or 'no'} systems with {n_images} images"
        if split is None or counts.sum() == 0:
            why = f", all of them on a caustic or degenerate (status > {LAST_GOOD_STATUS})"
            raise ValueError(f"{stock}{why if alike else ''}; simulate more systems")
        parts = ", ".join(
            f"{n} for {name}" for n, name in zip(counts.tolist(), splits.NAMES, strict=True)
        )
        raise ValueError(
            f"{stock}, but none of them is for {splits.NAMES[part]}: {parts}. Simulate more, or "
            "give that part a larger share in split.blocks"
        )
    systems = {name: column[wanted] for name, column in systems.items()}
    rows = systems["first_image"][:, None] + np.arange(n_images)
    images = _images(
        dataset, rows, ["x", "y", "delay", "potential", "deflection_x", "deflection_y"]
    )

    n = len(rows)
    position = np.stack([images["x"], images["y"]], axis=-1)
    observed = Observed(
        index=systems["index"],
        position=position,
        position_error=np.zeros((n, n_images)),
        delay=images["delay"],
        delay_error=np.zeros((n, n_images)),
        delay_measured=np.ones((n, n_images), bool),
        z_lens=systems["z_lens"],
        z_source=systems["z_source"],
        lens_position=np.stack([systems["lens_x"], systems["lens_y"]], axis=-1),
        lens_error=np.zeros(n),
        lens_known=np.ones(n, bool),
    )
    truth = Truth(
        first_image=systems["first_image"],
        position=position,
        delay=images["delay"],
        potential=images["potential"],
        deflection=np.stack([images["deflection_x"], images["deflection_y"]], axis=-1),
        d_dt=systems["d_dt"],
        d_dt_known=np.ones(n, bool),
        lens_model_known=np.ones(n, bool),
    )
    return observed, truth


def from_ingested(dataset: str, n_images: int) -> tuple[Observed, Truth]:
    """Read real systems with ``n_images`` images; those without any delay are left out, and logged.

    Real tables give no potential and no deflection: these are zero in the answer.
    """
    systems = store.read(dataset, "systems")
    wanted = np.flatnonzero(systems["n_images"] == n_images)
    systems = {name: np.asarray(column)[wanted] for name, column in systems.items()}
    rows = systems["first_image"][:, None] + np.arange(n_images)
    images = _images(
        dataset, rows, ["x", "y", "position_error", "delay", "delay_error", "delay_measured"]
    )
    measured = images["delay_measured"].astype(bool)
    n = len(rows)
    position = np.stack([images["x"], images["y"]], axis=-1)
    observed = Observed(
        index=systems["index"],
        position=position,
        position_error=images["position_error"],
        delay=np.where(measured, images["delay"], 0.0),
        delay_error=np.where(measured, images["delay_error"], 0.0),
        delay_measured=measured,
        z_lens=systems["z_lens"],
        z_source=systems["z_source"],
        lens_position=np.stack([systems["lens_x"], systems["lens_y"]], axis=-1),
        lens_error=systems["lens_error"],
        lens_known=systems["lens_known"].astype(bool),
    )
    truth = Truth(
        first_image=systems["first_image"],
        position=position,
        delay=observed.delay,
        potential=np.zeros((n, n_images)),
        deflection=np.zeros((n, n_images, 2)),
        d_dt=systems["d_dt"],
        d_dt_known=systems["d_dt_known"].astype(bool),
        lens_model_known=np.zeros(n, bool),
    )
    timed = measured[:, 1:].any(axis=1) if n_images > 1 else np.ones(n, bool)
    for name in systems["name"][~timed]:
        log.warning("%s: %s is left out, none of its delays is measured", dataset, name)
    return select(observed, np.flatnonzero(timed)), select(truth, np.flatnonzero(timed))


def _images(dataset: str, rows: NDArray, columns: list[str]) -> dict[str, NDArray]:
    images = store.read(dataset, "images", columns)
    return {name: column[rows] for name, column in images.items()}


def width(n_images: int) -> int:
    """Uniform numbers that `perturb` needs per system: a multiple of 4."""
    return -(-(8 + 6 * n_images) // 4) * 4


def noise_uniforms(
    seed: int, experiment: str, population: str, index: NDArray, n_images: int
) -> NDArray:
    """Return the numbers that fix the noise of each system, whichever systems are asked for.

    They are a function of the seed, the population and the index of a system, so all networks
    are judged on the same observations.

    Returns
    -------
    array, shape (len(index), width(n_images))
    """
    if len(index) == 0:
        return np.zeros((0, width(n_images)))
    first = int(index.min())
    count = int(index.max()) - first + 1
    stream = f"{population}/observation/{n_images}"
    table = uniforms(seed, experiment, stream, first, count, width(n_images))
    return table[index - first]


def perturb(exact: Observed, settings: Mapping[str, Any], u: NDArray) -> Observed:
    """Draw an observation of each system: errors, noise, missing delays, unknown lens positions.

    Parameters
    ----------
    exact : Observed
        Systems without noise.
    settings : mapping
        Those of ``NONE``, for what is left out: ``position_error`` and ``lens_error`` [arcsec, of
        each coordinate], ``delay_error`` [day] and ``delay_error_fraction`` of the delay, added in
        quadrature, are priors drawn once per system; ``error_ratio`` is a prior, drawn for each
        image and quantity, on which the errors of a system are multiplied, so that they are
        unequal; ``missing_delay`` and ``lens_unknown`` are probabilities. One delay at least
        remains, and the first row, to which delays refer, always has its 0.
    u : array, shape (n, width(k))
        Uniform numbers in (0, 1).

    Returns
    -------
    Observed
        Rows in the order of ``exact``: a noisy delay can be negative.
    """
    settings = {**NONE, **settings}
    n, k = exact.delay.shape
    system, image = u[:, :8], u[:, 8 : 8 + 6 * k].reshape(n, 6, k)

    def errors(key: str, column: int) -> NDArray:
        return inverse_cdf(settings[key], system[:, column])

    ratio = inverse_cdf(settings["error_ratio"], image[:, :2])  # positions, delays
    position_error = errors("position_error", 0)[:, None] * ratio[:, 0]
    noise = np.stack([ndtri(image[:, 2]), ndtri(image[:, 3])], axis=-1)
    position = exact.position + position_error[..., None] * noise

    relative = errors("delay_error_fraction", 2)[:, None] * exact.delay
    delay_error = np.hypot(errors("delay_error", 1)[:, None], relative) * ratio[:, 1]
    delay_error[:, 0] = 0.0
    measured = image[:, 5] >= settings["missing_delay"]
    measured[:, 0] = True
    if k > 1:
        measured[np.arange(n), 1 + image[:, 5, 1:].argmax(axis=1)] = True
    delay = np.where(measured, exact.delay + delay_error * ndtri(image[:, 4]), 0.0)

    lens_error = errors("lens_error", 3)
    lens_known = system[:, 4] >= settings["lens_unknown"]
    offset = lens_error[:, None] * ndtri(system[:, 5:7])
    return exact._replace(
        position=position,
        position_error=position_error,
        delay=delay,
        delay_error=np.where(measured, delay_error, 0.0),
        delay_measured=measured,
        lens_position=np.where(lens_known[:, None], exact.lens_position + offset, 0.0),
        lens_error=np.where(lens_known, lens_error, 0.0),
        lens_known=lens_known,
    )
