"""How good the predictions of a network are, per target: from what `network.predict` wrote."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.learning import calibration, regression, strangeness
from lensmill.pipeline import store

LENS = ("potential", "deflection_x", "deflection_y")
# A network does not see all that sets a real lens apart (B1608+656, with two lens galaxies).
NOTE = "For real systems the exact tests have the last word (systems.ecsv)."


def score(
    predictions: str,
    settings: Mapping[str, Any],
    seed: int,
    output: str,
    family: str | None = None,
) -> dict[str, Any]:
    """Score the predictions for a population.

    Parameters
    ----------
    predictions : path
        As `network.predict` wrote them.
    settings, seed
        Not needed here.
    output : path
        Written: the predictions, and where errors are claimed how strange each system is.
    family : path, optional
        Scored predictions of the network for the population that it was trained on, whose systems
        say what is strange; left out of its own scores.

    Returns
    -------
    dict
        ``network``, ``population``, ``images``, number of ``systems``, ``seconds`` that predicting
        took; ``targets``: for potential, deflection and ln D_dt those of
        `regression.error_scores`, None where a truth is unknown, and coverage None if a network
        claims no error; ``mse_standardised``, the mean over potential and deflections. Of a network
        that claims errors ``calibration``: what `calibration.summarise` finds, and ``strangeness``
        from `strangeness.judge`; ``coverage_error``, the largest of them.
    """
    about = store.attributes(predictions)
    systems = store.read(predictions, "systems")
    k = int(about["images"])
    found = {
        "network": about["network"],
        "population": about["population"],
        "images": k,
        "systems": len(systems["index"]),
    }
    if not found["systems"]:  # a table of real systems need not have this number of images
        store.extend(predictions, output)
        return found
    added: dict[str, Any] = {}
    if about["draws"]:
        added = _judge(predictions, output, family)
    else:
        store.extend(predictions, output)
    images = store.read(predictions, "images")
    images = {name: images[name].reshape(-1, k) for name in images if name != "system"}
    scaling = json.loads(about["target_scaling"])
    found["seconds"] = float(about["seconds"])
    return found | _scores(systems, images, scaling, bool(about["draws"])) | added


def _judge(predictions: str, output: str, family: str | None) -> dict[str, Any]:
    """Write the predictions with how strange the systems are; return what it all comes to."""
    columns, attributes, strange = strangeness.judge(predictions, family)
    store.extend(predictions, output, attributes, columns, strangeness.UNITS)
    judged = calibration.summarise(store.read(predictions, "calibration"))
    judged["strangeness"] = strange or None
    if not store.read(predictions, "systems", ["lens_model_known"])["lens_model_known"].any():
        judged["note"] = NOTE
    worst = {"coverage_error": judged["worst"]["error"]} if judged["systems"] else {}
    return {"calibration": judged} | worst


def _scores(
    systems: Mapping[str, NDArray],
    images: Mapping[str, NDArray],
    scaling: Mapping[str, Any],
    calibrated: bool,
) -> dict[str, Any]:
    """Scores per target; None where a truth is unknown or a network claims no error."""
    model, d_dt = (systems[name] == 1 for name in ("lens_model_known", "d_dt_known"))
    components: dict[str, list] = {"potential": [], "deflection": [], "ln_d_dt": []}
    for name in LENS:
        error = (images[f"{name}_predicted"] - images[name])[model]
        rank = images[f"{name}_rank"][model]
        components[name.split("_")[0]].append((error, scaling[name]["scale"], rank))
    if images["potential"].shape[1] > 1:
        true, predicted = systems["d_dt"][d_dt], systems["d_dt_median"][d_dt]
        error = (np.log(predicted) - np.log(true))[:, None]
        rank = systems["d_dt_rank"][d_dt][:, None]
        components["ln_d_dt"].append((error, scaling["ln_d_dt"]["scale"], rank))

    targets = {}
    for target, columns in components.items():
        columns = [column for column in columns if column[0].size]
        targets[target] = _target_scores(columns, calibrated) if columns else None
    lens = components["potential"] + components["deflection"]
    squares = [((error / scale) ** 2).mean() for error, scale, _ in lens if error.size]
    return {
        "targets": targets,
        # Potential has one column per image and deflection two: each column counts the same.
        "mse_standardised": float(np.mean(squares)) if squares else None,
    }


def _target_scores(columns: list[tuple], calibrated: bool) -> dict[str, float | None]:
    errors = np.concatenate([error.ravel() for error, _, _ in columns])
    scaled = np.concatenate([(error / np.array(scale)).ravel() for error, scale, _ in columns])
    ranks = np.concatenate([rank.ravel() for _, _, rank in columns])
    return regression.error_scores(errors, scaled, ranks if calibrated else None)
