"""Posteriors made up for lenses that were made up: no image, no network, all of them Gaussian.

So the right posterior is known: what is measured with an error, and what is known before, weighed.
"""

import json
from pathlib import Path

import numpy as np

from lensmill.experiments.lens_parameters import network, parameters
from lensmill.experiments.lens_parameters.parameters import PARAMETERS
from lensmill.learning import posteriors, strangeness
from lensmill.pipeline import store

# Of the targets: mean and scatter of the prior, and errors. Nothing is measured of the slope.
MEAN = np.array([0.0, 0.0, 0.0, 2.08, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
SCATTER = np.array([0.35, 0.24, 0.24, 0.16, 0.05, 0.05, 0.05, 0.05, 0.3, 0.3])
ERROR = np.array([0.03, 0.07, 0.07, 1.0, 0.02, 0.02, 0.01, 0.01, 0.04, 0.04])


def truths(systems, seed=1):
    """Draw the parameters of lenses, (n, T)."""
    normal = np.random.default_rng(seed).standard_normal((systems, len(MEAN)))
    return parameters.from_targets(MEAN + SCATTER * normal)


def write(path, truth, claimed=1.0, shift=0.0, error=ERROR, seed=1, strange=0.0, **about):
    """Write predictions as `network.predict` does.

    Parameters
    ----------
    path : path
        Ends in NETWORK/POPULATION/predictions.h5.
    truth : array, shape (n, T)
        NaN where it is not known.
    claimed : float
        Widths of the posteriors over the right ones; below 1 they are overconfident.
    shift : float
        Of the posteriors, in units of their right widths.
    error : array, shape (T,)
        Of what was measured, in the targets.
    seed : int
    strange : float
        How far the features lie from those of others, in units of their scatter.
    about
        Attributes that are to differ.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 1])  # another stream than that of the truth
    n, targets = len(truth), parameters.to_targets(truth)
    measured = np.where(np.isfinite(targets), targets, MEAN)
    measured = measured + error * rng.standard_normal(targets.shape)
    weight = SCATTER**2 / (SCATTER**2 + error**2)
    width = np.sqrt(weight) * error
    mean = MEAN + weight * (measured - MEAN) + shift * width
    factor = np.tile(np.diag(1 / (claimed * width)), (n, 1, 1, 1))
    mixture = posteriors.Mixture(np.ones((n, 1)), mean[:, None], factor)
    snr = np.exp(rng.normal(4.0, 1.0, n))
    systems = {"index": np.arange(n), "name": np.full(n, "", object)}
    systems |= {f"true_{name}": truth[:, i] for i, name in enumerate(PARAMETERS)}
    systems |= {"snr": snr, "arc_snr": snr, "arc_length": np.ones(n)}
    systems |= {"has_quasar": np.ones(n), "n_images": np.full(n, 4.0)}
    prior = network._prior(truths(2000, 7))
    columns = network.tables_of(mixture, systems, prior, 200, seed)
    inner = rng.standard_normal((n, 6)) + strange
    columns[strangeness.FEATURES] = {"index": np.arange(n), "inner": inner}
    attributes = {
        "network": path.parts[-3],
        "population": path.parts[-2],
        "train_on": path.parts[-2],
        "architecture": "p4m",
        "train_systems": 1000,
        "prior": json.dumps(prior),
        "draws": 200,
        "seed": seed,
    }
    attributes |= dict.fromkeys(("parameters", "train_seconds", "train_cpu_seconds"), 1)
    attributes |= {"seconds": 1.0, "network_seed": seed, "experiment": "lens_parameters"}
    store.write(str(path), columns, network.UNITS, attributes | about)
    return str(path)
