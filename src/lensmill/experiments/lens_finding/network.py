"""Networks that tell lenses from what only looks like them: pixels in, a logit out."""

import functools
import itertools
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import special

from lensmill.cutouts import checks as image_checks
from lensmill.imaging import photometry, quality
from lensmill.learning import classification, mixtures, runs, tables
from lensmill.learning.runs import Network, load  # noqa: F401  (`load` is part of the contract)
from lensmill.pipeline import provenance, splits, store
from lensmill.pipeline.splits import TEST

log = logging.getLogger(__name__)

VALIDATED = 10000  # images of the validation set: enough to tell two epochs apart
WARM_UP = 64  # images scored before the clock runs: the first call compiles
LOGISTIC = "logistic"  # architecture of the baseline on photometry
CLASSES = ("non-lenses", "lenses")
# What predictions copy from the data set, where it has them: column, unit.
COPIED = {
    "theta_e": "arcsec",
    "slope": "",
    "snr": "",
    "arc_snr": "",
    "arc_length": "arcsec",
    "n_images": "",
    "n_minima": "",
    "n_saddles": "",
    "theta_e_over_seeing": "",
}
# Numbers of other objects: -1 or "" where the data set does not have them.
OBJECTS = {"host": "", "group": ""}
# As `photometry` measures it on the image of a galaxy; 0 where that was not done.
MEASURED = {"host_magnitude": "mag", "host_colour": "mag", "host_radius": "arcsec"}
COUNTS = ("n_images", "n_minima", "n_saddles")
UNITS = {
    "systems": {
        **dict.fromkeys(("index", "is_lens", "label_known", "kind", "logit", "score"), ""),
        **COPIED,
        **OBJECTS,
        **MEASURED,
    }
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
    learned: list[str] | str | None = None,
    learned_split: list[str] | str | None = None,
) -> None:
    """Score the test images of a population, or all images of an ingested one.

    Of one that is ``test_only``, systems of groups that the network learned from are left out:
    they belong to another turn.

    Parameters
    ----------
    network : Network
        As `load` gives it.
    dataset : path
        The population.
    split : path or None
        Its split, of which the test part is used; None for a population that no part of was
        learned from.
    settings, seed
        Not needed here.
    output : path
        Written (HDF5): table ``systems`` with labels, ``logit``, ``score`` (its probability) and
        what is known of the lenses.
    name, population : str
        Of the network and of the population.
    learned : path or list of path, optional
        Data sets that the network learned from and that may share images or groups with this
        one: real images, or mocks upon real sky.
    learned_split : path or list of path, optional
        Their splits, whose test part the network has not seen.

    Raises
    ------
    ValueError
        If split, images and systems do not belong together, no system is left, the network learned
        from some of these images or their groups, or it does not give a finite logit for every one.
    """
    pixels = store.pixels(dataset)
    record = network.training
    turn = record["settings"].get("turn", 0)
    rows = tables.test_rows(dataset, split, turn)
    facts = store.attributes(dataset)
    about = json.loads(facts["settings"])
    left_out = 0
    for data, parts in itertools.zip_longest(_listed(learned), _listed(learned_split)):
        seen = None if parts is None else np.flatnonzero(splits.read(data, parts, turn) != TEST)
        if about.get("test_only"):
            kept = _of_other_groups(dataset, rows, data, seen)
            left_out += len(rows) - len(kept)
            rows = kept
        _refuse_shared(dataset, rows, data, seen, name)
    if not rows.size:
        raise ValueError(
            f"{name} has learned from the groups of all systems of {dataset}: none is left to "
            "judge it by; ask a network of another turn"
        )
    logits(network, pixels, rows[:WARM_UP])
    begun = time.monotonic()
    logit = np.asarray(logits(network, pixels, rows), np.float64)
    seconds = time.monotonic() - begun
    systems = _systems(dataset, rows, about)
    bad = ~np.isfinite(logit)
    if bad.any():
        raise ValueError(
            f"{name} gives no finite logit for {bad.sum()} of {bad.size} images of {dataset} "
            f"(first: index {systems['index'][bad.argmax()]}); did its training diverge, or do the "
            "images hold what is not finite?"
        )
    systems |= {"logit": logit, "score": special.expit(logit)}
    attributes = provenance.attributes(
        {},
        network=name,
        population=population,
        train_on=record["population"],
        architecture=record["architecture"],
        network_seed=record["settings"]["seed"],
        train_prevalence=_prevalence(record),
        parameters=record["parameters"],
        train_seconds=record["seconds"],
        train_cpu_seconds=record["cpu_seconds"],
        seconds=round(seconds, 3),
        experiment="lens_finding",
        seed=seed,
        dataset=facts["content_digest"],
        turn=turn,
        left_out=left_out,
    )
    systems = {column: systems[column] for column in UNITS["systems"]}
    store.write(output, {"systems": systems}, UNITS, attributes)


