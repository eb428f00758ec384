"""How the answers for the same sky turn with the angle that it is seen at."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.lens_parameters import network as networks
from lensmill.experiments.lens_parameters import parameters, simulate
from lensmill.experiments.lens_parameters.parameters import PARAMETERS, SPINS
from lensmill.learning import regression, runs
from lensmill.pipeline import streams

# What changes together, by its columns in the targets.
GROUPS = {
    "theta_e": (0,),  # its logarithm: a relative change
    "slope": (3,),
    "lens": (6, 7),
    "source": (8, 9),
    "ellipticity": (1, 2),
    "shear": (4, 5),
}


def rotation(
    model: str,
    training: str,
    population_settings: Mapping[str, Any],
    seed: int,
    experiment: str,
    population: str,
    angles: int,
    systems: int,
    threads: int,
    output: str,
) -> None:
    """Measure how the answers for the same sky turn with the angle that it is seen at.

    The sky is turned and rendered anew: no pixel is interpolated. The systems follow the same prior
    as the population, but have numbers that no data set reaches, so no network has learned from
    them. An answer is the mean of the posterior, of the logarithm for the Einstein radius.

    Parameters
    ----------
    model, training : path
        As `network.train` wrote them.
    population_settings : mapping
        As `lensmill.experiments.lens_parameters.simulate.draw` takes them.
    seed, experiment, population : int, str, str
        Key the random numbers of the systems.
    angles : int
        Steps of a full turn; a multiple of 4 has the quarters among them.
    systems : int
    threads : int
        Threads of the backend.
    output : path
        Written (JSON): by ``angle`` [deg, 0 to 360], for each of `GROUPS` in ``change`` how far
        (``mean`` and ``most``) an answer, turned back, is from that for the sky as it was, and in
        ``rms_error`` how far from the truth (relative for the Einstein radius, else in units of
        `parameters.PARAMETERS`); and ``example``, the lens with the largest ellipticity: by
        parameter its ``truth`` and the ``answer``.
    """
    trained = networks.load(model, training, threads)
    u = streams.uniforms(seed, experiment, population, streams.UNSEEN, systems, simulate.WIDTH)
    angle = np.linspace(0.0, 360.0, angles + 1)
    truths, answers = [], []
    for degrees in angle:
        pixels, turned = simulate.turned(u, population_settings, degrees)
        truth = parameters.from_systems({**turned, "index": np.arange(systems)})
        truths.append(parameters.to_targets(truth))
        answers.append(means(trained, pixels))
    back = [turn(found, -np.deg2rad(a)) for found, a in zip(answers, angle, strict=True)]
    changes = {name: [_apart(x, back[0], name) for x in back] for name in GROUPS}
    errors = {
        name: [_apart(x, y, name) for x, y in zip(answers, truths, strict=True)] for name in GROUPS
    }
    flatness = np.hypot(*truths[0][:, list(GROUPS["ellipticity"])].T)
    shown = {
        kind: parameters.from_targets(np.array(values)[:, flatness.argmax()])
        for kind, values in (("truth", truths), ("answer", answers))
    }
    found = {
        "population": population,
        "systems": systems,
        "angle": angle.tolist(),
        "change": {
            name: {
                "mean": [float(x.mean()) for x in several],
                "most": [float(x.max()) for x in several],
            }
            for name, several in changes.items()
        },
        "rms_error": {
            name: [float(np.sqrt((x**2).mean())) for x in several]
            for name, several in errors.items()
        },
        "example": {
            name: {kind: values[:, i].tolist() for kind, values in shown.items()}
            for i, name in enumerate(PARAMETERS)
        },
    }
    runs.replace(output, lambda part: part.write_text(json.dumps(found)))


def means(trained: runs.Network, pixels: NDArray) -> NDArray:
    """Return the means of the posteriors of images, as targets of the kind `lens`, (n, T)."""
    from lensmill.experiments.lens_parameters import architectures

    outputs, _ = architectures.answer(trained.model, pixels)
    mixture = networks.read_outputs(trained, outputs)
    mean = (mixture.weight[..., None] * mixture.mean).sum(axis=1)
    kind = parameters.targets_of(trained.training["settings"])
    return parameters.to_targets(parameters.from_targets(mean, kind))


def turn(targets: NDArray, angle: float, spins: Sequence[int] = SPINS) -> NDArray:
    """Return targets (n, T) as they are after the sky was turned counter-clockwise [rad]."""
    turned = np.array(targets, float)
    for i, spin in enumerate(spins):
        if spin:
            column = regression.columns_of(spins[:i])
            c, s = np.cos(spin * angle), np.sin(spin * angle)
            x, y = targets[:, column], targets[:, column + 1]
            turned[:, column], turned[:, column + 1] = c * x - s * y, s * x + c * y
    return turned


def _apart(one: NDArray, other: NDArray, name: str) -> NDArray:
    """Return how far two answers are apart in one of `GROUPS`, (n,)."""
    columns = list(GROUPS[name])
    return np.linalg.norm(one[:, columns] - other[:, columns], axis=1)
