"""What a network predicts, as it is stored: medians, errors, intervals, ranks and the truth."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.time_delay.canonical import Answer
from lensmill.experiments.time_delay.observe import Observed, Truth
from lensmill.learning import calibration, strangeness
from lensmill.learning.calibration import CENTRAL
from lensmill.pipeline import store

# What is judged of a system: the distance, and the lens at its first image.
JUDGED = {
    "ln_d_dt": "",
    "potential": "arcsec2",
    "deflection_x": "arcsec",
    "deflection_y": "arcsec",
}
JUDGED_DRAWS = 100  # of a posterior: ranks are exact and the CRPS is fair for any number
JUDGED_SYSTEMS = 10000  # of a population: sampling alone gives a coverage error of 1 % then

UNITS = {
    "calibration": calibration.units_of(JUDGED),
    strangeness.FEATURES: strangeness.UNITS[strangeness.FEATURES],
    "systems": {
        "index": "",
        "n_images": "",
        "first_image": "",
        "d_dt": "Mpc",
        "d_dt_known": "",
        "d_dt_median": "Mpc",
        "d_dt_low68": "Mpc",
        "d_dt_high68": "Mpc",
        "d_dt_low95": "Mpc",
        "d_dt_high95": "Mpc",
        "d_dt_rank": "",
        "z_lens": "",
        "z_source": "",
        "lens_x": "arcsec",
        "lens_y": "arcsec",
        "lens_error": "arcsec",
        "lens_known": "",
        "lens_model_known": "",
    },
    "images": {
        "system": "",
        "potential": "arcsec2",
        "potential_predicted": "arcsec2",
        "potential_error": "arcsec2",
        "potential_rank": "",
        "deflection_x": "arcsec",
        "deflection_x_predicted": "arcsec",
        "deflection_x_error": "arcsec",
        "deflection_x_rank": "",
        "deflection_y": "arcsec",
        "deflection_y_predicted": "arcsec",
        "deflection_y_error": "arcsec",
        "deflection_y_rank": "",
        "x_observed": "arcsec",
        "y_observed": "arcsec",
        "position_error": "arcsec",
        "delay_observed": "d",
        "delay_error": "d",
        "delay_measured": "",
    },
    "samples": {
        "ln_d_dt": "",
        "potential": "arcsec2",
        "deflection_x": "arcsec",
        "deflection_y": "arcsec",
    },
}


def summary(answer: Answer, truth: Truth) -> dict[str, NDArray]:
    """Return medians, errors, intervals and ranks of some systems."""
    found = {}
    ln_d_dt = answer.ln_d_dt
    found["ln_d_dt"] = np.median(ln_d_dt, axis=-1)
    for level, (low, high) in CENTRAL.items():
        interval = np.quantile(ln_d_dt, [low, high], axis=-1)
        found[f"low{level}"], found[f"high{level}"] = interval
    ln_true = np.log(np.where(truth.d_dt_known, truth.d_dt, 1.0))
    found["rank"] = np.where(truth.d_dt_known, calibration.ranks(ln_d_dt, ln_true), 0.5)
    wanted = {
        "potential": (answer.potential, truth.potential),
        "deflection_x": (answer.deflection[:, :, 0], truth.deflection[..., 0]),
        "deflection_y": (answer.deflection[:, :, 1], truth.deflection[..., 1]),
    }
    for name, (draws, true) in wanted.items():
        low, found[name], high = np.quantile(draws, [CENTRAL["68"][0], 0.5, CENTRAL["68"][1]], -1)
        found[f"{name}_error"] = (high - low) / 2
        known = truth.lens_model_known[:, None]
        found[f"{name}_rank"] = np.where(known, calibration.ranks(draws, true), 0.5)
    return found


def judged_draws(answer: Answer) -> NDArray:
    """Return the draws that are judged: (n, S, T), targets as in `JUDGED`."""
    draws = slice(JUDGED_DRAWS)
    lens = (answer.potential[:, 0], answer.deflection[:, 0, 0], answer.deflection[:, 0, 1])
    return np.stack([x[:, draws] for x in (answer.ln_d_dt, *lens)], axis=-1)


def judge(
    draws: NDArray,
    truth: Truth,
    prior_width: Mapping[str, float],
    rng: np.random.Generator,
    density_rank: NDArray | None,
) -> dict[str, NDArray]:
    """Judge the posteriors of systems whose truth is known: columns of the table ``calibration``.

    Parameters
    ----------
    draws : array, shape (n, S, T)
        From `judged_draws`.
    truth : Truth
        Of the same systems; of real ones only the distance is known.
    prior_width : mapping
        By name in `JUDGED`.
    rng : Generator
    density_rank : array, shape (n,), or None
        Of the truth in the space that the network answers in; None for real systems.
    """
    known = truth.d_dt_known
    lens = (truth.potential[:, 0], truth.deflection[:, 0, 0], truth.deflection[:, 0, 1])
    true = np.stack([np.log(np.where(known, truth.d_dt, 1.0)), *lens], axis=-1)
    names = list(JUDGED) if density_rank is not None else ["ln_d_dt"]
    return calibration.judge_systems(
        draws[known, :, : len(names)],
        true[known, : len(names)],
        names,
        np.array([prior_width[name] for name in names]),
        rng,
        density_rank[known] if density_rank is not None else None,
    )


def tables(observed: Observed, truth: Truth, summary: Mapping[str, NDArray]) -> store.Tables:
    """Return the tables of predictions: observed, true and predicted, a row per system or image."""
    n, k = observed.delay.shape
    systems = {
        "index": observed.index,
        "n_images": np.full(n, k),
        "first_image": np.arange(n) * k,
        "d_dt": truth.d_dt,
        "d_dt_known": truth.d_dt_known.astype(np.uint8),
        "d_dt_median": np.exp(summary["ln_d_dt"]),
        "d_dt_rank": summary["rank"],
        "z_lens": observed.z_lens,
        "z_source": observed.z_source,
        "lens_x": observed.lens_position[:, 0],
        "lens_y": observed.lens_position[:, 1],
        "lens_error": observed.lens_error,
        "lens_known": observed.lens_known.astype(np.uint8),
        "lens_model_known": truth.lens_model_known.astype(np.uint8),
    }
    for level in CENTRAL:
        for end in ("low", "high"):
            systems[f"d_dt_{end}{level}"] = np.exp(summary[f"{end}{level}"])
    images = {
        "system": np.repeat(observed.index, k),
        "x_observed": observed.position[..., 0],
        "y_observed": observed.position[..., 1],
        "position_error": observed.position_error,
        "delay_observed": observed.delay,
        "delay_error": observed.delay_error,
        "delay_measured": observed.delay_measured.astype(np.uint8),
        "potential": truth.potential,
        "deflection_x": truth.deflection[..., 0],
        "deflection_y": truth.deflection[..., 1],
    }
    for name in ("potential", "deflection_x", "deflection_y"):
        images[f"{name}_predicted"] = summary[name]
        images[f"{name}_error"] = summary[f"{name}_error"]
        images[f"{name}_rank"] = summary[f"{name}_rank"]
    return {"systems": systems, "images": {name: x.ravel() for name, x in images.items()}}


def samples(kept: list[Answer]) -> dict[str, NDArray]:
    """Return draws as 2-D columns: rows of ``systems`` or of ``images``."""
    ln_d_dt, potential, deflection = (
        np.concatenate([getattr(answer, name) for answer in kept]) for name in Answer._fields
    )
    draws = ln_d_dt.shape[-1]
    return {
        "ln_d_dt": ln_d_dt,
        "potential": potential.reshape(-1, draws),
        "deflection_x": deflection[:, :, 0].reshape(-1, draws),
        "deflection_y": deflection[:, :, 1].reshape(-1, draws),
    }
