"""Networks that measure lenses: pixels in, the posterior of `parameters.PARAMETERS` out."""

import functools
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.lens_parameters import parameters
from lensmill.experiments.lens_parameters.parameters import PARAMETERS, TARGETS, targets_of
from lensmill.learning import calibration, posteriors, regression, runs, strangeness, tables
from lensmill.learning.runs import Network, load  # noqa: F401  (`load` is part of the contract)
from lensmill.pipeline import provenance, store

log = logging.getLogger(__name__)

VALIDATED = 10000  # images of the validation set: enough to tell two epochs apart
ALONE = 1.0  # what the parameters by themselves count in the scales of posteriors
SYSTEMS_AT_A_TIME = 500  # bounds the memory that draws of the posterior take
# What predictions copy from the data set, where it has them: column, unit.
COPIED = {"snr": "", "arc_snr": "", "arc_length": "arcsec", "has_quasar": "", "n_images": ""}
UNITS = {
    "systems": {
        "index": "",
        "name": "",
        **{f"true_{p}": u for p, u in PARAMETERS.items()},
        **COPIED,
    },
    # posteriors: mixtures of Gaussians in the targets, see `parameters.TARGETS`
    "mixtures": {"weight": "", "mean": "", "factor": ""},
    "calibration": calibration.units_of(PARAMETERS),
    strangeness.FEATURES: strangeness.UNITS[strangeness.FEATURES],
}
UNITS["systems"] |= {
    f"{name}_{part}": unit
    for name, unit in PARAMETERS.items()
    for part in regression.Summary._fields
}


def head(settings: Mapping[str, Any]) -> regression.Head:
    """Return the head: a mixture of Gaussians over all targets."""
    spins = TARGETS[targets_of(settings)]
    return regression.head("mixture", len(PARAMETERS), settings["components"], spins)


def prepare(
    dataset: str, split: str, settings: Mapping[str, Any], seed: int, keys: runs.Keys
) -> runs.Training:
    """Return what is particular about the training of these networks."""
    from lensmill.experiments.lens_parameters import architectures
    from lensmill.learning import images, steerable, stretch

    truth = parameters.from_systems(store.read(dataset, "systems"))
    targets = parameters.to_targets(truth, targets_of(settings))
    known = np.isfinite(targets).all(axis=1)
    spins = TARGETS[targets_of(settings)]
    fold = settings["fold"], settings["folds"]
    learned, validated = images.read(dataset, split, targets, *fold, known)
    learned = images.first(learned, settings["max_systems"])
    validated = images.first(validated, VALIDATED)
    scaling = regression.spin_scaling(learned.targets, spins)
    learned, validated = (
        part._replace(targets=tables.standardise(part.targets, scaling).astype(np.float32))
        for part in (learned, validated)
    )
    shape, chosen = learned.pixels.shape[1:], head(settings)
    noise = None
    if settings["stretch"] == "training":
        noise = stretch.training_noise(learned.pixels, learned.rows)
    batches = images.Batches(
        learned,
        settings["batch_size"],
        keys.second,
        settings["repeats"],
        turn=functools.partial(steerable.turn_targets, spins=spins)
        if settings.get("augment") == "dihedral"
        else None,
    )
    loss = chosen.loss()

    def finish(model: Any) -> dict[str, Any]:
        outputs = images.predict(model, validated.pixels, validated.rows)
        columns = [regression.columns_of([spin]) for spin in spins]
        groups = np.repeat(np.arange(len(spins)), columns).tolist()
        mixture = chosen.unpack(outputs)
        found = posteriors.learn_scales(mixture, validated.targets, groups, ALONE)
        return {"scales": {key: value.tolist() for key, value in found._asdict().items()}}

    facts = store.attributes(dataset)
    return runs.Training(
        build=lambda: architectures.build(settings, shape, chosen, keys.first % 2**20, noise),
        loss=loss,
        epochs=batches,
        validation=images.Validation(validated, loss, batches),
        settings=settings,
        record={
            "architecture": settings["architecture"],
            "shape": list(shape),
            "observation": json.loads(facts["settings"]).get("observation", {}),
            "noise": noise,
            "systems": len(learned.rows),
            "standardisation": scaling,
            "prior": _prior(truth[learned.rows]),
        },
        finish=finish,
    )


train = functools.partial(runs.train, prepare)


def _prior(truth: NDArray) -> dict[str, dict[str, float]]:
    """Describe what the network learned from: whoever answers with that alone is this good."""
    low, median, high = np.percentile(truth, calibration.ONE_SIGMA_PERCENTILES, axis=0)
    numbers = {"low": truth.min(axis=0), "high": truth.max(axis=0), "mean": truth.mean(axis=0)}
    numbers |= {"median": median, "width": (high - low) / 2, "sd": truth.std(axis=0)}
    return {
        name: {key: float(values[i]) for key, values in numbers.items()}
        for i, name in enumerate(PARAMETERS)
    }


