"""Where in an image a network looks: gradients and Grad-CAM maps."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lensmill.experiments.lens_finding import network as networks
from lensmill.pipeline import provenance, store

COARSEST = 6  # pixels of the image that one of the maps behind Grad-CAM stands for, at most


def saliency(
    model: str,
    training: str,
    dataset: str,
    predictions: str,
    systems: int,
    threads: int,
    output: str,
) -> None:
    """Show where in the image a network looks: the surest and the most mistaken systems.

    Parameters
    ----------
    model, training : path
        As `network.train` wrote them.
    dataset : path
        A population.
    predictions : path
        What `score.score` wrote for these two; systems of known label are chosen by it.
    systems : int
        How many of each of four groups: found lenses, lost lenses, rejected non-lenses, false
        alarms, each the surest of the network first. Fewer where there are no more.
    threads : int
        Threads of the backend.
    output : path
        Written (HDF5): table ``systems`` with ``index``, ``group`` (0 to 3), ``kind``, ``theta_e``,
        ``arc_snr`` and ``logit``; table ``maps`` with ``pixels``, ``gradient`` (modulus of the
        derivative of the logit by each pixel after the stretch, over bands in quadrature) and
        ``attention``: maps of the last layer whose pixels stand for at most ``COARSEST`` of the
        image, times the derivative of the logit by them, where the product speaks for the answer
        given, in units of its largest value. That is Grad-CAM (Selvaraju et al. 2017,
        arXiv:1610.02391) with the gradient taken at each place (Draelos & Carin 2020,
        arXiv:2011.08891). Its mean over the map is faithful in the very last layer only, whose 3 or
        4 pixels across show nothing; in earlier ones it lit empty corners.
    """
    trained = networks.load(model, training, threads)
    table = store.read(predictions, "systems")
    order = np.argsort(table["logit"], kind="stable")
    order = order[table["label_known"][order] == 1]
    lens, high = table["is_lens"][order] == 1, table["logit"][order] > 0
    groups = [
        order[lens & high][::-1],
        order[lens & ~high],
        order[~lens & ~high],
        order[~lens & high][::-1],
    ]
    chosen = np.concatenate([group[:systems] for group in groups])
    number = np.repeat(np.arange(4), [min(systems, group.size) for group in groups])
    place = rows_of(dataset, table["index"][chosen])
    pixels = np.array(store.pixels(dataset)[place])
    gradient, attention = _explain(trained.model, pixels)
    columns = {
        name: table[name][chosen] for name in ("index", "kind", "theta_e", "arc_snr", "logit")
    }
    maps = {"pixels": pixels, "gradient": gradient, "attention": attention}
    units = {name: networks.UNITS["systems"][name] for name in columns} | {"group": ""}
    store.write(
        output,
        {"systems": {**columns, "group": number.astype(np.uint8)}, "maps": maps},
        {
            "systems": units,
            "maps": {"pixels": "electron / s", "gradient": "", "attention": ""},
        },
        provenance.attributes(
            {"systems": systems}, dataset=store.attributes(dataset)["content_digest"]
        ),
    )


def rows_of(dataset: str, index: NDArray) -> NDArray:
    """Return the rows of some systems in a data set."""
    have = store.read(dataset, "systems", ["index"])["index"]
    order = np.argsort(have)
    rows = order[np.minimum(np.searchsorted(have, index, sorter=order), have.size - 1)]
    if not np.array_equal(have[rows], index):
        raise ValueError(f"{dataset} does not hold the systems that were scored; score it anew")
    return rows


def _explain(model: Any, pixels: NDArray) -> tuple[NDArray, NDArray]:
    """Return moduli of the gradient and Grad-CAM maps, both of shape (n, height, width)."""
    import keras
    import tensorflow as tf

    from lensmill.learning.stretch import AsinhStretch

    outputs = [(layer, layer.output) for layer in model.layers]
    stretched = next(output for layer, output in outputs if isinstance(layer, AsinhStretch))
    finest = pixels.shape[1] / COARSEST
    maps = [x for _, x in outputs if len(x.shape) >= 4 and x.shape[1] >= finest]
    both = keras.Model(model.inputs, [stretched, maps[-1], model.output])
    image = tf.constant(pixels)
    with tf.GradientTape() as tape:
        tape.watch(image)
        seen, maps, logit = both(image, training=False)
    by_pixel, by_map = (x.numpy() for x in tape.gradient(logit, [seen, maps]))
    n, height, width = maps.shape[:3]
    speaks = (maps.numpy() * by_map).reshape(n, height, width, -1).sum(axis=-1)
    attention = np.maximum(np.sign(logit.numpy())[:, :, None] * speaks, 0.0)
    attention /= np.maximum(attention.max(axis=(1, 2), keepdims=True), 1e-30)
    stretch = (1, pixels.shape[1] / height, pixels.shape[2] / width)
    attention = ndimage.zoom(attention, stretch, order=1, mode="nearest", grid_mode=True)
    return np.sqrt((by_pixel**2).sum(axis=-1)), attention
