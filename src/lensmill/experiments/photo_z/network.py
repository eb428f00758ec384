"""Methods that tell the redshift of a galaxy from its fluxes: see `methods` and `template`."""

import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.photo_z import densities, features, judging, methods, template, weights
from lensmill.experiments.photo_z.features import Photometry
from lensmill.learning import calibration, runs, tables
from lensmill.learning.runs import Network, load
from lensmill.pipeline import logs, provenance, store

__all__ = ["load", "predict", "train"]

GALAXIES_AT_A_TIME = 50000  # bounds the memory that a prediction takes
PERMUTED = 1000  # galaxies whose bands are shuffled; enough for a change of a tenth of the scatter
PHOTOMETRIC = 20000  # galaxies of the sample that weights are for
CLAIMING = ("forest", "mixture", "template")

NAMES = ("index", "redshift_known", "observed")
UNITS = {
    "systems": dict.fromkeys((*NAMES, "redshift", "answer", "error", "weight"), "")
    | {"magnitude": "mag"},
    "mixtures": {"weight": "", "mean": "", "factor": ""},
    "densities": {"index": "", "pit": "", "cde_loss": ""},
    "calibration": calibration.units_of({"redshift": ""}),
    "features": {"index": "", "inner": ""},
    "importance": {"name": "", "increase": "", "scatter": ""},
}


class Answers(NamedTuple):
    """What a method says of galaxies."""

    redshift: NDArray  # (n,)
    error: NDArray  # (n,), half of the central 68 %; 0 where none is claimed
    density: densities.Densities | None  # of a forest it is made of its draws where it is needed
    draws: NDArray | None  # (n, S) of a forest, whose trees are draws


def prepare(
    dataset: str, split: str, settings: Mapping[str, Any], seed: int, keys: runs.Keys
) -> runs.Training | runs.Fit:
    """Return what is particular about the training of a method."""
    there, further = features.bands_of(dataset)
    bands = list(settings.get("bands") or there)
    chosen = settings.get("features", "colours")
    extra = further if chosen == "all" else []
    systems = store.read(dataset, "systems", ["redshift", "redshift_known"])
    parts = tables.parts(
        dataset, split, settings["fold"], settings["folds"], systems["redshift_known"] == 1
    )
    limit = settings["max_systems"] or None
    rows = (parts[0][:limit], parts[1])
    light = features.read(dataset, bands, extra)
    learned, held_out = (light.select(part) for part in rows)
    truth, held_truth = (systems["redshift"][part] for part in rows)
    known = features.learn(learned, bands, extra, chosen)
    x = features.make(learned, known)
    record: dict[str, Any] = {
        "architecture": settings["architecture"],
        "bands": bands,
        "features": known,
        "columns": features.names(known),
        "systems": len(truth),
        "redshift_scatter": float(truth.std()) or 1.0,
        "standardisation": tables.scaling(x),
        "target": tables.scaling(_target(truth, settings)[:, None]),
    }

    def validate(model: Any) -> dict[str, float]:
        answers = ask(Network(model, {**record, "settings": settings}), held_out)
        return judging.validation(answers.redshift, held_truth)

    if settings["architecture"] == "template":
        reference = int(np.argmax(np.median(learned.flux / np.maximum(learned.error, 1e-30), 0)))
        given = {**settings, "reference": reference}
        return runs.Fit(
            lambda: template.learn(learned, truth, bands, given), settings, record, validate
        )
    if settings["architecture"] == "mixture":
        return _train_mixture(
            x, (learned, truth), (held_out, held_truth), settings, record, keys, validate
        )
    target = tables.standardise(_target(truth, settings)[:, None], record["target"])[:, 0]
    model = methods.estimator(settings, x.shape[1], keys.first % 2**31)
    return runs.Fit(lambda: methods.fit(model, x, target), settings, record, validate)


train = functools.partial(runs.train, prepare)


