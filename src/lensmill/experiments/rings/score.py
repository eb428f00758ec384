"""How good the answers of a network are: from what `network.predict` wrote."""

from collections.abc import Mapping
from typing import Any

from lensmill.experiments.rings import counting, drawing, shapes
from lensmill.pipeline import store

SCORES = {"count": counting, "ring": shapes, "ellipse": shapes, "images": drawing}


def score(predictions: str, settings: Mapping[str, Any], seed: int, output: str) -> dict[str, Any]:
    """Score the predictions for a population; see ``score`` of the module for what was asked.

    Parameters
    ----------
    predictions : path
    settings, seed
        Not needed here: what is random has the seed of the predictions.
    output : path
        Written: the predictions, as they are.

    Returns
    -------
    dict
        ``network``, ``population``, ``systems``, ``answers``, and the scores.
    """
    about = store.attributes(predictions)
    store.extend(predictions, output)
    head = {name: str(about[name]) for name in ("network", "population", "train_on", "answers")}
    head["systems"] = len(store.read(predictions, "systems", ["index"])["index"])
    return head | SCORES[head["answers"]].score(about, predictions)
