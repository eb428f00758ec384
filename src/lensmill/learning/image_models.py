"""Networks for images, by name: pixels in, logits or other numbers out.

They begin with `AsinhStretch`, unless pixels are to be taken as they are given, so a saved model
takes pixels as they are stored. Built for the oneDNN of the TensorFlow we ship, which corrupts
memory in two operations: no 1x1 convolution strides (shortcuts average first, as in ResNet-D, He et
al. 2019, arXiv:1812.01187), channels are multiples of 16 (but EfficientNet's, which are its own),
and no matrix product takes more than two axes.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras

from lensmill.learning import equivariant, polar
from lensmill.learning.image_architectures import SMALLEST
from lensmill.learning.layers import BatchNormalization
from lensmill.learning.stretch import AsinhStretch

MOMENTUM = 0.9  # of moving statistics: those of its start would spoil a short training

RADIAL = 128  # neurons that see all radii


def build(
    architecture: str,
    shape: tuple[int, int, int],
    settings: Mapping[str, Any],
    seed: int,
    noise: list[float] | None = None,
    outputs: int = 1,
) -> keras.Model:
    """Build a network by name.

    Parameters
    ----------
    architecture : str
        One of ``BODIES``.
    shape : tuple of int
        Height, width and bands of the images.
    settings : mapping
        Those of the architecture (``width`` and so on, as its function reads them); ``stretch``,
        with ``none`` for pixels as they are given, and ``softening`` of `AsinhStretch`; maybe
        ``binning``: pixels across that are averaged into one before all else; and ``coordinates``
        that a resnet sees the image in.
    seed : int
        Of the weights and of dropout. It also sets the seed of the backend, from which
        ``keras.applications`` draws.
    noise : list of float, optional
        Per band, for a stretch that is fixed; else that of each image is used.
    outputs : int
        Numbers that the network gives: classes, targets, or what a head needs.

    Returns
    -------
    keras.Model
        Not compiled; (n, height, width, bands) in, (n, outputs) out.

    Raises
    ------
    ValueError
        For an unknown name or an image too small, or not square where the symmetry asks for it.
    """
    if architecture not in BODIES:
        raise ValueError(
            f"{architecture!r} is no architecture; there are {', '.join(sorted(BODIES))}"
        )
    binning = settings.get("binning", 1)
    refuse_small(architecture, (shape[0] // binning, shape[1] // binning, shape[2]))
    keras.utils.set_random_seed(seed)
    x = image = keras.Input(shape)
    if binning > 1:
        x = keras.layers.AveragePooling2D(binning)(x)
    if settings.get("stretch") != "none":
        x = AsinhStretch(settings.get("softening", 1.0), noise, dtype="float32")(x)
    x = BODIES[architecture](polar.transform(x, settings), settings, seed)
    # In 32 bits whatever the rest is in: ranks far in the tails are what counts.
    x = keras.layers.Dense(outputs, name="outputs", dtype="float32")(x)
    return keras.Model(image, x, name=architecture)


def refuse_small(architecture: str, shape: tuple[int, int, int]) -> None:
    """Raise if images leave nothing to the last stages of an architecture."""
    if min(shape[:2]) < SMALLEST[architecture]:
        raise ValueError(
            f"images of {shape[0]} x {shape[1]} pixels are too small for {architecture!r}: "
            f"{SMALLEST[architecture]} across are needed; cut out more of the sky (size of the "
            "observation)"
        )


def resnet(x, settings: Mapping[str, Any], seed: int):
    """Compact residual network, its maps averaged; in polar coordinates over the angles alone."""
    x = resnet_maps(x, settings, seed)
    if settings.get("coordinates") != "polar":
        return _dropout(keras.layers.GlobalAveragePooling2D()(x), settings, seed)
    # how far out something is, counts; an arc that is short, too
    x = keras.layers.Concatenate()([keras.ops.mean(x, axis=1), keras.ops.max(x, axis=1)])
    x = keras.layers.Dense(RADIAL, activation="relu")(keras.layers.Flatten()(x))
    return _dropout(x, settings, seed)


def resnet_maps(x, settings: Mapping[str, Any], seed: int):
    """Residual blocks with pre-activation (He et al. 2016, arXiv:1603.05027): maps."""
    width = settings["width"]
    x = keras.layers.Conv2D(width, 7, strides=settings["stem"], padding="same", use_bias=False)(x)
    for stage in range(settings["stages"]):
        channels = width * min(2**stage, 4)
        for block in range(settings["blocks"]):
            x = _plain_block(x, channels, halved=block == 0)
    return keras.layers.ReLU()(BatchNormalization(momentum=MOMENTUM)(x))


def _plain_block(x, channels: int, halved: bool):
    start = keras.initializers.HeNormal
    y = keras.layers.ReLU()(BatchNormalization(momentum=MOMENTUM)(x))
    if halved:
        x = keras.layers.AveragePooling2D(2, padding="same")(x)
    if x.shape[-1] != channels:
        x = keras.layers.Conv2D(channels, 1, use_bias=False)(x)
    y = keras.layers.Conv2D(
        channels,
        3,
        strides=2 if halved else 1,
        padding="same",
        use_bias=False,
        kernel_initializer=start(),
    )(y)
    y = keras.layers.ReLU()(BatchNormalization(momentum=MOMENTUM)(y))
    y = keras.layers.Conv2D(
        channels, 3, padding="same", use_bias=False, kernel_initializer=start()
    )(y)
    return keras.layers.Add()([x, y])


def p4m(x, settings: Mapping[str, Any], seed: int):
    """Residual network on the dihedral group of 8: exactly the same outputs for every view."""
    x = keras.layers.GlobalAveragePooling2D()(p4m_maps(x, settings, seed))
    return _dropout(equivariant.GroupPooling()(x), settings, seed)


def p4m_maps(x, settings: Mapping[str, Any], seed: int):
    """Residual blocks on the dihedral group of 8: maps that turn with the image.

    The first convolution strides and the maps are halved before the channels grow: at a quarter
    of the resolution 8 orientations cost no more than a plain network at half of it.
    """
    height, across = x.shape[1:3]
    if height != across:
        raise ValueError(
            f"images of {height} x {across} pixels cannot be turned by 90 degrees; "
            "cut out squares, or choose another architecture than 'p4m'"
        )
    if settings["width"] % 2:
        raise ValueError(
            f"width is {settings['width']}, but 8 times it must be a multiple of 16: "
            "take an even one"
        )
    stem = settings["stem"]
    size = equivariant.centred_kernel(height, 6 if stem > 1 else 5, stem)
    x = equivariant.GroupConvolution(
        settings["width"], size, lifting=True, stride=stem, padding="valid", seed=seed
    )(x)
    for stage in range(settings["stages"]):
        channels = settings["width"] * (stage + 1)
        for block in range(settings["blocks"]):
            seed += 3
            x = _group_block(x, channels, block == 0, seed)
    return keras.layers.ReLU()(equivariant.GroupNormalization(momentum=MOMENTUM)(x))


def _group_block(x, channels: int, halved: bool, seed: int):
    convolution = equivariant.GroupConvolution
    if halved and min(x.shape[1:3]) > 3:
        x = equivariant.halve(x)
    y = keras.layers.ReLU()(equivariant.GroupNormalization(momentum=MOMENTUM)(x))
    if x.shape[-1] != equivariant.ORDER * channels:
        x = convolution(channels, 1, seed=seed)(x)
    y = convolution(channels, seed=seed + 1)(y)
    y = keras.layers.ReLU()(equivariant.GroupNormalization(momentum=MOMENTUM)(y))
    y = convolution(channels, seed=seed + 2)(y)
    return keras.layers.Add()([x, y])


def lastro(x, settings: Mapping[str, Any], seed: int):
    """Build LASTRO-EPFL, first on the space images of the Bologna challenge.

    Schaefer et al. (2018, A&A 611, A2, arXiv:1705.07132), "baseline"; entered as LASTRO EPFL in
    Metcalf et al. (2019, A&A 625, A119). Pairs of convolutions with 16 to 128 channels and without
    padding, which leave 5 x 5 pixels of 101; where images are smaller and maps would vanish, the
    last ones are padded. Differences: dropout is constant (theirs grew in training), and the
    stretch stands for their mean and standard deviation.
    """
    for channels, size in ((16, 4), (32, 3), (64, 3)):
        x = _narrow(_narrow(x, channels, size), channels, 3)
        x = BatchNormalization(momentum=MOMENTUM)(keras.layers.MaxPooling2D(2)(x))
    x = _dropout(x, settings, seed)
    x = _dropout(_narrow(x, 128, 3), settings, seed + 1)
    x = BatchNormalization(momentum=MOMENTUM)(_narrow(x, 128, 3))
    x = keras.layers.Flatten()(_dropout(x, settings, seed + 2))
    x = _dropout(keras.layers.Dense(1024, activation="relu")(x), settings, seed + 3)
    x = _dropout(keras.layers.Dense(1024, activation="relu")(x), settings, seed + 4)
    x = keras.layers.Dense(1024, activation="relu")(x)
    return BatchNormalization(momentum=MOMENTUM)(x)


def _narrow(x, channels: int, size: int):
    padding = "valid" if min(x.shape[1:3]) > 2 * size else "same"
    return keras.layers.Conv2D(channels, size, padding=padding, activation="relu")(x)


def deeplens(x, settings: Mapping[str, Any], seed: int):
    """Build CMU DeepLens: 46 layers, bottleneck residual blocks with pre-activation and ELU.

    Lanusse et al. (2018, MNRAS 473, 3895, arXiv:1703.02642). A 7x7 convolution, then five stages
    of three blocks, 32 to 512 channels. Differences: shortcuts average before their 1x1
    convolution, and the 3x3 convolution of a block strides, not its first 1x1.
    """
    x = keras.layers.Conv2D(32, 7, padding="same", activation="elu")(x)
    x = BatchNormalization(momentum=MOMENTUM)(x)
    for stage in range(5):
        for block in range(3):
            x = _bottleneck(x, 16 * 2**stage, 32 * 2**stage, halved=stage > 0 and block == 0)
    x = keras.layers.ELU()(BatchNormalization(momentum=MOMENTUM)(x))
    return _dropout(keras.layers.GlobalAveragePooling2D()(x), settings, seed)


def _bottleneck(x, narrow: int, wide: int, halved: bool):
    conv, elu = keras.layers.Conv2D, keras.layers.ELU
    norm = functools.partial(BatchNormalization, momentum=MOMENTUM)
    y = elu()(norm()(x))
    if halved:
        x = keras.layers.AveragePooling2D(2, padding="same")(x)
    if x.shape[-1] != wide:
        x = conv(wide, 1)(x)
    y = elu()(norm()(conv(narrow, 1)(y)))
    y = elu()(norm()(conv(narrow, 3, strides=2 if halved else 1, padding="same")(y)))
    return keras.layers.Add()([x, conv(wide, 1)(y)])


def efficientnet_b0(x, settings: Mapping[str, Any], seed: int):
    """Build EfficientNetB0 of ``keras.applications`` without downloaded weights.

    Tan & Le (2019, arXiv:1905.11946). It takes images in 0 ... 255 and divides them by 255; the
    stretched ones are multiplied first, or the network would see a 255th of them. Its channels (24,
    40, 112, ...) are no multiples of 16 and stay: its strides are all in depthwise convolutions,
    which do not run into the fault.
    """
    x = keras.layers.Rescaling(255.0)(x)
    body = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=x.shape[1:], pooling="avg"
    )
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = MOMENTUM
    return _dropout(body(x), settings, seed)


def dense(x, settings: Mapping[str, Any], seed: int):
    """One dense layer on the pixels: what a network does that knows no neighbourhood."""
    x = keras.layers.Dense(settings["width"], activation="relu")(keras.layers.Flatten()(x))
    return _dropout(x, settings, seed)


def one_conv(x, settings: Mapping[str, Any], seed: int):
    """One convolution, one pooling and a dense layer."""
    x = keras.layers.Conv2D(settings["width"], 3, padding="same", activation="relu")(x)
    x = keras.layers.Flatten()(keras.layers.MaxPooling2D(4)(x))
    return _dropout(keras.layers.Dense(64, activation="relu")(x), settings, seed)


def three_conv(x, settings: Mapping[str, Any], seed: int):
    """Three convolutions with 32, 64, 64 channels, each pooled, and the mean of the maps.

    The layout of Ntampaka et al. (2019, ApJ 876, 82, arXiv:1810.07703) for clusters of galaxies in
    X-rays, wider: with dense layers of 200, 100 and 20 nodes and one answer it has 90,885 weights.
    """
    for channels in (32, 64, 64):
        x = keras.layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling2D(2)(x)
    return _dropout(keras.layers.GlobalAveragePooling2D()(x), settings, seed)


def six_conv(x, settings: Mapping[str, Any], seed: int):
    """Six convolutions with 16 to 64 channels, a pair before each average pooling, and the mean."""
    for channels in (16, 32, 64):
        for _ in range(2):
            x = keras.layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
        x = keras.layers.AveragePooling2D(2)(x)
    return _dropout(keras.layers.GlobalAveragePooling2D()(x), settings, seed)


def _dropout(x, settings: Mapping[str, Any], seed: int):
    rate = settings["dropout"]
    return keras.layers.Dropout(rate, seed=seed)(x) if rate else x


BODIES: dict[str, Callable] = {
    "p4m": p4m,
    "resnet": resnet,
    "lastro": lastro,
    "deeplens": deeplens,
    "efficientnet_b0": efficientnet_b0,
    "dense": dense,
    "one_conv": one_conv,
    "three_conv": three_conv,
    "six_conv": six_conv,
}
# without what sums them up, for answers that depend on where things are
MAPS: dict[str, Callable] = {"p4m": p4m_maps, "resnet": resnet_maps}
