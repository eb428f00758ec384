"""Place and shape of the one ring in an image: posteriors, and how near they come to the bound."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.rings import limit
from lensmill.learning import calibration, regression, runs, tables
from lensmill.pipeline import store
from lensmill.pipeline.splits import TEST

# What networks learn; the axes of an ellipse and its angle follow from the last three.
TARGETS = {
    "ring": ("x", "y", "radius", "thickness", "deformation"),
    "ellipse": ("x", "y", "radius", "e1", "e2"),
}
# What is scored.
SCORED = {
    "ring": TARGETS["ring"],
    "ellipse": ("x", "y", "radius", "semi_major", "semi_minor", "angle"),
}
ROUND = 0.02  # (a - b) / (a + b) below which an ellipse has no angle to speak of


def targets(systems: Mapping[str, NDArray], answers: str) -> NDArray:
    """Return what a network shall say of the first ring of systems, shape (n, targets).

    Of an ellipse the radius sqrt(a b) and (a - b) / (a + b) times cosine and sine of twice the
    position angle: unlike axes and angle these do not jump.
    """
    major, minor = systems["semi_major"], systems["semi_minor"]
    e = np.divide(major - minor, major + minor, out=np.zeros(len(major)), where=major > 0)
    columns = {"e1": e * np.cos(2 * systems["angle"]), "e2": e * np.sin(2 * systems["angle"])}
    columns |= {name: systems[name] for name in ("x", "y", "thickness", "deformation")}
    columns["radius"] = np.sqrt(major * minor)
    return np.stack([columns[name] for name in TARGETS[answers]], axis=1)


def scored(values: NDArray, answers: str) -> dict[str, NDArray]:
    """Return what is scored, from `targets` (..., targets)."""
    columns = dict(zip(TARGETS[answers], np.moveaxis(values, -1, 0), strict=True))
    if answers == "ellipse":
        e = np.clip(np.hypot(columns["e1"], columns["e2"]), 0.0, 0.95)
        ratio = np.sqrt((1 + e) / (1 - e))
        columns["semi_major"] = columns["radius"] * ratio
        columns["semi_minor"] = columns["radius"] / ratio
        columns["angle"] = np.arctan2(columns["e2"], columns["e1"]) / 2
    return {name: columns[name] for name in SCORED[answers]}


def turned(values: NDArray, answers: str, element: int, size: int) -> NDArray:
    """Return `targets` of images that are turned or mirrored by an element of the dihedral group.

    Parameters
    ----------
    values : array, shape (n, targets)
    answers : str
    element : int
        As in `lensmill.learning.equivariant.transform`.
    size : int
        Pixels across.
    """
    from lensmill.learning.equivariant import transform

    ends = []  # where one step to the right, or up, leads
    for y, x in ((1, 2), (2, 1)):
        image = np.zeros((3, 3))
        image[y, x] = 1
        row, column = np.argwhere(transform(image, element))[0]
        ends.append((column - 1, row - 1))
    matrix = np.array(ends, float).T
    names = list(TARGETS[answers])
    values = np.array(values)
    place = [names.index("x"), names.index("y")]
    values[:, place] = (values[:, place] - size / 2) @ matrix.T + size / 2
    if answers == "ellipse":
        e1, e2 = (values[:, names.index(name)] for name in ("e1", "e2"))
        e, angle = np.hypot(e1, e2), np.arctan2(e2, e1) / 2
        x, y = matrix @ np.stack([np.cos(angle), np.sin(angle)])
        angle = np.arctan2(y, x)
        for name, part in (("e1", np.cos(2 * angle)), ("e2", np.sin(2 * angle))):
            values[:, names.index(name)] = e * part
    return values


def known(dataset: str) -> NDArray:
    """Say of which systems the parameters of the only ring are known."""
    systems = store.read(dataset, "systems", ["n_rings", "rings_known"])
    return (systems["n_rings"] == 1) & (systems["rings_known"] == 1)


def prepare(
    dataset: str, split: str, settings: Mapping[str, Any], seed: int, keys: runs.Keys
) -> runs.Training:
    """Return what is particular about the training of networks that measure rings."""
    from lensmill.experiments.rings import architectures
    from lensmill.learning import images

    answers = settings["answers"]
    values = targets(store.read(dataset, "systems"), answers)
    fold = settings["fold"], settings["folds"]
    learned, validated = images.read(dataset, split, values, *fold, known(dataset))
    learned = images.first(learned, settings["max_systems"])
    scaling = tables.scaling(learned.targets)
    parts = [
        part._replace(targets=tables.standardise(part.targets, scaling).astype(np.float32))
        for part in (learned, validated)
    ]
    shape = learned.pixels.shape[1:]
    head = regression.head(settings["head"], values.shape[1])
    loss = head.loss()
    if loss == "mse":
        import keras

        loss = keras.losses.MeanSquaredError()

    def turn(standardised: NDArray, element: int) -> NDArray:
        values = turned(tables.restore(standardised, scaling), answers, element, shape[0])
        return tables.standardise(values, scaling)

    batches = images.Batches(
        parts[0],
        settings["batch_size"],
        keys.second,
        settings["repeats"],
        turn=turn if settings["augment"] == "dihedral" else None,
    )
    return runs.Training(
        build=lambda: architectures.build(settings, shape, head.outputs, keys.first % 2**20),
        loss=loss,
        epochs=batches,
        validation=images.Validation(parts[1], loss, batches),
        settings=settings,
        record={
            "architecture": settings["architecture"],
            "shape": list(shape),
            "scaling": scaling,
            "systems": len(learned.rows),
        },
    )


def predict(
    network: runs.Network, dataset: str, split: str | None, settings: Mapping[str, Any], seed: int
) -> tuple[store.Tables, dict[str, dict[str, str]], dict[str, Any]]:
    """Return medians, errors, ranks and bounds for the test systems: tables, units, attributes.

    ``NAME_bound`` is the Cramer-Rao bound, 0 where none is known (the angle, ingested systems).
    """
    from lensmill.learning import images

    pixels, record = store.pixels(dataset), network.training
    images.check_shape(pixels, record["shape"], record["population"])
    rows = tables.test_rows(dataset, split)
    rows = rows[known(dataset)[rows]]
    if not rows.size:
        raise ValueError(
            f"{dataset} has no test image with one ring of known parameters, which is what this "
            "network measures; leave the population out of its test_on, or simulate more"
        )
    answers = record["settings"]["answers"]
    outputs = images.predict(network.model, pixels, rows)
    head = regression.head(record["settings"]["head"], len(TARGETS[answers]))
    rng = np.random.Generator(np.random.Philox([seed, TEST]))
    draws = regression.sample(outputs, head, settings["draws"], rng)
    draws = scored(tables.restore(draws, record["scaling"]), answers)
    systems = {name: column[rows] for name, column in store.read(dataset, "systems").items()}
    truth = scored(targets(systems, answers), answers)
    bounds = _bounds(dataset, systems)
    found = {"index": systems["index"], "charge": systems["charge"]}
    units = {"index": "", "charge": ""}
    for name, values in draws.items():
        true = truth[name]
        if name == "angle":  # known up to half a turn: all are laid about the mean of the draws
            mean = np.angle(np.exp(2j * values).mean(axis=1)) / 2
            values = _nearest(values, mean[:, None])
            true = _nearest(true, mean)
        made = regression.summarise(values)
        found |= {
            name: true,
            f"{name}_median": made.median,
            f"{name}_error": made.error,
            f"{name}_rank": calibration.ranks(values, true),
            f"{name}_bound": bounds.get(name, np.zeros(len(rows))),
        }
        unit = "rad" if name == "angle" else "pix"
        ends = {"": unit, "_median": unit, "_error": unit, "_rank": "", "_bound": unit}
        units |= {f"{name}{end}": of for end, of in ends.items()}
    attributes = {"scored": json.dumps(SCORED[answers]), "head": record["settings"]["head"]}
    return {"systems": found}, {"systems": units}, attributes


def _nearest(angle: NDArray, to: NDArray) -> NDArray:
    """Return angles that are known up to half a turn, less than a quarter away from others."""
    return to + (angle - to + np.pi / 2) % np.pi - np.pi / 2


def _bounds(dataset: str, systems: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Return the Cramer-Rao bounds of simulated systems with one ring."""
    settings = json.loads(store.attributes(dataset)["settings"])
    if "family" not in settings:
        return {}
    rings = store.read(dataset, "rings")
    rings = {name: column[systems["first_ring"]] for name, column in rings.items()}
    return limit.lowest_errors(rings, rings["photons"], settings)


