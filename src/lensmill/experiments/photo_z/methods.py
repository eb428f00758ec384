"""The methods that tell redshifts, behind one contract: learn, and answer with p(z) or a number.

All learn ln(1 + z) unless they are told to learn z: a scatter in it is the dz / (1 + z) that they
are judged by.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.photo_z import densities
from lensmill.learning import posteriors

ROWS_AT_A_TIME = 8192  # that a Keras network sees at a time
# The parts of a blend, with the defaults of schema.yaml.
BLENDED = {
    "boosting": {
        "loss": "absolute_error",
        "shrinkage": 0.04,
        "trees": 400,
        "leaves": 20,
        "leaf": 10,
        "share": 0.5,
        "penalty": 1.0,
    },
    "svr": {"penalty": 10.0, "tube": 0.1, "gamma": 1.0},
    "mlp": {
        "width": 64,
        "layers": 2,
        "penalty": 0.01,
        "learning_rate": 2e-3,
        "batch_size": 64,
        "epochs": 60,
    },
}


def estimator(settings: Mapping[str, Any], columns: int, seed: int) -> Any:
    """Return the unfitted estimator of scikit-learn: forest, boosting, mlp, svr or blend."""
    from sklearn.ensemble import (
        ExtraTreesRegressor,
        HistGradientBoostingRegressor,
        RandomForestRegressor,
        VotingRegressor,
    )
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR

    kind = settings["architecture"]
    if kind == "blend":
        # Networks err each in its own way: all of them together weigh as much as another part.
        times = {part: settings["networks"] if part == "mlp" else 1 for part in settings["parts"]}
        members, weights = [], []
        for part, count in times.items():
            given = {**BLENDED[part], "architecture": part}
            for i in range(count):
                members.append((f"{part}_{i}", estimator(given, columns, seed + i)))
                weights.append(1 / count)
        return VotingRegressor(members, weights=weights)
    if kind == "forest":
        best = settings["thresholds"] == "best"
        return (RandomForestRegressor if best else ExtraTreesRegressor)(
            settings["trees"],
            min_samples_leaf=settings["leaf"],
            max_features=settings["share"],
            random_state=seed,
        )
    if kind == "boosting":
        return HistGradientBoostingRegressor(
            loss=settings["loss"],
            learning_rate=settings["shrinkage"],
            max_iter=settings["trees"],
            max_leaf_nodes=settings["leaves"],
            min_samples_leaf=settings["leaf"],
            max_features=settings["share"],
            l2_regularization=settings["penalty"],
            early_stopping=False,
            random_state=seed,
        )
    if kind == "mlp":
        found = MLPRegressor(
            hidden_layer_sizes=(settings["width"],) * settings["layers"],
            alpha=settings["penalty"],
            learning_rate_init=settings["learning_rate"],
            batch_size=settings["batch_size"],
            max_iter=settings["epochs"],
            n_iter_no_change=settings["epochs"],  # it stops after its epochs, not before
            random_state=seed,
        )
        return make_pipeline(StandardScaler(), found)
    if kind == "svr":
        found = SVR(
            C=settings["penalty"], epsilon=settings["tube"], gamma=settings["gamma"] / columns
        )
        return make_pipeline(StandardScaler(), found)
    raise ValueError(f"{kind!r} is no estimator of scikit-learn that is used here")


def fit(model: Any, x: NDArray, target: NDArray) -> Any:
    """Fit an estimator; that a perceptron ends after its epochs is what was asked for."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, target)


def forest_draws(model: Any, x: NDArray) -> NDArray:
    """Answers of every tree of a forest, (n, trees): draws from its predictive distribution.

    With one training galaxy in a leaf each is the target of a galaxy that the tree takes for alike
    (Meinshausen 2006, J. Mach. Learn. Res. 7, 983; for redshifts Carrasco Kind & Brunner 2013).
    """
    return np.stack([tree.predict(x) for tree in model.estimators_], axis=1)


def mixture(model: Any, x: NDArray, components: int, scaling: Mapping) -> densities.Gaussians:
    """Return p(z) of a Keras network with a mixture head."""
    rows = np.asarray(model.predict(x.astype(np.float32), batch_size=ROWS_AT_A_TIME, verbose=0))
    found = posteriors.unpack(rows, components, 1)
    return densities.Gaussians(posteriors.rescale(found, scaling["mean"], scaling["scale"]))
