"""The look of the paper: one style sheet, two widths, one colour for whatever appears twice."""

import contextlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import matplotlib

matplotlib.use("Agg")  # no display on a compute node
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
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

# Members of a network that is trained more than once are called after it.
_MEMBER = re.compile(r"(?:_(seed|ensemble)(\d+))?(?:_fold(\d+)of(\d+))?$")
# What populations and networks are called in the figures being drawn, and their colours.
_names: dict[str, tuple[str, str]] = {}


@contextlib.contextmanager
def use_names(names: Mapping[str, tuple[str, str]]) -> Iterator[None]:
    """Call populations and networks by these names, in these colours, for a while.

    Experiments may use the same names for other things, so there is no registry of all.
    """
    before = dict(_names)
    _names.clear()
    _names.update(names)
    try:
        yield
    finally:
        _names.clear()
        _names.update(before)


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
    if name in _names:
        return _names[name][0]
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
    name = name if name in _names else family(name)
    return _names[name][1] if name in _names else _OTHERS[zlib.crc32(name.encode()) % len(_OTHERS)]


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


def add_legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """Put one legend above the figure, with whatever is on any of the axes."""
    shown = {}
    for one in axes:
        for handle, text in zip(*one.get_legend_handles_labels(), strict=True):
            shown.setdefault(text, handle)
    figure.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=5)


def write_captions(captions: Mapping[str, str], output: str) -> None:
    """Write the captions of figures, by name, to a page (Markdown) that lies beside them."""
    parts = [f"## {name}\n\n![{name}]({name}.png)\n\n{text}\n" for name, text in captions.items()]
    Path(output).write_text("\n".join(["# What the figures show\n", *parts]))


def save(
    plot: Callable[..., Figure],
    inputs: dict,
    outputs: Sequence[str],
    names: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> None:
    """Draw one figure in the style of the paper and save it under every name given.

    Parameters
    ----------
    plot : callable
        ``plot`` of a figure's module.
    inputs : dict
        Its arguments: result files, each a path or a list of paths.
    outputs : sequence of str
        Files to write; the suffix says the format. Equal inputs give equal bytes.
    names : mapping, optional
        What populations and networks are called, with their colours.
    """
    arguments = {k: v if isinstance(v, str) else list(v) for k, v in inputs.items()}
    with plt.style.context(["default", STYLE]), use_names(names):
        figure = plot(**arguments)
        for output in outputs:
            Path(output).parent.mkdir(parents=True, exist_ok=True)
            # a PDF would carry the time it was made
            undated = {"CreationDate": None} if Path(output).suffix == ".pdf" else None
            figure.savefig(output, metadata=undated)
    plt.close(figure)