def _train_mixture(
    columns: NDArray,
    learned: tuple[Photometry, NDArray],
    held_out: tuple[Photometry, NDArray],
    settings: Mapping[str, Any],
    record: Mapping[str, Any],
    keys: runs.Keys,
    validate: Callable[[Any], dict[str, float]],
) -> runs.Training:
    """Return the training of a network with a mixture head, by its likelihood."""
    from lensmill.learning import layers, models
    from lensmill.learning.training import NOISE

    components, seed = settings["components"], keys.first % 2**20
    known, noise = record["features"], settings["noise"]
    scaling = {**record["standardisation"], "low": known["low"], "high": known["high"]}

    def examples(x: NDArray, redshift: NDArray) -> tuple[NDArray, NDArray]:
        target = tables.standardise(np.log1p(redshift)[:, None], record["target"])
        return x.astype(np.float32), target.astype(np.float32)

    always = examples(columns, learned[1])
    held = examples(features.make(held_out[0], known), held_out[1])

    def draw(epoch: int) -> tuple[NDArray, NDArray]:
        if not noise:
            return always
        rng = np.random.Generator(np.random.Philox([keys.second, epoch, NOISE]))
        sample, redshift = learned
        more = noise * sample.error * rng.standard_normal(sample.flux.shape)
        noisy = sample._replace(flux=sample.flux + more)
        return examples(features.make(noisy, known), redshift)

    def build() -> Any:
        model = models.residual(
            layers.Standardise(**scaling),
            columns.shape[1],
            3 * components,
            settings["width"],
            settings["blocks"],
            seed,
        )
        models.spread_components(model, components, 1, seed)
        return model

    def judge(model: Any) -> dict[str, float]:
        found = model.test_on_batch(*held, return_dict=True)
        return {"val_loss": float(found["loss"]), **validate(model)}

    return runs.Training(
        build=build,
        loss=layers.MixtureLoss(components, 1),
        epochs=draw,
        validation=judge,
        settings=settings,
        record=record,
    )


def _target(redshift: NDArray, settings: Mapping[str, Any]) -> NDArray:
    return redshift if settings.get("target") == "redshift" else np.log1p(redshift)


def ask(network: Network, sample: Photometry) -> Answers:
    """Ask a method about galaxies."""
    record, model = network.training, network.model
    settings, kind = record["settings"], record["architecture"]
    if kind == "template":
        density = template.fit(model, sample)
        return Answers(*densities.answer(density), density, None)
    x = features.make(sample, record["features"])
    scaling = record["target"]
    if kind == "mixture":
        density = methods.mixture(model, x, settings["components"], scaling)
        return Answers(*densities.answer(density), density, None)

    def redshift(of: NDArray) -> NDArray:
        target = of * scaling["scale"][0] + scaling["mean"][0]
        return target if settings.get("target") == "redshift" else np.expm1(target)

    if kind == "forest":
        trees = methods.forest_draws(model, x)
        draws = redshift(trees)
        low, high = np.quantile(draws, calibration.CENTRAL["68"], axis=1)
        middle = np.median if settings.get("answer") == "median" else np.mean
        return Answers(redshift(middle(trees, axis=1)), (high - low) / 2, None, draws)
    answer = redshift(model.predict(x))
    return Answers(answer, np.zeros(len(answer)), None, None)


