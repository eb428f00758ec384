"""Networks that weigh clusters: photon counts in, ln M500 out, beside what simple methods say."""

import functools
import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.cluster_mass import estimators, excision
from lensmill.learning import regression, runs, tables
from lensmill.learning.runs import Network, load  # noqa: F401  (`load` is part of the contract)
from lensmill.pipeline import provenance, store

VALIDATED = 5000  # images of the validation set: enough to tell two epochs apart
HEAVIEST = 20.0  # weight of a system over the mean: rare masses are not learned by heart
AT_A_TIME = 256  # images whose cores are cut out at once
EXCISED = "network_excised"  # the answer for the image without its core
ANSWERS = ("network", EXCISED, *estimators.ESTIMATORS)
COPIED = {
    "redshift": "",
    "cool_core": "",
    "axis_ratio": "",
    "exposure": "s",
    "counts": "",
    "mass_bin": "",
}
UNITS = {
    "systems": {
        "index": "",
        "group": "",
        "ln_m500": "",
        "known": "",
        **{f"ln_m500_{name}": "" for name in ANSWERS},
        **COPIED,
    }
}


def prepare(
    dataset: str, split: str, settings: Mapping[str, Any], seed: int, keys: runs.Keys
) -> runs.Training:
    """Return what is particular about the training of these networks."""
    from lensmill.experiments.cluster_mass import architectures
    from lensmill.learning import images

    systems = store.read(dataset, "systems")
    told = beside(systems, settings["given"])
    learned, validated = images.read(
        dataset,
        split,
        systems["ln_m500"][:, None],
        settings["fold"],
        settings["folds"],
        of_known_mass(systems),
        systems["mass_bin"],
        settings["turn"],
        told,
    )
    learned = images.first(learned, settings["max_systems"])
    validated = images.first(validated, VALIDATED)
    scaling = tables.scaling(learned.targets)
    given = None if told is None else tables.scaling(learned.numbers)
    weights = flat_weights(systems["mass_bin"], learned.rows, settings["weights"])
    judging = flat_weights(systems["mass_bin"], validated.rows, settings["weights"])
    mine = {name: values[learned.rows] for name, values in systems.items()}
    span = [float(learned.targets.min()), float(learned.targets.max())]
    learned, validated = (
        part._replace(
            targets=tables.standardise(part.targets, scaling).astype(np.float32),
            numbers=None if given is None else _float32(tables.standardise(part.numbers, given)),
        )
        for part in (learned, validated)
    )
    shape = learned.pixels.shape[1:]
    loss = regression.head("point", 1).loss()
    batches = images.Batches(
        learned,
        settings["batch_size"],
        keys.second,
        settings["repeats"],
        turn=images.unchanged if settings.get("augment") == "dihedral" else None,
        weights=weights,
    )
    facts = store.attributes(dataset)
    return runs.Training(
        build=lambda: architectures.build(
            settings, shape, len(settings["given"]), keys.first % 2**20
        ),
        loss=loss,
        epochs=batches,
        validation=images.Validation(
            validated, loss, batches, regression.point_metrics, weights=judging
        ),
        settings=settings,
        record={
            "architecture": settings["architecture"],
            "shape": list(shape),
            "observation": json.loads(facts["settings"]).get("observation", {}),
            "systems": len(learned.rows),
            "groups": len(np.unique(mine["group"].astype(str))),
            "standardisation": scaling,
            "given": given,
            "span": span,
            "estimators": estimators.fit(mine, weights),
        },
    )


train = functools.partial(runs.train, prepare)


def of_known_mass(systems: Mapping[str, NDArray]) -> NDArray:
    """Say of which systems the mass is known: of all that are simulated."""
    return np.asarray(systems.get("ln_m500_known", np.ones(len(systems["index"]))), bool)


def beside(systems: Mapping[str, NDArray], given: list[str]) -> NDArray | None:
    """Return what a network is told beside the image, (n, K); None for nothing.

    The redshift, and the logarithms of exposure and background, which the sky is multiplied by.
    """
    if not given:
        return None
    columns = [
        systems[name] if name == "redshift" else np.log(np.maximum(systems[name], 1e-30))
        for name in given
    ]
    return np.column_stack(columns).astype(np.float64)