def predict(
    network: Network,
    dataset: str,
    split: str | None,
    settings: Mapping[str, Any],
    seed: int,
    output: str,
    name: str,
    population: str,
) -> None:
    """Measure the test images of a population, or all images of an ingested one.

    Parameters
    ----------
    network : Network
        As `load` gives it.
    dataset : path
        The population.
    split : path or None
        Its split, of which the test part is used; None for all systems.
    settings : mapping
        ``draws`` of every posterior.
    seed : int
        Of the draws.
    output : path
        Written (HDF5): table ``systems`` with the truth (NaN where it is not known) and the
        posteriors summed up, ``mixtures`` with the posteriors themselves (see
        `lensmill.learning.posteriors.Mixture`), ``calibration`` of those whose truth is known, and
        ``features``, what the network has seen in each image.
    name, population : str
        Of the network and of the population.

    Raises
    ------
    ValueError
        If split, images and systems do not belong together, the images are not of the size and
        bands that the network learned from, or it gives no finite answer for one.
    """
    from lensmill.experiments.lens_parameters import architectures
    from lensmill.learning import images

    record = network.training
    pixels = store.pixels(dataset)
    images.check_shape(pixels, record["shape"], record["population"])
    rows = tables.test_rows(dataset, split)
    begun = time.monotonic()
    outputs, features = architectures.answer(network.model, pixels, rows)
    seconds = time.monotonic() - begun
    systems = _systems(dataset, rows)
    bad = ~np.isfinite(outputs).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{name} gives no finite answer for {bad.sum()} of {bad.size} images of {dataset} "
            f"(first: index {systems['index'][bad.argmax()]}); did its training diverge, or do the "
            "images hold what is not finite?"
        )
    mixture, kind = read_outputs(network, outputs), targets_of(record["settings"])
    columns = tables_of(mixture, systems, record["prior"], settings["draws"], seed, kind)
    columns[strangeness.FEATURES] = {
        "index": systems["index"],
        "inner": features.astype(np.float32),
    }
    attributes = provenance.attributes(
        {},
        network=name,
        population=population,
        train_on=record["population"],
        architecture=record["architecture"],
        network_seed=record["settings"]["seed"],
        targets=kind,
        parameters=record["parameters"],
        train_systems=record["systems"],
        train_seconds=record["seconds"],
        train_cpu_seconds=record["cpu_seconds"],
        seconds=round(seconds, 3),
        experiment="lens_parameters",
        seed=seed,
        draws=settings["draws"],
        prior=json.dumps(record["prior"]),
        dataset=store.attributes(dataset)["content_digest"],
    )
    store.write(output, columns, UNITS, attributes)


def read_outputs(network: Network, outputs: NDArray) -> posteriors.Mixture:
    """Return the posteriors, in the targets, that outputs (n, P) of a network stand for."""
    record = network.training
    mixture = head(record["settings"]).unpack(outputs)
    scales = posteriors.Scales(*map(np.array, record["scales"].values()))
    mixture = posteriors.scale_mixture(mixture, scales)
    return posteriors.rescale(mixture, *record["standardisation"].values())


def tables_of(
    mixture: posteriors.Mixture,
    systems: Mapping[str, NDArray],
    prior: Mapping[str, Mapping[str, float]],
    draws: int,
    seed: int,
    kind: str = "lens",
) -> store.Tables:
    """Sum posteriors up by draws, and judge those whose truth is known.

    Parameters
    ----------
    mixture : Mixture
        n posteriors in the targets.
    systems : mapping
        ``index`` and the truth.
    prior : mapping
        By parameter its ``width``, in whose units posteriors are compared.
    draws : int
        Of each posterior.
    seed : int
    kind : str
        Of the targets, one of `parameters.TARGETS`.
    """
    rng = np.random.Generator(np.random.Philox([seed, 4]))
    # of its own, so that no draw hangs on what is judged
    chance = np.random.Generator(np.random.Philox([seed, 5]))
    truth = np.column_stack([systems[f"true_{name}"] for name in PARAMETERS])
    right = parameters.to_targets(truth, kind)
    known = np.isfinite(right).all(axis=1)
    summaries, judged, ranks = [], [], []
    for first in range(0, len(truth), SYSTEMS_AT_A_TIME):
        rows = slice(first, first + SYSTEMS_AT_A_TIME)
        some = posteriors.Mixture(*(part[rows] for part in mixture))
        targets = posteriors.sample(some, draws, rng)
        values = parameters.from_targets(targets, kind)
        summaries.append(regression.summarise(np.moveaxis(values, 1, 2)))
        here = np.flatnonzero(known[rows])
        if len(here):
            some = posteriors.Mixture(*(part[here] for part in some))
            of_truth = posteriors.log_density(some, right[rows][here])
            of_draws = posteriors.log_densities(some, targets[here])
            ranks.append(calibration.density_ranks(of_draws, of_truth, chance))
            judged.append(values[here])
    summed = {
        f"{name}_{part}": np.concatenate([getattr(one, part)[:, i] for one in summaries])
        for i, name in enumerate(PARAMETERS)
        for part in regression.Summary._fields
    }
    columns: store.Tables = {
        "systems": {**systems, **summed},
        "mixtures": {name: part.astype(np.float32) for name, part in mixture._asdict().items()},
    }
    if judged:
        columns["calibration"] = {
            "index": systems["index"][known],
            **calibration.judge_systems(
                np.concatenate(judged),
                truth[known],
                list(PARAMETERS),
                np.array([prior[name]["width"] or 1.0 for name in PARAMETERS]),
                chance,
                np.concatenate(ranks),
            ),
        }
    return columns


def _systems(dataset: str, rows: NDArray) -> dict[str, NDArray]:
    """Return the truth of some systems, and what else the data set knows of them."""
    systems = store.read(dataset, "systems")
    n = len(systems["index"])
    truth = parameters.from_systems(systems)
    name = np.asarray(systems.get("name", np.full(n, "")), object)
    found = {"index": systems["index"], "name": name}
    found |= {f"true_{p}": truth[:, i] for i, p in enumerate(PARAMETERS)}
    found |= {c: np.asarray(systems.get(c, np.zeros(n)), float) for c in COPIED}
    return {column: values[rows] for column, values in found.items()}