def score(about: Mapping[str, Any], predictions: str) -> dict[str, Any]:
    """Return bias, scatter, coverage and distance from the bound of every parameter."""
    systems = store.read(predictions, "systems")
    names, calibrated = json.loads(about["scored"]), about["head"] != "point"
    found = {}
    for name in names:
        chosen = np.ones(len(systems["index"]), bool)
        if name == "angle":  # of a circle nobody can tell
            major, minor = systems["semi_major"], systems["semi_minor"]
            chosen = (major - minor) / (major + minor) > ROUND
        if not chosen.any():
            found[name] = None
            continue
        mine = {end: systems[f"{name}{end}"][chosen] for end in ("", "_median", "_rank", "_bound")}
        rank = mine["_rank"] if calibrated else None
        scale = max(float(mine[""].std()), 1e-9)
        found[name] = regression.scores(mine["_median"], mine[""], rank, scale)
        bound = float(np.sqrt((mine["_bound"] ** 2).mean()))
        found[name]["bound"] = bound if bound > 0 else None
        found[name]["rmse_to_bound"] = found[name]["rmse"] / bound if bound > 0 else None
    squares = [numbers["mse_standardised"] for numbers in found.values() if numbers]
    return {"targets": found, "mse_standardised": float(np.mean(squares)), "images": 1}