def flat_weights(mass_bin: NDArray, rows: NDArray, kind: str) -> NDArray | None:
    """Return weights under which all bins of mass count alike, of mean 1; None if none are asked.

    The few systems of the rarest bins get no more than ``HEAVIEST``.
    """
    if kind == "none":
        return None
    _, of, counts = np.unique(mass_bin[rows], return_inverse=True, return_counts=True)
    weights = len(rows) / (len(counts) * counts[of])
    weights = np.minimum(weights, HEAVIEST)
    return (weights / weights.mean()).astype(np.float32)


def answer(
    network: Network, pixels: NDArray, systems: Mapping[str, NDArray], rows: NDArray | None = None
) -> NDArray:
    """Return ln M500 [Msun] by a network, (n,).

    Parameters
    ----------
    pixels : array, shape (N, height, width, bands)
    systems : mapping
        Columns of the n systems that are asked about.
    rows : array of int, shape (n,), optional
        Of their images; all by default.
    """
    from lensmill.learning import images

    record = network.training
    told = beside(systems, record["settings"]["given"])
    if told is not None:
        told = tables.standardise(told, record["given"])
    found = images.predict(network.model, pixels, rows, told)
    return tables.restore(found, record["standardisation"])[:, 0]


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
    """Weigh the test part of a population, or all of it without a split.

    Parameters
    ----------
    network : Network
        As `load` gives it.
    dataset, split : path
        The test part is that of the network's own turn.
    settings : mapping
        ``evaluation`` of the experiment.
    seed : int
        Keys the photons that replace a core.
    output : path
        Written (HDF5): table ``systems`` with ``ln_m500``, whether it is ``known``, and what is
        answered: ``ln_m500_network``; ``ln_m500_network_excised``, by the same network of the image
        whose core is replaced (`excision`); and, by `estimators` that were fitted to what the
        network learned from, ``ln_m500_counts``, ``ln_m500_counts_excised`` and
        ``ln_m500_gas_mass``.
    name, population : str
        Of the network and of the population.

    Raises
    ------
    ValueError
        If split, images and systems do not belong together, the images are not of the size that
        the network learned from, or it gives no finite answer for one.
    """
    from lensmill.learning import images

    record = network.training
    pixels = store.pixels(dataset)
    images.check_shape(pixels, record["shape"], record["population"])
    rows = tables.test_rows(dataset, split, record["settings"]["turn"])
    systems = {column: values[rows] for column, values in store.read(dataset, "systems").items()}
    begun = time.monotonic()
    found = {"network": answer(network, pixels, systems, rows)}
    seconds = time.monotonic() - begun
    if (bad := ~np.isfinite(found["network"])).any():
        raise ValueError(
            f"{name} gives no finite answer for {bad.sum()} of {bad.size} images of {dataset} "
            f"(first: index {systems['index'][bad.argmax()]}); did its training diverge?"
        )
    rng = np.random.Generator(np.random.Philox([seed, 23]))
    excised = []
    scale = record["observation"]["pixel_scale"]
    for first in range(0, len(rows), AT_A_TIME):
        some = {k: values[first : first + AT_A_TIME] for k, values in systems.items()}
        of = np.asarray(pixels[rows[first : first + AT_A_TIME]])
        of = excision.without_core(of, some["x"], some["y"], some["r500"] * 60 / scale, rng)
        excised.append(answer(network, of, some))
    found |= {EXCISED: np.concatenate(excised), **estimators.answer(record["estimators"], systems)}
    columns = {
        "index": systems["index"],
        "group": systems["group"],
        "ln_m500": systems["ln_m500"],
        "known": of_known_mass(systems).astype(np.uint8),
        **{f"ln_m500_{key}": values for key, values in found.items()},
        **{key: systems[key] for key in COPIED},
    }
    attributes = provenance.attributes(
        {},
        experiment="cluster_mass",
        network=name,
        population=population,
        train_on=record["population"],
        architecture=record["architecture"],
        weights=record["settings"]["weights"],
        turn=record["settings"]["turn"],
        parameters=record["parameters"],
        train_systems=record["systems"],
        train_groups=record["groups"],
        train_seconds=record["seconds"],
        train_cpu_seconds=record["cpu_seconds"],
        seconds=round(seconds, 3),
        span=record["span"],
        seed=seed,
        dataset=store.attributes(dataset)["content_digest"],
    )
    store.write(output, {"systems": columns}, UNITS, attributes)


def _float32(values: NDArray) -> NDArray:
    return values.astype(np.float32)
