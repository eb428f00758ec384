"""How the answers of a network change when the same lenses are seen otherwise."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from lensmill.experiments.time_delay import network as networks
from lensmill.experiments.time_delay import observe, transforms
from lensmill.experiments.time_delay.canonical import Answer
from lensmill.experiments.time_delay.observe import Observed
from lensmill.learning import runs
from lensmill.pipeline import splits


def invariance(
    model: str,
    training: str,
    dataset: str,
    split: str,
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
    output: str,
    network: str,
    population: str,
) -> None:
    """Measure how the answers change when the same lenses are seen otherwise.

    Parameters
    ----------
    model, training : path
        As `network.train` wrote them.
    dataset, split : path
        A population and its split, of which the test part is used.
    seed : int
        Fixes the noise of the systems.
    threads : int
        Threads of the backend.
    network, population : str
        Their names.
    settings : mapping
        ``invariance_systems``: test systems looked at.
    output : path
        Written (JSON): for each symmetry the ``amount`` of change (rad, arcsec, a permutation's
        number or a factor), ``d_dt`` [Mpc] predicted per amount and system, ``deflection_x`` of
        the first image carried back [arcsec] likewise, and the largest relative change of D_dt,
        ``d_dt_change``, and of carried-back deflections, ``deflection_change`` (of its modulus),
        against the system as it is, per amount.
    """
    trained = networks.load(model, training, threads)
    k, observation = trained.training["images"], trained.training["observation"]
    experiment = trained.training["experiment"]
    observed, _ = observe.from_simulated(dataset, split, splits.TEST, k)
    observed = observe.select(observed, slice(settings["invariance_systems"]))
    if observation:
        u = observe.noise_uniforms(seed, experiment, population, observed.index, k)
        observed = observe.perturb(observed, observation, u)
    # Every view in a batch of its own, like the reference: products of matrices of another shape
    # are rounded otherwise, by 5e-8 on some processors.
    n = len(observed.index)
    before = networks.answer(trained, observed, rows=n)
    amounts = {
        "rotation": np.radians(np.arange(0, 361, 5)),
        "reflection": np.radians(np.arange(0, 181, 5)),
        "translation": np.linspace(0, 2, 21),
        "relabelling": np.arange(12),
        "scale": np.geomspace(0.5, 2, 21),
    }
    found: dict[str, Any] = {"network": network, "population": population, "images": k}
    for kind, values in amounts.items():
        views = [transforms.apply(kind, float(value), observed) for value in values]
        together = Observed(*(np.concatenate(columns) for columns in zip(*views, strict=True)))
        answer = networks.answer(trained, together, rows=n)
        d_dt = np.exp(answer.ln_d_dt[:, 0]).reshape(len(values), n)
        carried = np.stack(
            [
                transforms.undo(
                    kind, float(value), Answer(*(x[i * n : (i + 1) * n] for x in answer))
                ).deflection[..., 0]
                for i, value in enumerate(values)
            ]
        )
        change = np.linalg.norm(carried - before.deflection[..., 0], axis=-1)
        modulus = np.linalg.norm(before.deflection[..., 0], axis=-1)
        ratio = np.abs(d_dt / np.exp(before.ln_d_dt[:, 0]) - 1)
        found[kind] = {
            "amount": values.tolist(),
            "d_dt": d_dt.tolist(),
            "deflection_x": carried[:, :, 0, 0].tolist(),
            "d_dt_change": ratio.max(axis=1).tolist(),
            "deflection_change": (change / modulus).max(axis=(1, 2)).tolist(),
        }
    runs.replace(output, lambda part: part.write_text(json.dumps(found)))
