"""What the figures of lens parameters share."""

import json

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.lens_parameters.parameters import PARAMETERS
from lensmill.pipeline import store
from lensmill.plotting import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

# Populations and networks, as they are called in figures, and their colours.
NAMES = {
    "hst_quasars": ("HST F160W, quasars", ORANGE),
    "hst_f814w_quasars": ("HST F814W, quasars", VERMILION),
    "euclid_quasars": ("Euclid VIS, quasars", BLUE),
    "lsst_quasars": ("LSST $i$, quasars", GREEN),
    "hst_galaxies": ("HST F160W, galaxies", ORANGE),
    "hst_f814w_galaxies": ("HST F814W, galaxies", VERMILION),
    "euclid_galaxies": ("Euclid VIS, galaxies", BLUE),
    "lsst_galaxies": ("LSST $i$, galaxies", GREEN),
    "hst_sis_shear": ("HST F160W, SIS + shear", GREY),
    "hst_sie": ("HST F160W, SIE", GREY),
    "hst_wide_psf": ("HST F160W, PSF 10 % wider", GREY),
    "hst_shifted": ("HST F160W, slope – 0.07, rounder", GREY),
    "lsst_sis_shear": ("LSST $i$, SIS + shear", GREY),
    "lsst_sie": ("LSST $i$, SIE", GREY),
    "lsst_wide_psf": ("LSST $i$, PSF 10 % wider", GREY),
    "lsst_shifted": ("LSST $i$, slope – 0.07, rounder", GREY),
    "hst_p4m": ("p4m, HST F160W", ORANGE),
    "lsst_p4m": ("p4m, LSST $i$", GREEN),
    "hst_resnet": ("ResNet, HST F160W", BLUE),
    "lsst_resnet": ("ResNet, LSST $i$", SKY),
    "hst_resnet_augmented": ("ResNet, augmented, HST F160W", PURPLE),
    "lsst_resnet_augmented": ("ResNet, augmented, LSST $i$", PURPLE),
    "hst_polar": ("polar, HST F160W", SKY),
    "lsst_polar": ("polar, LSST $i$", BLUE),
    "hst_images": ("polar, places of images, HST F160W", VERMILION),
    "lsst_images": ("polar, places of images, LSST $i$", VERMILION),
    "hst_f814w_p4m": ("p4m, HST F814W", VERMILION),
    "euclid_p4m": ("p4m, Euclid VIS", BLUE),
    "hst_galaxies_p4m": ("p4m, HST F160W, galaxies", BLACK),
    "euclid_galaxies_p4m": ("p4m, Euclid VIS, galaxies", VERMILION),
    "lsst_galaxies_p4m": ("p4m, LSST $i$, galaxies", GREY),
}

SYMBOLS = {
    "theta_e": r"$\theta_\mathrm{E}$",
    "ellipticity_1": r"$(1-q)\,\cos 2\varphi$",
    "ellipticity_2": r"$(1-q)\,\sin 2\varphi$",
    "slope": r"slope $\gamma$",
    "gamma1": r"shear $\gamma_1$",
    "gamma2": r"shear $\gamma_2$",
    "lens_x": r"lens $x$",
    "lens_y": r"lens $y$",
    "source_x": r"source $x$",
    "source_y": r"source $y$",
}


def label(name: str) -> str:
    """Return what a parameter is called on an axis, with its unit."""
    unit = PARAMETERS[name]
    return f"{SYMBOLS[name]} [{unit}]" if unit else SYMBOLS[name]


def known(path: str) -> dict[str, NDArray]:
    """Read the predictions of systems whose truth is known, and their ranks ``rank_NAME``."""
    table = store.read(path, "systems")
    truth = np.column_stack([table[f"true_{name}"] for name in PARAMETERS])
    rows = np.isfinite(truth).all(axis=1)
    found = {name: values[rows] for name, values in table.items()}
    if rows.any():
        ranks = store.read(path, "calibration")
        found |= {name: values for name, values in ranks.items() if name.startswith("rank_")}
    return found


def prior(path: str) -> dict[str, dict[str, float]]:
    """Return what the network of some predictions learned from, by parameter."""
    return json.loads(store.attributes(path)["prior"])