def predict(
    network: Network,
    dataset: str,
    split: str | None,
    settings: Mapping[str, Any],
    seed: int,
    output: str,
    name: str,
    population: str,
    photometric: str | None = None,
) -> None:
    """Ask a method about the test part of a population, or all of it without a split.

    Parameters
    ----------
    network : Network
        As `load` gives it.
    dataset, split : path
    settings : mapping
        ``draws`` from p(z) of each of the first ``judged`` galaxies of known redshift;
        ``magnitudes``, bands by which the galaxies are sorted, the first that the data set has;
        ``permutations`` of each band; ``neighbours`` of the weights.
    seed : int
        Keys what is drawn.
    output : path
        Written (HDF5): tables of `UNITS`, of them ``mixtures`` of a network with a mixture head,
        ``densities``, ``calibration`` and ``features`` of methods that claim errors, ``importance``
        for the test part of the population that it learned from.
    name, population : str
        Of the network and of the population.
    photometric : path, optional
        Data set whose magnitudes the weights give the galaxies.

    Raises
    ------
    ValueError
        If the population lacks a band that the network has learned from.
    """
    record = network.training
    bands, extra = record["bands"], record["features"]["extra"]
    there, _ = features.bands_of(dataset)
    reference = next((b for b in settings["magnitudes"] if b in there), there[0])
    rng = np.random.Generator(np.random.Philox([seed, record["settings"]["seed"], 5]))
    rows, begun = tables.test_rows(dataset, split), time.monotonic()
    truth = store.read(dataset, "systems", ["index", "redshift", "redshift_known"])
    room, parts, seconds = settings["judged"], [], 0.0
    for first, chosen in _pieces(rows):
        sample = _read(dataset, bands, extra, first, chosen)
        begun = time.monotonic()
        answers = ask(network, sample)
        seconds += time.monotonic() - begun
        among = first + chosen
        systems = {key: column[among] for key, column in truth.items()}
        systems |= {"answer": answers.redshift, "error": answers.error}
        systems["magnitude"] = _magnitudes(dataset, reference, first, chosen)
        part = {"systems": systems}
        if record["architecture"] in CLAIMING:
            which = np.flatnonzero(systems["redshift_known"] == 1)[:room]
            room -= len(which)
            part |= _judge(network, sample, answers, systems, which, settings["draws"], rng)
        if isinstance(answers.density, densities.Gaussians):
            mixture = answers.density.mixture
            part["mixtures"] = {
                "weight": mixture.weight.astype(np.float32),
                "mean": mixture.mean[..., 0].astype(np.float32),
                "factor": mixture.factor[..., 0, 0].astype(np.float32),
            }
        parts.append(part)
    facts: dict[str, Any] = {}
    if photometric is not None:
        given = _weigh(dataset, photometric, bands, rows, record, settings["neighbours"])
        ends = np.cumsum([len(part["systems"]["index"]) for part in parts])[:-1]
        for part, weight in zip(parts, np.split(given.weight, ends), strict=True):
            part["systems"]["weight"] = weight
        facts["unrepresented"] = given.unrepresented
        facts["reweight_to"] = str(store.attributes(photometric)["population"])
    own = split is not None and population == record["population"]
    if own and settings["permutations"]:
        known = rows[truth["redshift_known"][rows] == 1][:PERMUTED]
        sample = _read(dataset, bands, extra, 0, known)
        found = importance(network, sample, truth["redshift"][known], settings["permutations"], rng)
        for part in parts:  # of a table that is there all parts have their share
            part["importance"] = {key: column[:0] for key, column in found.items()}
        parts[0]["importance"] = found
    attributes = provenance.attributes(
        {key: settings[key] for key in ("draws", "judged")},
        experiment=record["experiment"],
        network=name,
        population=population,
        train_on=record["population"],
        architecture=record["architecture"],
        features=record["features"]["set"] if record["architecture"] != "template" else "fluxes",
        bands=json.dumps(bands),
        reference=reference,
        train_systems=record["systems"],
        train_seconds=record["seconds"],
        train_cpu_seconds=record["cpu_seconds"],
        val_nmad=record["val_nmad"],
        redshift_scatter=record["redshift_scatter"],
        claims=int(record["architecture"] in CLAIMING),
        network_seed=record["settings"]["seed"],
        seed=seed,
        seconds=round(seconds, 3),
        dataset=store.attributes(dataset)["content_digest"],
        **facts,
    )
    store.write_parts(output, parts, UNITS, attributes)


def _pieces(rows: NDArray) -> Iterator[tuple[int, NDArray]]:
    """Cut growing rows into pieces that lie together: first row of each, and rows from there."""
    starts = range(0, len(rows), GALAXIES_AT_A_TIME)
    for start in logs.progress(starts, "predicting"):
        some = rows[start : start + GALAXIES_AT_A_TIME]
        yield int(some[0]), some - some[0]


def _read(dataset: str, bands: list, extra: list, first: int, chosen: NDArray) -> Photometry:
    return features.read(dataset, bands, extra, first, int(chosen.max()) + 1).select(chosen)


