"""How the score of the same sky changes with the angle it is seen at."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special

from lensmill.experiments.lens_finding import network as networks
from lensmill.experiments.lens_finding import simulate
from lensmill.learning import classification, runs
from lensmill.learning.calibration import CLAIMED_PERCENTILES
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
    """Measure how the score of the same sky changes with the angle it is seen at.

    The sky is turned and rendered anew: no pixel is interpolated. The systems follow the same prior
    as the population, but have numbers that no data set reaches, so no network has learned from
    them.

    Parameters
    ----------
    model, training : path
        As `network.train` wrote them.
    population_settings : mapping
        As `lensmill.experiments.lens_finding.simulate.draw` takes them.
    seed, experiment, population : int, str, str
        Key the random numbers of the systems.
    angles : int
        Steps of a full turn; a multiple of 4 has the quarters among them.
    systems : int
        How many, lenses and non-lenses together.
    threads : int
        Threads of the backend.
    output : path
        Written (JSON): by ``angle`` [deg, 0 to 360] the mean and largest ``logit_change`` (modulus)
        against the sky as it was, the ``score_change`` (mean, 16th and 84th percentile, with its
        sign), and the ``auroc`` (null where all systems are of one kind); and for ``examples``, the
        most undecided lens and non-lens, the score by angle.
    """
    trained = networks.load(model, training, threads)
    u = streams.uniforms(seed, experiment, population, streams.UNSEEN, systems, simulate.WIDTH)
    is_lens = simulate.draw(streams.UNSEEN, u, population_settings)["systems"]["is_lens"]
    angle = np.linspace(0.0, 360.0, angles + 1)
    logit = np.array(
        [networks.logits(trained, simulate.turned(u, population_settings, a)) for a in angle]
    )
    score = special.expit(logit)
    change, of_score = np.abs(logit - logit[0]), score - score[0]
    low, high = np.percentile(of_score, CLAIMED_PERCENTILES, axis=1)
    both = 0 < is_lens.sum() < is_lens.size
    undecided = np.abs(score[0] - 0.5)
    examples = [
        {"is_lens": kind, "score": score[:, rows[undecided[rows].argmin()]].tolist()}
        for kind in (1, 0)
        if (rows := np.flatnonzero(is_lens == kind)).size
    ]
    found = {
        "population": population,
        "systems": systems,
        "angle": angle.tolist(),
        "logit_change": {"mean": change.mean(axis=1).tolist(), "most": change.max(axis=1).tolist()},
        "score_change": {
            "mean": of_score.mean(axis=1).tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
        },
        "auroc": [classification.auroc(is_lens, x) if both else None for x in logit],
        "examples": examples,
    }
    runs.replace(output, lambda part: part.write_text(json.dumps(found)))
