"""What the figures of the lens finder share."""

import json

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.lens_finding.sky import KINDS, REAL
from lensmill.pipeline import store
from lensmill.plotting import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

# Populations and networks, as they are called in figures, and their colours.
NAMES = {
    "euclid": ("Euclid VIS", BLUE),
    "hst": ("HST", ORANGE),
    "lsst": ("LSST $i$", GREEN),
    "lsst_colour": ("LSST $gri$", PURPLE),
    "des": ("DES", VERMILION),
    "panstarrs": ("Pan-STARRS", SKY),
    "panstarrs_real_sky": ("Pan-STARRS mocks on real sky", SKY),
    "panstarrs_lenses": ("Pan-STARRS lenses", BLACK),
    "hst_hosts": ("HST mocks with quasars", ORANGE),
    "hst_quasars": ("HST lensed quasars", BLACK),
    "slacs": ("SLACS", BLACK),
    "cosmos_galaxies": ("COSMOS galaxies", GREY),
    "des_bright": ("DES mocks", VERMILION),
    "des_galaxies": ("DES galaxies", GREY),
    "p4m": ("p4m", BLUE),
    "resnet": ("ResNet", ORANGE),
    "resnet_augmented": ("ResNet, augmented", VERMILION),
    "lastro": ("LASTRO EPFL", GREEN),
    "deeplens": ("CMU DeepLens", PURPLE),
    "efficientnet_b0": ("EfficientNetB0", SKY),
    "dense": ("dense", GREY),
    "one_conv": ("one convolution", BLACK),
}


def kind_name(kind: int) -> str:
    """Return what a kind of system is called."""
    return "real" if kind == REAL else KINDS[kind]


def labelled(path: str) -> dict[str, NDArray]:
    """Read the predictions of systems whose label is known."""
    table = store.read(path, "systems")
    known = table["label_known"] == 1
    return {name: values[known] for name, values in table.items()}


def both_kinds(table: dict[str, NDArray]) -> bool:
    """Say whether there are lenses and non-lenses: a small run may lack either."""
    return 0 < (table["is_lens"] == 1).sum() < table["is_lens"].size


def threshold(path: str) -> float:
    """Return the logit that a network's completeness is quoted at; 0 if nothing set one."""
    value = float(store.attributes(path)["threshold"])
    return value if np.isfinite(value) else 0.0


def named_threshold(path: str, name: str) -> float:
    """Return the logit of a threshold that the settings name; 0 if the predictions have none."""
    return float(json.loads(store.attributes(path).get("thresholds", "{}")).get(name, 0.0))