def logits(network: Network, pixels: NDArray, rows: NDArray | None = None) -> NDArray:
    """Return the logit of being a lens for every image, float64 (n,).

    Parameters
    ----------
    network : Network
    pixels : array, shape (N, height, width, bands)
        As stored [electron / s]; a memory map is read some images at a time.
    rows : array of int, optional
        The images wanted; all by default.

    Raises
    ------
    ValueError
        If the images are not of the size and bands that the network was trained on.
    """
    from lensmill.learning import images

    images.check_shape(pixels, network.training["shape"], network.training["population"])
    if network.training["architecture"] == LOGISTIC:
        chosen = np.asarray(pixels if rows is None else pixels[rows])
        features = photometry_features(chosen, network.training["observation"])
        return network.model.decision_function(features).astype(np.float64)
    return images.predict(network.model, pixels, rows)[:, 0]


def recall(network: Network, dataset: str, output: str, name: str) -> None:
    """Write the logit of every system of a population, learned from or not.

    For what learns from this network, or is set by it: nothing is judged by these.

    Parameters
    ----------
    network : Network
        As `load` gives it.
    dataset : path
        The population.
    output : path
        Written (HDF5): table ``systems`` with ``index`` and ``logit``, in the order of the
        data set.
    name : str
        Of the network.
    """
    index = store.read(dataset, "systems", ["index"])["index"]
    facts = store.attributes(dataset)
    systems = {"index": index, "logit": logits(network, store.pixels(dataset))}
    about = {"network": name, "population": facts["population"], "dataset": facts["content_digest"]}
    units = {"systems": dict.fromkeys(systems, "")}
    store.write(output, {"systems": systems}, units, provenance.attributes({}, **about))


def recalled(path: str, dataset: str) -> NDArray:
    """Read the logits that `recall` wrote.

    Raises
    ------
    ValueError
        If they are those of other images.
    """
    if store.attributes(path)["dataset"] != store.attributes(dataset)["content_digest"]:
        raise ValueError(f"{path} are not the logits of {dataset}; delete them and run again")
    return store.read(path, "systems", ["logit"])["logit"]


def labels(dataset: str) -> tuple[NDArray, NDArray]:
    """Read of every system whether it is a lens, and whether that is known."""
    systems = store.read(dataset, "systems", ["is_lens", "label_known"])
    return systems["is_lens"] == 1, systems["label_known"] == 1


def photometry_features(pixels: NDArray, observation: Mapping[str, Any]) -> NDArray:
    """Return what a catalogue says of the object in the middle of images, (n, bands + 1).

    Its magnitude in all, the logarithm of its half-light radius, and its colours from band to band
    in a circle about the middle. A flux counts as its noise at least.
    """
    found = photometry.measure(pixels, observation)
    size = pixels.shape[1]
    place = (np.arange(size) - (size - 1) / 2) * observation["pixel_scale"]
    inside = np.hypot(place, place[:, None]) < photometry.APERTURE
    noise = quality.sky_sigma(pixels) * np.sqrt(inside.sum())
    flux = np.maximum(pixels[:, inside].sum(axis=1, dtype=np.float64), noise)
    colours = -2.5 * np.diff(np.log10(np.maximum(flux, 1e-30)), axis=1)
    radius = np.log10(np.maximum(found["host_radius"], 0.01))
    return np.column_stack([found["host_magnitude"], radius, colours])


