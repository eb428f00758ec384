"""The figures that the experiments declare, and how they are saved."""

import ast
import inspect
from collections import ChainMap
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import yaml
from matplotlib import font_manager

from lensmill import experiments, plotting

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


def figures(name):
    """Return the figures that an experiment declares, in its defaults or in a shipped config."""
    shipped = (yaml.safe_load(path.read_text())["experiments"] for path in CONFIGS)
    more = [chosen[name].get("figures", {}) for chosen in shipped if name in chosen]
    return dict(ChainMap(experiments.defaults(name)["figures"], *more))


DECLARED = [
    (name, figure, set(arguments))
    for name in experiments.NAMES
    for figure, arguments in figures(name).items()
]
MODULES = [
    (name, path)
    for name in experiments.NAMES
    for path in sorted((experiments.FOLDER / name / "figures").glob("*.py"))
    if path.stem != "__init__"
]


@pytest.mark.parametrize(("name", "figure", "arguments"), DECLARED)
def test_a_figure_takes_exactly_the_results_declared_for_it(name, figure, arguments):
    plot = experiments.load(name, f"figures.{figure}").plot
    assert set(inspect.signature(plot).parameters) == arguments


@pytest.mark.parametrize(("name", "path"), MODULES, ids=lambda value: getattr(value, "stem", value))
def test_every_figure_that_is_there_is_declared(name, path):
    assert path.stem in figures(name)


@pytest.mark.parametrize(("name", "path"), MODULES, ids=lambda value: getattr(value, "stem", value))
def test_every_figure_has_a_caption_of_more_than_its_title(name, path):
    title, *rest = ast.get_docstring(ast.parse(path.read_text())).split("\n\n")
    assert title.endswith(".")
    assert len(" ".join(rest)) > 100
    # the report reads captions as reStructuredText, where these would start a reference
    assert not any(word.rstrip(".,;:)").endswith("_") for word in " ".join(rest).split())


def _line(path):
    figure, axis = plt.subplots()
    axis.plot([0, 1], [0, 2], label=path)
    axis.set(xlabel=r"$\theta_\mathrm{E}$ [arcsec]")
    axis.legend()
    return figure


@pytest.mark.parametrize("suffix", ["pdf", "png"])
def test_equal_inputs_give_equal_bytes(tmp_path, suffix):
    files = [tmp_path / f"{i}.{suffix}" for i in (1, 2)]
    for file in files:
        plotting.save(_line, {"path": "a"}, [str(file)])
    first, second = (file.read_bytes() for file in files)
    assert first == second
    assert len(first) > 1000


def test_saving_closes_the_figure_and_leaves_the_style_of_others_alone(tmp_path):
    before = plt.rcParams["font.size"], plt.get_fignums()
    plotting.save(_line, {"path": "a"}, [str(tmp_path / "a.png"), str(tmp_path / "a.pdf")])
    assert before == (plt.rcParams["font.size"], plt.get_fignums())


def test_what_the_user_adds_has_a_colour_and_a_name_of_its_own():
    assert plotting.label("my_population") == "my population"
    assert plotting.colour("my_population") == plotting.colour("my_population")
    assert plotting.colour("sie") != plotting.colour("sie_shear")


def test_results_are_told_apart_by_their_folders():
    path = "results/time_delay/scores/h0_quad/sie/predictions.h5"
    assert (plotting.network(path), plotting.population(path)) == ("h0_quad", "sie")
    assert plotting.network("results/time_delay/networks/h0_quad/history.csv") == "h0_quad"


def test_the_style_uses_fonts_that_come_with_matplotlib():
    # a font of the machine's own would change the figures from machine to machine
    with plt.style.context(["default", plotting.STYLE]):
        (family,) = plt.rcParams["font.family"]
    assert "mpl-data" in font_manager.findfont(family, fallback_to_default=False)
