"""Model cards: what a saved network was trained on, where it is valid, how good it is (Markdown).

Mitchell et al. (2019), arXiv:1810.03993.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lensmill.learning import calibration
from lensmill.pipeline import store
from lensmill.pipeline.settings import reach

NAMES = ("family-names", "given-names")  # of a person, in CITATION.cff
# What the record of a training says of the model, and what that is called.
FACTS = {
    "architecture": "architecture",
    "parameters": "parameters (weights)",
    "systems": "systems that it learned from",
    "epochs": "epochs",
    "best_epoch": "epoch that is kept",
    "seconds": "training [s]",
    "cpu_seconds": "training, processor time [s]",
    "seed": "seed of the run",
    "dataset": "digest of the data set",
}


def write(
    trainings: Sequence[str],
    scores: Sequence[str],
    populations: Mapping[str, Mapping[str, Any]],
    citation: str,
    outputs: Sequence[str],
) -> None:
    """Write the cards of several networks, each whole or not at all.

    Parameters
    ----------
    trainings, scores : sequence of path
        Of each network the record of its training, and its scores on the population that it was
        trained on.
    populations : mapping
        By name of the network, what fixes that population: ``family`` and ``prior`` with what the
        family fixes laid over it, or ``ingest``.
    citation : path
        ``CITATION.cff``.
    outputs : sequence of path
        Written, in the order of the networks.
    """
    cited = cite(yaml.safe_load(Path(citation).read_text()))
    for training, score, output in zip(trainings, scores, outputs, strict=True):
        record, found = (json.loads(Path(path).read_text()) for path in (training, score))
        text = card(Path(output).parent.name, record, found, populations, cited)
        with store.whole(Path(output)) as file:
            file.write(text.encode())


def card(
    name: str,
    training: Mapping[str, Any],
    scores: Mapping[str, Any],
    populations: Mapping[str, Mapping[str, Any]],
    citation: str,
) -> str:
    """Return the card of one network; arguments as in `write`, but read."""
    population = populations[name]
    simulated = "ingest" not in population
    learned = training.get("population") or scores["population"]
    judged = scores.get("calibration") or {}
    judged = judged if "systems" in judged else {}  # of classes, other things are called so
    strange = judged.get("strangeness")
    sections = {
        "Trained on": _trained_on(training, learned, population, simulated),
        "Valid range": _valid_range(population, simulated),
        "What it does not know": _unknown(training, judged, simulated),
        "When not to trust it": _distrust(strange),
        "Scores on its own population": _scores(scores, judged),
        "How to cite": [citation],
    }
    title = f"# {name}: model card"
    of = f" of the experiment `{training['experiment']}`" if "experiment" in training else ""
    said = (
        f"A network{of}; the model and `training.json`, with all its settings, lie beside this "
        "card."
    )
    parts = [f"## {head}\n\n" + "\n".join(lines) for head, lines in sections.items()]
    return "\n\n".join([title, said, *parts]) + "\n"


def cite(citation: Mapping[str, Any]) -> str:
    """Return the sentence by which software with such a ``CITATION.cff`` is cited."""
    authors = "; ".join(
        author.get("name") or ", ".join(filter(None, map(author.get, NAMES)))
        for author in citation["authors"]
    )
    more = [citation[key] for key in ("doi", "url", "repository-code") if key in citation][:1]
    return ", ".join([f"{authors}: *{citation['title']}*", f"version {citation['version']}", *more])


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]


def _trained_on(
    training: Mapping[str, Any], name: str, population: Mapping[str, Any], simulated: bool
) -> list[str]:
    what = f"family `{population['family']}`" if "family" in population else "mocks"
    source = what if simulated else f"real systems from `{population['ingest']}`"
    rows = [["population", f"`{name}`: {source}"]]
    rows += [[said, training[key]] for key, said in FACTS.items() if training.get(key) is not None]
    versions = ", ".join(f"{name} {is_}" for name, is_ in training.get("versions", {}).items())
    rows += [["with", versions]] if versions else []
    observation = training.get("observation") or population.get("observation")
    if observation:
        rows.append(["observed with", f"`{json.dumps(observation)}`"])
    return _table(["", ""], rows)


def _valid_range(population: Mapping[str, Any], simulated: bool) -> list[str]:
    if not simulated:
        return [
            f"That of the systems in `{population['ingest']}`: `checks.json` and `dataset.h5` of "
            "the population say what they are."
        ]
    rows = [
        [f"`{name}`", *(f"{end:.4g}" for end in reach(prior)), f"`{json.dumps(prior)}`"]
        if _is_prior(prior)
        else [f"`{name}`", "", "", f"`{json.dumps(prior)}`"]
        for name, prior in population["prior"].items()
    ]
    return _table(["parameter", "smallest", "largest", "prior or value"], rows)


def _is_prior(value: Any) -> bool:
    """Say whether a value is a prior of numbers: kind and parameters."""
    return (
        isinstance(value, list)
        and len(value) > 1
        and isinstance(value[0], str)
        and all(isinstance(x, int | float) for x in value[1:])
        and (value[0] == "fixed" or len(value) > 2)
    )


def _unknown(training: Mapping[str, Any], judged: Mapping[str, Any], simulated: bool) -> list[str]:
    said = ["- Whatever lies outside that range: it answers all the same."]
    if simulated:
        said.append("- Real data: all that it has seen is drawn from the prior above.")
    said.append(
        "- How common systems are elsewhere: its answers hold the frequencies of its population."
    )
    if not judged:
        said.append(
            "- Whether errors that it claims hold at all levels and together: that is not judged."
        )
    return said


def _distrust(strange: Mapping[str, Any] | None) -> list[str]:
    if not strange:
        return [
            "There is no threshold: no test here tells whether a system is of its family. Where "
            "that is in doubt, do not trust it."
        ]
    family = strange["family"]
    low, rate, high = (100 * family[key] for key in ("low", "rate", "high"))
    return [
        f"Where the strangeness of a system is above **{family['threshold']:.4g}**: do not trust.",
        "",
        f"This threshold was set for {100 * family['wanted']:.0f} % of false alarms on "
        f"{family['set_on']:,} test systems of the family. Of {family['of']:,} others it refuses "
        f"{rate:.2f} % (68 %: {low:.2f} to {high:.2f} %). A system below it may still be of "
        "another family: the network may not see what sets it apart.",
    ]


def _numbers(scores: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: f"{value:.4g}" if isinstance(value, float) else str(value)
        for key, value in scores.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _scores(scores: Mapping[str, Any], judged: Mapping[str, Any]) -> list[str]:
    lines = [f"{calibration.verdict(judged)[1]}", ""] if judged else []
    lines += _table(["score", ""], [[f"`{k}`", v] for k, v in _numbers(scores).items()])
    targets = {name: _numbers(one) for name, one in scores.get("targets", {}).items() if one}
    if targets:
        keys = list(dict.fromkeys(key for one in targets.values() for key in one))
        rows = [[f"`{name}`", *(one.get(k, "") for k in keys)] for name, one in targets.items()]
        lines += ["", *_table(["target", *(f"`{key}`" for key in keys)], rows)]
    return lines