def prepare(
    dataset: str | list[str],
    split: str | list[str],
    settings: Mapping[str, Any],
    seed: int,
    keys: runs.Keys,
) -> runs.Training | runs.Fit:
    """Return what is particular about the training of these networks."""
    datasets, parted = _listed(dataset), _listed(split)
    shares = settings.get("shares", [1.0])
    pixels = [store.pixels(path) for path in datasets]
    found = [labels(path) for path in datasets]
    is_lens = targets = np.concatenate([lens for lens, _ in found])
    if teachers := _listed(settings.get("teacher")):
        said = [recalled(path, data) for path, data in zip(teachers, datasets, strict=True)]
        targets = special.expit(np.concatenate(said))
        settings = {key: value for key, value in settings.items() if key != "teacher"}
    fold = settings["fold"], settings["folds"]
    of_parts = []
    for path, parts, (lens, known) in zip(datasets, parted, found, strict=True):
        rows = tables.parts(path, parts, *fold, known, lens, settings.get("turn", 0))
        of_parts.append((rows[0], rows[1][:VALIDATED]))
    limits = [None] * len(datasets)
    if settings["max_systems"]:
        limits = mixtures.apportion(settings["max_systems"], shares)
    sizes = [len(lens) for lens, _ in found]
    learned = mixtures.join([a[:n] for (a, _), n in zip(of_parts, limits, strict=True)], sizes)
    validated = mixtures.join([b for _, b in of_parts], sizes)
    what = " and ".join(map(str, datasets))
    for part, chosen in (("train", learned), ("validation", validated)):
        classification.check_classes(is_lens[chosen.rows], f"{what}: the {part} part", CLASSES)
    lens, lens_validated = (is_lens[part.rows] for part in (learned, validated))
    counts = [mixtures.weights(part.population, shares) for part in (learned, validated)]
    facts = store.attributes(datasets[0])
    observation = json.loads(facts["settings"]).get("observation", {})
    architecture = settings["architecture"]
    record = {
        "architecture": architecture,
        "shape": list(pixels[0].shape[1:]),
        "observation": observation,
        "systems": len(lens),
        "lenses": int(lens.sum()),
        # of an epoch, in which populations have their shares
        "prevalence": float(np.average(lens, weights=counts[0])),
    }
    images_ = pixels[0] if len(pixels) == 1 else mixtures.Joined(pixels)
    if architecture == LOGISTIC:
        weights = counts[0] * _class_weights(lens, counts[0], settings)
        return _logistic(images_, learned.rows, lens, weights, observation, settings, record)
    parts = learned, validated
    answers = [targets[part.rows].astype(np.float32)[:, None] for part in parts]
    lenses = lens, lens_validated
    return _training(images_, parts, answers, lenses, counts, settings, keys, record)


def _class_weights(lens: NDArray, counts: NDArray, settings: Mapping[str, Any]) -> NDArray:
    """Return the weight of every system's class."""
    if settings["class_weight"] != "balanced":
        return np.ones(len(lens))
    fraction = np.average(lens, weights=counts)
    return np.where(lens, 0.5 / fraction, 0.5 / (1 - fraction))


