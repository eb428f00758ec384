"""Calibration of H0 on Bayes' own terms: many universes, each measured with its own systems.

In every universe H0 and Omega_m are drawn from the prior of the answer, and systems from the
population that the networks were trained on, with its noise. They go the way of real systems:
network, test against the prior, combination. If all of it is right, the truth lies in the 68 %
interval of 68 % of the universes (Talts et al. 2018, arXiv:1804.06788).
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.time_delay import hubble, network, observe, simulate
from lensmill.learning.calibration import ONE_SIGMA_PERCENTILES
from lensmill.pipeline import logs, store
from lensmill.pipeline.streams import uniforms

DRAWS = 1000  # of a posterior: enough for its density
AT_A_TIME = 500  # systems; bounds the memory of the draws
# Half of what a Gaussian has within one and two standard deviations: how far the rank of the truth
# may lie from the middle.
HALF68, HALF95 = 0.3413, 0.4772
SPARE = 20  # systems drawn beyond twice those needed: most have a usable number of images


def calibrate_hubble(
    models: Sequence[str],
    trainings: Sequence[str],
    mocks: str,
    mock_predictions: Sequence[str],
    output: str,
    population: Mapping[str, Any],
    prior: Mapping[str, Any],
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
) -> None:
    """Measure the coverage of combined Hubble constants.

    Parameters
    ----------
    models, trainings : sequence of path
        The networks, one per number of images.
    mocks, mock_predictions : path, sequence of path
        As in `hubble.infer_hubble`.
    output : path
        Written (JSON): for each universe the true ``h0`` and ``omega_m``, the combined value with
        its interval, the rank of the truth, and the same without the systems that the test against
        the prior refuses; coverage and errors over all.
    population : mapping
        ``family`` and ``prior`` of the training.
    prior : mapping
        Priors of ``h0`` and ``omega_m`` of the answer.
    settings : mapping
        ``universes``, ``systems`` in each, and ``false_alarm_rate``.
    seed, threads : int
    """
    count, size = settings["universes"], settings["systems"]
    trained = {name: population["prior"][name] for name in ("h0", "omega_m")}
    networks = [network.load(*paths, threads) for paths in zip(models, trainings, strict=True)]
    limits = hubble.prior_limits(mocks, mock_predictions, prior, settings["false_alarm_rate"])
    usable = [n.training["images"] for n in networks]
    with tempfile.TemporaryDirectory(dir=Path(output).parent) as folder:
        dataset = str(Path(folder) / "dataset.h5")
        draw(dataset, count, size, usable, population, prior, seed)
        systems = store.read(dataset, "systems")
        samples = dict(pair for one in networks for pair in _answers(one, dataset, seed))
    quantiles = np.array(
        [np.percentile(samples[i], ONE_SIGMA_PERCENTILES) for i in range(count * size)]
    )
    miss = hubble.prior_miss(quantiles.T, systems["z_lens"], systems["z_source"], prior)
    kept = miss <= [limits[k].outside for k in systems["n_images"]]

    found = []
    for universe in logs.progress(range(count), "universes"):
        rows = np.arange(universe * size, (universe + 1) * size)
        truth = {name: float(systems[name][rows[0]]) for name in ("h0", "omega_m")}
        one = {**truth, "left_out": int(size - kept[rows].sum())}
        for name, chosen in (("all", rows), ("usable", rows[kept[rows]])):
            grid, below = hubble.hubble_posterior(
                [samples[i] for i in chosen],
                {column: values[chosen] for column, values in systems.items()},
                trained,
                prior,
            )
            low, middle, high = np.interp(np.array(ONE_SIGMA_PERCENTILES) / 100, below, grid)
            rank = np.interp(truth["h0"], grid, below)
            one[name] = {"h0": middle, "low68": low, "high68": high, "rank": float(rank)}
        found.append(one)
    content = {"systems": size, "prior": dict(prior), "universes": found}
    content |= {name: _coverage(found, name) for name in ("all", "usable")}
    with store.whole(Path(output)) as file:
        file.write(json.dumps(content, indent=1).encode())


def draw(
    dataset: str,
    count: int,
    size: int,
    n_images: Sequence[int],
    population: Mapping[str, Any],
    prior: Mapping[str, Any],
    seed: int,
) -> None:
    """Write ``size`` systems with usable numbers of images in each of ``count`` universes.

    The universe of a system is its index divided by ``size``.
    """
    settings = {
        "family": population["family"],
        "prior": {**population["prior"], **{name: prior[name] for name in ("h0", "omega_m")}},
    }
    n = 2 * size + SPARE
    u = uniforms(seed, "time_delay", "universes", 0, count * n, simulate.WIDTH)
    for name in ("h0", "omega_m"):
        slot = simulate.SLOTS.index(name)
        u[:, slot] = np.repeat(u[::n, slot], n)
    tables = simulate.draw(0, u, settings)
    systems, images = tables["systems"], tables["images"]
    good = np.isin(systems["n_images"], n_images) & (systems["status"] <= observe.LAST_GOOD_STATUS)
    place = np.cumsum(good.reshape(count, n), axis=1)
    if (place[:, -1] < size).any():
        raise ValueError(
            f"a universe has only {place[:, -1].min()} of {size} systems with {n_images} images"
        )
    rows = np.flatnonzero(good & (place <= size).ravel())
    own = np.concatenate(
        [systems["first_image"][i] + np.arange(systems["n_images"][i]) for i in rows]
    )
    systems = {name: column[rows] for name, column in systems.items()}
    images = {name: column[own] for name, column in images.items()}
    systems["index"] = np.arange(len(rows))
    systems["first_image"] = np.cumsum(systems["n_images"]) - systems["n_images"]
    images["system"] = np.repeat(systems["index"], systems["n_images"])
    store.write(dataset, {"systems": systems, "images": images}, simulate.UNITS, {})


def _answers(trained: network.Network, dataset: str, seed: int) -> list[tuple[int, NDArray]]:
    """Return index and samples of ln D_dt of every system that a network answers for."""
    k = trained.training["images"]
    observed, _ = observe.from_simulated(dataset, None, None, k)
    u = observe.noise_uniforms(seed, "time_delay", "universes", observed.index, k)
    observed = observe.perturb(observed, trained.training["observation"], u)
    rng = np.random.Generator(np.random.Philox([seed, k]))
    answers = []
    for first in logs.progress(range(0, len(u), AT_A_TIME), f"systems with {k} images"):
        some = observe.select(observed, slice(first, first + AT_A_TIME))
        ln_d_dt = network.answer(trained, some, DRAWS, rng).ln_d_dt
        answers += list(zip(some.index.tolist(), ln_d_dt, strict=True))
    return answers


def _coverage(found: list[dict[str, Any]], name: str) -> dict[str, float]:
    """Return coverage, mean error in units of the claimed one, and its standard error."""
    rank = np.array([one[name]["rank"] for one in found])
    error = np.array([one[name]["h0"] - one["h0"] for one in found])
    claimed = np.array([(one[name]["high68"] - one[name]["low68"]) / 2 for one in found])
    pull = error / claimed
    return {
        "coverage68": float(np.mean(np.abs(rank - 0.5) < HALF68)),
        "coverage95": float(np.mean(np.abs(rank - 0.5) < HALF95)),
        "bias": float(error.mean()),
        "bias_in_errors": float(pull.mean()),
        "bias_in_errors_error": float(pull.std() / np.sqrt(len(pull))),
        "median_error": float(np.median(claimed)),
    }