def _magnitudes(dataset: str, band: str, first: int, chosen: NDArray) -> NDArray:
    """AB magnitudes of one band [mag]; 99 where its flux is not above 0."""
    flux = _read(dataset, [band], [], first, chosen).flux[:, 0]
    return np.where(flux > 0, -features.POGSON * np.log(np.where(flux > 0, flux, 1.0)), 99.0)


def _judge(
    network: Network,
    sample: Photometry,
    answers: Answers,
    systems: Mapping[str, NDArray],
    which: NDArray,
    draws: int,
    rng: np.random.Generator,
) -> store.Tables:
    """Judge p(z) of some of the galaxies, and say what the method saw of them."""
    record = network.training
    density = _density(answers, which)
    index, truth = systems["index"][which], systems["redshift"][which]
    inner = _inner(network, sample.select(which))
    return judging.tables(density, index, truth, record["redshift_scatter"], draws, rng) | {
        "features": {"index": index, "inner": inner}
    }


def _density(answers: Answers, which: NDArray) -> densities.Densities:
    """Return p(z) of some of the galaxies."""
    if answers.draws is not None:
        return densities.kernels(answers.draws[which])
    if isinstance(answers.density, densities.Grid):
        return answers.density._replace(values=answers.density.values[which])
    mixture = answers.density.mixture
    return densities.Gaussians(type(mixture)(*(part[which] for part in mixture)))


def _inner(network: Network, sample: Photometry) -> NDArray:
    """Return what the last layer sees; of other methods their standardised columns."""
    x = features.make(sample, network.training["features"])
    if network.training["architecture"] == "mixture":
        from lensmill.learning import models

        inner = models.inner(network.model)
        if not len(x):
            return np.empty((0, inner.output_shape[1]), np.float32)
        given = x.astype(np.float32)
        return np.asarray(inner.predict(given, batch_size=methods.ROWS_AT_A_TIME, verbose=0))
    return tables.standardise(x, network.training["standardisation"])


def _weigh(
    dataset: str,
    photometric: str,
    bands: list[str],
    rows: NDArray,
    record: Mapping[str, Any],
    neighbours: int,
) -> weights.Weights:
    """Weights of the galaxies of a data set that give them the magnitudes of another."""
    features_ = {k: v for k, v in record["features"].items() if k not in ("low", "high")}
    known = {**features_, "set": "bands", "extra": [], "masked": []}

    def magnitudes(path: str, chosen: NDArray) -> NDArray:
        return features.make(_read(path, bands, [], 0, chosen), known)

    count = len(store.read(photometric, "systems", ["index"])["index"])
    others = np.arange(min(count, PHOTOMETRIC))
    return weights.nearest_neighbours(
        magnitudes(dataset, rows), magnitudes(photometric, others), neighbours
    )


def importance(
    network: Network,
    sample: Photometry,
    truth: NDArray,
    permutations: int,
    rng: np.random.Generator,
) -> dict[str, NDArray]:
    """Permutation importance: how much larger the NMAD is when a band is that of another galaxy.

    Flux, error and mask of a band are shuffled together, and all that is made of them follows;
    columns of their own would leave colours to tell what a magnitude no longer does (Breiman 2001
    shuffles single columns). Bands that say nearly the same cover for each other.

    Returns
    -------
    dict of array, shape (B + E,)
        ``name``, ``increase`` over the NMAD of the true bands, mean of the permutations, and their
        ``scatter``.
    """
    record = network.training
    right = judging.nmad(ask(network, sample).redshift, truth)
    names, found = [], []
    places = [(list(range(3)), i) for i in range(len(record["bands"]))]
    places += [([3], i) for i in range(sample.extra.shape[1])]
    for name, (kinds, i) in zip(
        [*record["bands"], *record["features"]["extra"]], places, strict=True
    ):
        increases = []
        for _ in range(permutations):
            order = rng.permutation(len(truth))
            columns = [column.copy() for column in sample]
            for kind in kinds:
                columns[kind][:, i] = columns[kind][order, i]
            answers = ask(network, Photometry(*columns))
            increases.append(judging.nmad(answers.redshift, truth) - right)
        names.append(name)
        found.append(increases)
    return {
        "name": np.array(names),
        "increase": np.mean(found, axis=1),
        "scatter": np.std(found, axis=1),
    }
