"""What a network answers for the same sky at every angle, drawn anew or turned as a picture."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lensmill.experiments.cluster_mass import judging, simulate
from lensmill.experiments.cluster_mass import network as networks
from lensmill.learning import runs
from lensmill.pipeline import streams


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
    """Measure how the answers for the same clusters change with the angle that they are seen at.

    Twice: the sky is turned and photons are drawn from it anew; and, as pictures are often turned,
    the pixels of the sky as it was are interpolated and the corners filled with zeros. The clusters
    follow the prior of the population, but have numbers that no data set reaches.

    Parameters
    ----------
    model, training : path
        As `network.train` wrote them.
    population_settings : mapping
        As `simulate.draw` takes them.
    seed, experiment, population : int, str, str
        Key the random numbers of the systems.
    angles : int
        Steps of a full turn; a multiple of 4 has the quarters among them.
    systems : int
    threads : int
        Threads of the backend.
    output : path
        Written (JSON): ``network``, ``population``, ``systems``, ``angle`` [deg, 0 to 360] and, for
        the ``sky`` drawn anew and for interpolated ``pixels``, by angle ``bias``, ``scatter`` and
        ``mse`` of ln M, and ``change``: the rms difference from the answer at angle 0.
    """
    trained = networks.load(model, training, threads)
    u = streams.uniforms(seed, experiment, population, streams.UNSEEN, systems, simulate.WIDTH)
    angle = np.linspace(0.0, 360.0, angles + 1)
    upright, told = simulate.turned(u, population_settings, 0.0)
    truth = told["ln_m500"]
    ways: dict[str, list[NDArray]] = {"sky": [], "pixels": []}
    for degrees in angle:
        seen, _ = simulate.turned(u, population_settings, float(degrees))
        ways["sky"].append(networks.answer(trained, seen, told))
        ways["pixels"].append(networks.answer(trained, turn_pixels(upright, degrees), told))
    found: dict[str, Any] = {"population": population, "systems": systems, "angle": angle.tolist()}
    for way, answers in ways.items():
        scores = [judging.numbers(answer - truth, truth) for answer in answers]
        found[way] = {key: [one[key] for one in scores] for key in ("bias", "scatter", "mse")}
        found[way]["change"] = [
            float(np.sqrt(((answer - answers[0]) ** 2).mean())) for answer in answers
        ]
    runs.replace(output, lambda part: part.write_text(json.dumps(found)))


def turn_pixels(pixels: NDArray, degrees: float) -> NDArray:
    """Return images turned counter-clockwise as pictures are: interpolated, zeros in the corners.

    What no data should be made of: photons are smoothed, and the background ends in an octagon.
    """
    # rows run upwards, so turning the array from rows to columns turns the sky clockwise
    return ndimage.rotate(
        pixels, -degrees, axes=(1, 2), reshape=False, order=1, mode="constant", cval=0.0
    ).astype(np.float32)
