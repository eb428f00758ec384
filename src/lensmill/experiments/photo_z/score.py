"""How good the redshifts of a method are: from what `network.predict` wrote."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lensmill.experiments.photo_z import densities, judging, weights
from lensmill.experiments.photo_z.network import UNITS
from lensmill.learning import calibration, posteriors, strangeness
from lensmill.pipeline import store

COSTS = ("train_seconds", "train_cpu_seconds", "seconds")  # add up in an ensemble
FACTS = ("network", "population", "train_on", "architecture", "features", "reference")


def score(
    predictions: str,
    settings: Mapping[str, Any],
    seed: int,
    output: str,
    family: str | None = None,
) -> dict[str, Any]:
    """Score the redshifts for a population.

    Parameters
    ----------
    predictions : path
        As `network.predict` wrote them.
    settings : mapping
        ``bootstraps``: how often galaxies are drawn anew for the errors of the scores.
    seed : int
        Of these draws.
    output : path
        Written: the predictions, and of methods that claim errors how strange each galaxy is.
    family : path, optional
        Scored predictions of the method for the population that it learned from, whose galaxies
        say what is strange; left out of its own scores.

    Returns
    -------
    dict
        ``network``, ``population``, ``train_on``, ``systems``, ``known`` (of known redshift),
        ``val_nmad``, by which methods are chosen; of the galaxies of known redshift the numbers of
        `judging.overall`, and in bins of magnitude (``by_magnitude``), of true redshift
        (``by_redshift``) and of answered redshift (``by_answer``) those of `judging.numbers`;
        ``reweighted``: the same with weights, with ``effective_systems`` and ``unrepresented``.
        Of methods that claim errors ``cde_loss`` and ``pit_outliers`` (below 0.0001 or above
        0.9999), and ``calibration``, see the contract.
    """
    about = store.attributes(predictions)
    systems = store.read(predictions, "systems")
    rng = np.random.Generator(np.random.Philox([seed, 7]))
    found: dict[str, Any] = {key: str(about[key]) for key in FACTS}
    found |= {
        "systems": len(systems["index"]),
        "known": int((systems["redshift_known"] == 1).sum()),
        "train_systems": int(about["train_systems"]),
        "val_nmad": float(about["val_nmad"]),
        "seconds": float(about["seconds"]),
        "train_cpu_seconds": float(about["train_cpu_seconds"]),
    }
    times = settings["bootstraps"]
    known = systems["redshift_known"] == 1
    if known.any():
        truth, answer = systems["redshift"][known], systems["answer"][known]
        error = judging.relative_error(answer, truth)
        found |= judging.overall(answer, truth, times, rng)
        magnitude = systems["magnitude"][known]
        seen = magnitude < 99
        found["by_magnitude"] = judging.binned(magnitude[seen], error[seen], times, rng)
        found["by_redshift"] = judging.binned(truth, error, times, rng)
        # What a user can select by; in bins of the truth the mean answer is drawn to the middle.
        found["by_answer"] = judging.binned(answer, error, times, rng)
        if "weight" in systems:
            weight = systems["weight"][known]
            errors = judging.bootstrap([error, weight], judging.numbers, times, rng)
            found["reweighted"] = {
                **judging.numbers(error, weight),
                **{f"{key}_error": value for key, value in errors.items()},
                "effective_systems": weights.effective_size(weight),
                "unrepresented": float(about["unrepresented"]),
                "reweight_to": str(about["reweight_to"]),
            }
    if not about["claims"]:
        store.extend(predictions, output)
        return found
    columns, attributes, strange = strangeness.judge(predictions, family)
    store.extend(predictions, output, attributes, columns, strangeness.UNITS)
    judged = calibration.summarise(store.read(predictions, "calibration"))
    if judged["systems"]:
        table = store.read(predictions, "densities")
        loss, pit = table["cde_loss"], table["pit"]
        found["cde_loss"] = float(loss.mean())
        found["cde_loss_error"] = float(loss.std() / np.sqrt(len(loss)))
        found["pit_outliers"] = float(((pit < 1e-4) | (pit > 1 - 1e-4)).mean())
        found["coverage_error"] = judged["worst"]["error"]
    return found | {"calibration": judged | {"strangeness": strange or None}}


def combine(members: Sequence[str], output: str, network: str) -> None:
    """Put the answers of several seeds together: the mean, or the mean of their p(z).

    Parameters
    ----------
    members : sequence of path
        What `network.predict` wrote for each on the same galaxies.
    output : path
        Written likewise, without importance.
    network : str
        Name of the ensemble.

    Raises
    ------
    ValueError
        If the members did not see the same galaxies, or are forests or template fits: these have
        nothing to gain from another seed.
    """
    about = [store.attributes(path) for path in members]
    kind = str(about[0]["architecture"])
    if kind in ("forest", "template"):
        raise ValueError(
            f"{network}: a {kind} is not made better by seeds; give a forest more `trees`, or ask "
            "for the method alone"
        )
    systems = store.read(members[0], "systems")
    for path in members[1:]:
        if not np.array_equal(store.read(path, "systems", ["index"])["index"], systems["index"]):
            raise ValueError(f"{path} and {members[0]} are not predictions of the same galaxies")
    facts = {k: v for k, v in about[0].items() if k not in ("content_digest", "network_seed")}
    facts |= {"network": network, "members": len(members)}
    facts |= {key: sum(one[key].item() for one in about) for key in COSTS}
    columns: dict[str, Any] = {"systems": systems}
    answers = [store.read(path, "systems", ["answer"])["answer"] for path in members]
    answer = np.mean(answers, axis=0)
    # The validation of a mean is not known; that of its members is, and it is no better.
    facts["val_nmad"] = float(np.mean([one["val_nmad"] for one in about]))
    if kind == "mixture":
        density = _join(members)
        answer, systems["error"] = densities.answer(density)
        columns["mixtures"] = _stored(density)
        columns |= _judge(members, density, systems, about[0])
    systems["answer"] = answer
    store.write(output, columns, UNITS, facts)


def _join(members: Sequence[str]) -> densities.Gaussians:
    mixtures = []
    for path in members:
        table = {k: v.astype(float) for k, v in store.read(path, "mixtures").items()}
        mean, factor = table["mean"][..., None], table["factor"][..., None, None]
        mixtures.append(posteriors.Mixture(table["weight"], mean, factor))
    return densities.Gaussians(posteriors.join(mixtures))


def _stored(density: densities.Gaussians) -> dict[str, Any]:
    weight, mean, factor = density.mixture
    columns = {"weight": weight, "mean": mean[..., 0], "factor": factor[..., 0, 0]}
    return {key: column.astype(np.float32) for key, column in columns.items()}


def _judge(
    members: Sequence[str],
    density: densities.Gaussians,
    systems: Mapping[str, Any],
    about: Mapping[str, Any],
) -> store.Tables:
    """Judge the joint p(z) of the galaxies whose p(z) was judged for the members."""
    index = store.read(members[0], "calibration", ["index"])["index"]
    rows = np.searchsorted(systems["index"], index)
    chosen = densities.Gaussians(posteriors.Mixture(*(part[rows] for part in density.mixture)))
    settings = json.loads(about["settings"])
    rng = np.random.Generator(np.random.Philox([int(about["seed"]), 6]))
    width = float(about["redshift_scatter"])
    truth = systems["redshift"][rows]
    found = judging.tables(chosen, index, truth, width, settings["draws"], rng)
    inner = [store.read(path, strangeness.FEATURES)["inner"] for path in members]
    found["features"] = {"index": index, "inner": np.concatenate(inner, axis=1)}
    return found
