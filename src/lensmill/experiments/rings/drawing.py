"""Images of rings that are asked for: drawn by an autoencoder, and held against real ones."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from lensmill.experiments.rings import shapes
from lensmill.learning import calibration, generation, runs, tables
from lensmill.pipeline import store

CONDITIONS = ("x", "y", "radius", "thickness", "deformation")
MEASURED = {"lit": "", "x": "pix", "y": "pix", "radius": "pix", "width": "pix"}
COMPONENTS = 20  # of the pixels, by which drawn images are told from real ones
BITS = 4  # third number of a seed: which pixels of a drawn image are lit


def prepare(
    dataset: str, split: str, settings: Mapping[str, Any], seed: int, keys: runs.Keys
) -> runs.Training:
    """Return what is particular about the training of networks that draw."""
    wanted = tables.columns(dataset, CONDITIONS)
    fold = settings["fold"], settings["folds"]
    learned, validated = tables.parts(dataset, split, *fold, shapes.known(dataset))
    learned = learned[: settings["max_systems"] or None]
    scaling = tables.scaling(wanted[learned])
    pixels = store.pixels(dataset)

    def examples(rows: NDArray) -> tuple[tuple[NDArray, NDArray], NDArray]:
        images = np.ascontiguousarray(pixels[rows])
        return (images, tables.standardise(wanted[rows], scaling).astype(np.float32)), images

    shape = pixels.shape[1:]
    sizes = settings["latent"], settings["width"], settings["beta"]
    all_of_them = examples(learned)
    return runs.Training(
        build=lambda: generation.build(shape, len(CONDITIONS), *sizes, keys.first % 2**20),
        loss=generation.loss("bernoulli"),
        epochs=lambda epoch: all_of_them,
        validation=examples(validated),
        settings=settings,
        record={
            "architecture": settings["architecture"],
            "shape": list(shape),
            "scaling": scaling,
            "systems": len(learned),
            "validated": len(validated),
        },
    )


def predict(
    network: runs.Network, dataset: str, split: str | None, settings: Mapping[str, Any], seed: int
) -> tuple[store.Tables, dict[str, dict[str, str]], dict[str, Any]]:
    """Draw an image for the parameters of every test system: tables, units, attributes.

    ``real_NAME`` and ``drawn_NAME`` are measured on the image of the system and on the drawn one,
    see `measure`; the table ``cutouts`` has both.
    """
    rows = tables.test_rows(dataset, split)
    rows = rows[shapes.known(dataset)[rows]]
    if not rows.size:
        raise ValueError(
            f"{dataset} has no test image with one ring of known parameters, which is what this "
            "network draws; leave the population out of its test_on, or simulate more"
        )
    record, wanted = network.training, tables.columns(dataset, CONDITIONS)[rows]
    given = tables.standardise(wanted, record["scaling"])
    chance = generation.draw(network.model, len(rows), seed, given, "bernoulli")
    rng = np.random.Generator(np.random.Philox([seed, 0, BITS]))
    drawn = (rng.random(chance.shape) < chance).astype(np.float32)
    real = np.array(store.pixels(dataset)[rows])
    systems = {"index": store.read(dataset, "systems", ["index"])["index"][rows]}
    systems |= dict(zip(CONDITIONS, wanted.T, strict=True))
    units = {"index": ""} | dict.fromkeys(CONDITIONS, "pix")
    for of, images in (("real", real), ("drawn", drawn)):
        systems |= {f"{of}_{name}": values for name, values in measure(images[..., 0]).items()}
        units |= {f"{of}_{name}": unit for name, unit in MEASURED.items()}
    cutouts = {"system": systems["index"], "real": real, "drawn": drawn}
    attributes = {name: record[name] for name in ("systems", "validated", "val_loss", "epochs")}
    return (
        {"systems": systems, "cutouts": cutouts},
        {"systems": units, "cutouts": dict.fromkeys(cutouts, "")},
        {f"train_{name}": value for name, value in attributes.items()},
    )


def measure(images: NDArray) -> dict[str, NDArray]:
    """Fit a ring to images of bits by the moments of the lit pixels.

    For a ring that is lit evenly the count of pixels over the sum of 1 / r is its mean radius.

    Parameters
    ----------
    images : array, shape (n, size, size)

    Returns
    -------
    dict of array, shape (n,)
        ``lit``: number of pixels; ``x``, ``y``: their centre; ``radius``; ``width``: the scatter of
        their distances from the centre [pixel]. 0 where nothing is lit.
    """
    place = np.arange(images.shape[-1]) + 0.5
    lit = images.sum(axis=(1, 2), dtype=float)
    some = np.maximum(lit, 1)
    x, y = (images.sum(axis=axis) @ place / some for axis in (1, 2))
    r = np.hypot(place[None, None, :] - x[:, None, None], place[None, :, None] - y[:, None, None])
    inverse = (images / np.maximum(r, 0.5)).sum(axis=(1, 2))
    radius = lit / np.where(inverse > 0, inverse, 1.0)
    width = np.sqrt((images * (r - radius[:, None, None]) ** 2).sum(axis=(1, 2)) / some)
    return {"lit": lit, "x": x, "y": y, "radius": radius, "width": width}


def score(about: Mapping[str, Any], predictions: str) -> dict[str, Any]:
    """Return whether drawn images look real, and have the ring that was asked for.

    ``two_sample_auroc``: of a classifier that sees pixels (their principal components) and what was
    measured and asked for, 0.5 if it cannot tell; ``radius``: bias and scatter of the measured
    radius less the one asked for, in drawn and in real images.
    """
    systems, cutouts = store.read(predictions, "systems"), store.read(predictions, "cutouts")
    seed = int(about["seed"])
    features = {}
    for of in ("real", "drawn"):
        features[of] = np.stack(
            [systems[f"{of}_{name}"] for name in MEASURED]
            + [systems[f"{of}_{name}"] - systems[name] for name in ("x", "y", "radius")],
            axis=1,
        )
    pixels = np.concatenate([cutouts[of].reshape(len(cutouts[of]), -1) for of in features])
    count = min(COMPONENTS, len(pixels) // 4)
    parts = np.split(PCA(count, random_state=seed).fit_transform(pixels), 2)
    found: dict[str, Any] = {f"train_{k}": about[f"train_{k}"] for k in ("systems", "validated")}
    found["val_loss"] = float(about["train_val_loss"])
    found = {k: v.item() if hasattr(v, "item") else v for k, v in found.items()}
    if len(systems["index"]) >= generation.FOLDS:
        both = zip(features.values(), parts, strict=True)
        rate = generation.two_sample_test(*(np.concatenate(x, axis=1) for x in both), seed)
        found |= {"two_sample_auroc": rate.value, "two_sample_low": rate.low}
        found["two_sample_high"] = rate.high
    for of in features:
        error = systems[f"{of}_radius"] - systems["radius"]
        found[f"radius_bias_{of}"] = calibration.bias(error)
        found[f"radius_scatter_{of}"] = calibration.robust_scatter(error)
        found[f"lit_{of}"] = float(systems[f"{of}_lit"].mean())
    return found
