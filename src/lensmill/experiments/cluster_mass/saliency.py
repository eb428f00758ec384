"""Which photons a mass hangs on: the gradient of ln M by the counts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.cluster_mass import excision
from lensmill.experiments.cluster_mass import network as networks
from lensmill.learning import tables
from lensmill.pipeline import provenance, store

# Edges of the rings in units of r500; the first is the core that luminosities leave out.
EDGES = np.array([0.0, excision.CORE, 0.3, 0.5, 0.75, 1.0, 1.5])
AT_A_TIME = 50


def saliency(
    model: str,
    training: str,
    dataset: str,
    predictions: str,
    systems: int,
    maps: int,
    threads: int,
    output: str,
) -> None:
    """Say which photons of an image the mass hangs on.

    Parameters
    ----------
    model, training : path
        As `network.train` wrote them.
    dataset : path
        A population.
    predictions : path
        What `score.score` wrote for these two.
    systems : int
        Images whose gradients are taken, evenly spaced in true mass.
    maps : int
        Of these kept as maps.
    threads : int
        Threads of the backend.
    output : path
        Written (HDF5): table ``rings`` with ``inner`` and ``outer`` [r500], ``images`` and, mean
        over images: the share of the cluster's photons in the ring (``photons``, less the
        background that is expected); ``elasticity``, by how much of itself the mass grows when the
        counts in the ring do, with its ``error``; and ``stretched``, the share that the ring would
        have in the elasticity of one who takes the mean of the stretched pixels, whatever they
        show. Each of images with a cool core (``photons_cool`` and so on) and of others
        (``photons_other``). Table ``maps`` with ``pixels``,
        ``gradient`` (of ln M by the counts of each pixel), ``ln_m500``, ``r500`` [pix], ``x`` and
        ``y`` [pix].
    """
    trained = networks.load(model, training, threads)
    scored = store.read(predictions, "systems", ["index", "ln_m500"])
    order = np.argsort(scored["ln_m500"], kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(systems, len(order))).round().astype(int)]
    rows = _rows(dataset, scored["index"][np.sort(chosen)])
    truth = {name: values[rows] for name, values in store.read(dataset, "systems").items()}
    truth["r500"] = truth["r500"] * 60 / trained.training["observation"]["pixel_scale"]
    pixels = store.pixels(dataset)
    kept = np.argsort(truth["ln_m500"], kind="stable")[
        np.linspace(0, len(rows) - 1, min(maps, len(rows)) + 2).round().astype(int)[1:-1]
    ]
    of_ring: dict[str, list[NDArray]] = {"photons": [], "elasticity": [], "stretched": []}
    shown = {}
    for first in range(0, len(rows), AT_A_TIME):
        here = slice(first, first + AT_A_TIME)
        images = np.asarray(pixels[rows[here]], np.float32)
        some = {name: values[here] for name, values in truth.items()}
        slopes = gradient(trained, images, some)
        ring = excision.radii(images.shape[1:3], some["x"], some["y"])
        ring = np.digitize(ring / some["r500"][:, None, None], EDGES) - 1
        weighed = {
            "photons": images[..., 0] - some["background"][:, None, None],
            "elasticity": images[..., 0] * slopes[..., 0],
            "stretched": by_stretch(images[..., 0], trained.training["settings"]),
        }
        for name, values in weighed.items():
            sums = [(values * (ring == k)).sum(axis=(1, 2)) for k in range(len(EDGES) - 1)]
            of_ring[name].append(np.column_stack(sums))
        for i in kept[(kept >= first) & (kept < first + len(images))]:
            shown[i] = (images[i - first, ..., 0], slopes[i - first, ..., 0])
    found = {name: np.concatenate(several) for name, several in of_ring.items()}
    for name in ("photons", "stretched"):
        found[name] /= np.maximum(found[name].sum(axis=1, keepdims=True), 1e-30)
    cool = truth["cool_core"] == 1
    columns = {"inner": EDGES[:-1], "outer": EDGES[1:]}
    for kind, of in (("_cool", cool), ("_other", ~cool)):
        n = int(of.sum())
        columns[f"images{kind}"] = np.full(len(EDGES) - 1, n)
        for name, values in found.items():
            columns[f"{name}{kind}"] = values[of].sum(axis=0) / max(1, n)
        spread = found["elasticity"][of].std(axis=0) if n else np.zeros(len(EDGES) - 1)
        columns[f"error{kind}"] = spread / np.sqrt(max(1, n))
    in_maps = {
        "pixels": np.array([shown[i][0] for i in kept]),
        "gradient": np.array([shown[i][1] for i in kept]),
        **{name: truth[name][kept] for name in ("ln_m500", "cool_core", "r500", "x", "y")},
    }
    written = {"rings": columns, "maps": in_maps}
    units = {table: dict.fromkeys(values, "") for table, values in written.items()}
    units["maps"] |= dict.fromkeys(("r500", "x", "y"), "pix")
    store.write(
        output,
        written,
        units,
        provenance.attributes(
            {"systems": systems, "maps": maps}, dataset=store.attributes(dataset)["content_digest"]
        ),
    )


def gradient(trained: networks.Network, pixels: NDArray, systems: dict[str, NDArray]) -> NDArray:
    """Return the derivative of ln M by the counts of every pixel, (n, height, width, bands)."""
    import tensorflow as tf

    record = trained.training
    image = tf.constant(pixels)
    inputs: Any = image
    told = networks.beside(systems, record["settings"]["given"])
    if told is not None:
        told = tables.standardise(told, record["given"]).astype(np.float32)
        inputs = [image, tf.constant(told)]
    with tf.GradientTape() as tape:
        tape.watch(image)
        outputs = trained.model(inputs, training=False)
    return tape.gradient(outputs, image).numpy() * record["standardisation"]["scale"][0]


def by_stretch(counts: NDArray, settings: Mapping[str, Any]) -> NDArray:
    """Return what each pixel (n, size, size) weighs in the mean of pixels after the stretch.

    That is its counts times the derivative of asinh of all that are added up with it.
    """
    binning, softening = settings["binning"], settings["softening"]
    n, size = counts.shape[0], counts.shape[1] // binning
    added = counts.reshape(n, size, binning, size, binning).sum(axis=(2, 4))
    slope = 1 / np.sqrt(added**2 + softening**2)
    return counts * slope.repeat(binning, axis=1).repeat(binning, axis=2)


def _rows(dataset: str, index: NDArray) -> NDArray:
    """Return the rows of some systems, growing, in a data set."""
    have = store.read(dataset, "systems", ["index"])["index"]
    rows = np.flatnonzero(np.isin(have, index))
    if len(rows) != len(index):
        raise ValueError(f"{dataset} does not hold the systems that were scored; score it anew")
    return rows
