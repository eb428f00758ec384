"""The look of the paper: one style sheet, two widths, one colour for whatever appears twice."""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no display on a compute node
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

COLUMN = 3.39  # width of one column of the journal [inch]
PAGE = 7.10  # width of the page [inch]
STYLE = Path(__file__).with_name("paper.mplstyle")

# Okabe & Ito's palette: told apart by the colour-blind, and in print.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
VERMILION, SKY, YELLOW, BLACK = "#D55E00", "#56B4E9", "#F0E442", "#000000"
GREY, LIGHT = "#7F7F7F", "#D9D9D9"
_OTHERS = ("#332288", "#117733", "#882255", "#999933", "#AA4499", "#44AA99")

_POPULATIONS = {
    "sis_shear": ("SIS + shear", BLUE),
    "sie": ("SIE", ORANGE),
    "sie_shear": ("SIE + shear", GREEN),
    "epl_shear": ("EPL + shear", PURPLE),
    "sis_shear_h0": (r"SIS + shear, $H_0$ free", SKY),
    "survey": ("survey", VERMILION),
    "published": ("published", BLACK),
    "tdlmc": ("TDLMC", GREY),
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
}
_NETWORKS = {
    "dense_single": ("dense, singles", SKY),
    "dense_double": ("dense, doubles", ORANGE),
    "dense_quad": ("dense, quads", VERMILION),
    "dense_quad_augmented": ("dense, quads, augmented", PURPLE),
    "canonical_double": ("canonical, doubles", GREEN),
    "canonical_quad": ("canonical, quads", BLUE),
    "h0_double": (r"$D_{\Delta t}$, doubles", GREEN),
    "h0_quad": (r"$D_{\Delta t}$, quads", BLUE),
    "h0_quad_no_delay": (r"$D_{\Delta t}$, quads, no delays", GREY),
    "survey_double": ("survey, doubles", GREEN),
    "survey_quad": ("survey, quads", BLUE),
    "p4m": ("p4m", BLUE),
    "resnet": ("ResNet", ORANGE),
    "resnet_augmented": ("ResNet, augmented", VERMILION),
    "lastro": ("LASTRO EPFL", GREEN),
    "deeplens": ("CMU DeepLens", PURPLE),
    "efficientnet_b0": ("EfficientNetB0", SKY),
    "dense": ("dense", GREY),
    "one_conv": ("one convolution", BLACK),
}
# Members of a network that is trained more than once are called after it.
_MEMBER = re.compile(r"(?:_(seed|ensemble)(\d+))?(?:_fold(\d+)of(\d+))?$")
# Image types as in the tables: 0 minimum, 1 saddle, 2 maximum of the arrival time.
IMAGES = {0: ("minimum", BLUE, "o"), 1: ("saddle", VERMILION, "D"), 2: ("maximum", BLACK, "s")}


def population(path: str | Path) -> str:
    """Return the population that a result belongs to: the name of its folder."""
    return Path(path).parent.name


def network(path: str | Path) -> str:
    """Return the network that a training result or a score belongs to."""
    parts = Path(path).parts
    section = next(name for name in ("networks", "scores") if name in parts)
    return parts[parts.index(section) + 1]


def family(name: str) -> str:
    """Return the network that a member (of several seeds or folds) belongs to."""
    return name[: _MEMBER.search(name).start()]


def label(name: str) -> str:
    """Return what a population or a network is called in a figure."""
    known = _POPULATIONS.get(name) or _NETWORKS.get(name)
    if known:
        return known[0]
    if (of := family(name)) != name:
        kind, number, fold, folds = _MEMBER.search(name).groups()
        parts = [{"seed": f"seed {number}", "ensemble": f"ensemble of {number}"}.get(kind)]
        parts.append(f"fold {fold} of {folds}" if fold else None)
        return ", ".join([label(of), *filter(None, parts)])
    return name.replace("_", " ")


def colour(name: str) -> str:
    """Return the colour that a population or a network has in every figure.

    One that the user has added gets a colour from its name, so that it too stays the same.
    """
    name = name if name in _POPULATIONS else family(name)
    known = _POPULATIONS.get(name) or _NETWORKS.get(name)
    return known[1] if known else _OTHERS[zlib.crc32(name.encode()) % len(_OTHERS)]


def styles(names: Sequence[str]) -> dict[str, dict]:
    """Give each name the look of its line: its colour, dashed if another has it already."""
    chosen: dict[str, dict] = {}
    for name in dict.fromkeys(names):
        used = [style["color"] for style in chosen.values()].count(colour(name))
        chosen[name] = {"color": colour(name), "ls": ("-", "--", ":", "-.")[min(used, 3)]}
    return chosen


def trained(name: str, history: pd.DataFrame) -> str:
    """Return what a network is called and, if its history says so, how long its training took."""
    if "seconds" not in history:
        return label(name)
    return f"{label(name)} ({history['seconds'].sum():.0f} s)"


def history_marks() -> list[Line2D]:
    """Return the keys to lines and dots in a figure of training histories."""
    return [
        Line2D([], [], color=BLACK, lw=1.3, label="validation"),
        Line2D([], [], color=BLACK, lw=0.6, alpha=0.7, label="training"),
        Line2D([], [], color=BLACK, marker="o", ms=3.5, ls="", label="epoch that is kept"),
    ]


def write_captions(captions: Mapping[str, str], output: str) -> None:
    """Write the captions of figures, by name, to a page (Markdown) that lies beside them."""
    parts = [f"## {name}\n\n![{name}]({name}.png)\n\n{text}\n" for name, text in captions.items()]
    Path(output).write_text("\n".join(["# What the figures show\n", *parts]))


def save(plot: Callable[..., Figure], inputs: dict, outputs: Sequence[str]) -> None:
    """Draw one figure in the style of the paper and save it under every name given.

    Parameters
    ----------
    plot : callable
        ``plot`` of a figure's module.
    inputs : dict
        Its arguments: result files, each a path or a list of paths.
    outputs : sequence of str
        Files to write; the suffix says the format. Equal inputs give equal bytes.
    """
    arguments = {k: v if isinstance(v, str) else list(v) for k, v in inputs.items()}
    with plt.style.context(["default", STYLE]):
        figure = plot(**arguments)
        for output in outputs:
            Path(output).parent.mkdir(parents=True, exist_ok=True)
            # a PDF would carry the time it was made
            undated = {"CreationDate": None} if Path(output).suffix == ".pdf" else None
            figure.savefig(output, metadata=undated)
    plt.close(figure)
