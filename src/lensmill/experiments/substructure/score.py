"""How good the answers of a network are: from what `network.predict` wrote."""

from collections.abc import Mapping
from typing import Any

from lensmill.experiments.substructure import measuring, naming, strange
from lensmill.learning import strangeness
from lensmill.pipeline import store

SCORES = {"class": naming, "numbers": measuring, "anomaly": strange}


def score(
    predictions: str,
    settings: Mapping[str, Any],
    seed: int,
    output: str,
    family: str | None = None,
) -> dict[str, Any]:
    """Score the predictions for a population; see ``score`` of the module for what was asked.

    Parameters
    ----------
    predictions : path
    settings : mapping
        ``evaluation`` of the experiment.
    seed : int
        Not needed here: what is random has the seed of the predictions.
    output : path
        Written: the predictions, of numbers with how strange each system is.
    family : path, optional
        Of a network that measures: its scored predictions for the population that it was trained
        on, whose systems say what is strange; left out of its own scores.

    Returns
    -------
    dict
        ``network``, ``population``, ``train_on``, ``answers``, ``architecture``, ``parameters``,
        ``train_systems``, ``train_seconds``, ``systems``, and the scores.
    """
    about = store.attributes(predictions)
    texts = ("network", "population", "train_on", "answers", "architecture")
    head: dict[str, Any] = {name: str(about[name]) for name in texts}
    head |= {name: int(about[name]) for name in ("parameters", "train_systems")}
    head["train_seconds"] = float(about["train_seconds"])
    head["systems"] = len(store.read(predictions, "systems", ["index"])["index"])
    found = SCORES[head["answers"]].score(about, predictions, settings)
    if head["answers"] != "numbers":
        store.extend(predictions, output)
        return head | found
    columns, attributes, strange_ = strangeness.judge(predictions, family)
    store.extend(predictions, output, attributes, columns, strangeness.UNITS)
    found["calibration"]["strangeness"] = strange_ or None
    return head | found