def _logistic(
    pixels: Any,
    rows: NDArray,
    lens: NDArray,
    weights: NDArray,
    observation: Mapping[str, Any],
    settings: Mapping[str, Any],
    record: Mapping[str, Any],
) -> runs.Fit:
    """Return the fit of a logistic regression on what a catalogue says of an object."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = photometry_features(np.asarray(pixels[rows]), observation)

    def fit() -> Any:
        model = make_pipeline(StandardScaler(), LogisticRegression())
        return model.fit(features, lens, logisticregression__sample_weight=weights)

    return runs.Fit(fit, settings, record | {"parameters": features.shape[1] + 1})


def _training(
    pixels: Any,
    parts: tuple[mixtures.Parts, mixtures.Parts],
    targets: list[NDArray],
    lenses: tuple[NDArray, NDArray],
    counts: list[NDArray],
    settings: Mapping[str, Any],
    keys: runs.Keys,
    record: Mapping[str, Any],
) -> runs.Training:
    """Return the training of a network on images."""
    from lensmill.learning import image_models, images, stretch

    shape, several = pixels.shape[1:], "shares" in settings
    learned, validated = (
        images.Images(pixels, part.rows, answers)
        for part, answers in zip(parts, targets, strict=True)
    )
    noise = None
    if settings["stretch"] == "training":
        noise = stretch.training_noise(learned.pixels, learned.rows)
    weights = [None, None]
    if settings["class_weight"] == "balanced" and not several:
        by_class = classification.class_weights(lenses[0])
        weights = [by_class[part.astype(int)] for part in lenses]
    elif several:
        # the sampler gives the populations their shares where weights do not
        of_class = [
            _class_weights(lens, count, settings)
            for lens, count in zip(lenses, counts, strict=True)
        ]
        weights = [of_class[0].astype(np.float32), (of_class[1] * counts[1]).astype(np.float32)]
    sampler = None
    if several:
        sampler = mixtures.Shares(parts[0].population, settings["shares"])
    elif settings["hard_negatives"]:
        share, epochs = settings["hard_negatives"], settings["epochs"]
        sampler = classification.HardNegatives(lenses[0], share, epochs)
    batches = images.Batches(
        learned,
        settings["batch_size"],
        keys.second,
        settings["repeats"],
        # a lens that is turned or mirrored stays one
        turn=images.unchanged if settings.get("augment") == "dihedral" else None,
        weights=weights[0],
        sampler=sampler,
    )
    # only the focal loss has a gamma
    loss = classification.binary_loss(settings["loss"], settings.get("focal_gamma", 0.0))
    architecture = settings["architecture"]

    def metrics(_: NDArray, outputs: NDArray) -> dict[str, float]:
        return classification.binary_metrics(lenses[1][:, None], outputs)

    return runs.Training(
        build=lambda: image_models.build(architecture, shape, settings, keys.first % 2**20, noise),
        loss=loss,
        epochs=batches,
        validation=images.Validation(validated, loss, batches, metrics, weights[1]),
        settings=settings,
        record=record | {"noise": noise},
    )


train = functools.partial(runs.train, prepare)


def _listed(paths: list[str] | str | None) -> list[str]:
    """Return paths as a list, whether there are several, one or none."""
    if paths is None:
        return []
    return [*paths] if isinstance(paths, list | tuple) else [paths]


def _of_other_groups(dataset: str, rows: NDArray, learned: str, seen: NDArray | None) -> NDArray:
    """Return those of some rows whose group is not among the groups of what was learned."""
    mine, theirs = splits.groups(dataset), splits.groups(learned)
    if mine is None or theirs is None:
        return rows
    theirs = theirs if seen is None else theirs[seen]
    return rows[~np.isin(mine[rows], sorted({*theirs} - {""}))]


def _refuse_shared(
    dataset: str, rows: NDArray, learned: str, seen: NDArray | None, name: str
) -> None:
    """Raise if the network learned from images, or groups, that are to test it."""
    for found in image_checks.shared(dataset, learned, rows, seen):
        if found["passed"] is False:
            raise ValueError(
                f"{found['sentence']}, from which {name} learned; take them out of one, or "
                "set group: in both to a column that names what they have in common, so that "
                "only its test part is scored"
            )


def _prevalence(record: Mapping[str, Any]) -> float:
    """Return the fraction of lenses that a network's probabilities are for."""
    # ASSUME: focal loss and hard negatives bend probabilities too, which no change of prior undoes;
    # calibration then shows it. Ranks, thresholds and purity do not depend on it.
    balanced = record["settings"]["class_weight"] == "balanced"
    return 0.5 if balanced else record.get("prevalence", record["lenses"] / record["systems"])


def _systems(dataset: str, rows: NDArray, about: Mapping[str, Any]) -> dict[str, NDArray]:
    """Return what is known of some systems; zeros for what the data set does not have."""
    with h5py.File(dataset) as file:
        there = [*file["systems"]]
    have = [name for name in (*COPIED, *MEASURED, "host") if name in there]
    separation = [name for name in _separation(about) if name in there]
    columns = ["index", "is_lens", "label_known", "kind", *have, *separation]
    systems = store.read(dataset, "systems", columns)
    chosen = {name: values[rows] for name, values in systems.items()}
    for name in (*COPIED, *MEASURED):
        kind = np.int64 if name in COUNTS else np.float64
        chosen[name] = chosen.get(name, np.zeros(rows.size)).astype(kind)
    if separation:
        value, known = (chosen.pop(name) for name in separation)
        # half the separation of the images is about the Einstein radius
        chosen["theta_e"] = np.where(known == 1, value / 2, chosen["theta_e"])
    if "theta_e_over_seeing" not in have:
        chosen["theta_e_over_seeing"] = chosen["theta_e"] / _seeing(about)
    group = splits.groups(dataset)
    chosen["host"] = chosen.get("host", np.full(rows.size, -1)).astype(np.int64)
    chosen["group"] = np.full(rows.size, "") if group is None else group[rows]
    return chosen


def _seeing(about: Mapping[str, Any]) -> float:
    """Return the seeing of an observation, the mean of its bands [arcsec]; infinity if unknown."""
    bands = about.get("observation", {}).get("bands", {}).values()
    kernels = [band["psf"] for band in bands if isinstance(band["psf"], Mapping)]
    widths = [kernel.get("gaussian") or kernel["moffat"] for kernel in kernels]
    return float(np.mean(widths)) if widths else np.inf


def _separation(about: Mapping[str, Any]) -> list[str]:
    """Name the columns of the separation of images and of whether it is known."""
    column = about.get("separation")
    return [column, f"{column}_known"] if column else []
