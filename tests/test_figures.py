"""The figures that the experiments declare, and how they are saved."""

import ast
import inspect
import json
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
    paths = [*CONFIGS, *(experiments.FOLDER / name).glob("paper.yaml")]
    shipped = (yaml.safe_load(path.read_text())["experiments"] for path in paths)
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


def test_captions_lie_beside_the_figures(tmp_path):
    captions = {"roc": "Completeness.\n\nMore of it.", "gallery": "Lenses."}
    plotting.write_captions(captions, str(tmp_path / "captions.md"))
    text = (tmp_path / "captions.md").read_text()
    assert "## roc\n\n![roc](roc.png)\n\nCompleteness.\n\nMore of it.\n" in text
    assert text.index("roc") < text.index("gallery")


@pytest.mark.parametrize("name", ["roc", "calibration", "completeness_purity", "finder_history"])
def test_what_compares_networks_says_that_they_were_not_trained_alike(name):
    text = inspect.getdoc(experiments.load("lens_finding", f"figures.{name}"))
    assert "one seed" in " ".join(text.split())


def _texts(figure):
    legends = [*figure.legends, *(axis.get_legend() for axis in figure.axes)]
    return {text.get_text() for legend in legends if legend for text in legend.get_texts()}


def test_a_training_history_says_which_line_is_which_and_how_long_each_took(tmp_path):
    paths = []
    for name, seconds in {"dense_quad": 1.0, "h0_quad": 2.5}.items():
        paths.append(tmp_path / "networks" / name / "history.csv")
        paths[-1].parent.mkdir(parents=True)
        rows = "".join(f"{i},{1 / (i + 1)},{2 / (i + 1)},{seconds}\n" for i in range(4))
        paths[-1].write_text(f"epoch,loss,val_loss,seconds\n{rows}")
    plot = experiments.load("time_delay", "figures.training_history").plot
    with plotting.use_names(experiments.load("time_delay", "figures").NAMES):
        figure = plot([str(paths[0])], [str(paths[1])])
    assert {"training", "validation", "epoch that is kept"} < _texts(figure)
    assert "dense, quads (4 s)" in _texts(figure)
    assert any(text.endswith("(10 s)") for text in _texts(figure))
    plt.close(figure)


def test_a_check_that_compared_nothing_is_drawn_open(tmp_path):
    from lensmill.pipeline import checks

    done = [checks.outcome("systems in = systems out", True, 3, 3, "3 of 3")]
    done += [checks.skipped("distances", "none"), checks.outcome("order", False, 2, 0, "2 are not")]
    path = tmp_path / "sie" / "checks.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"checks": done}))
    figure = experiments.load("time_delay", "figures.validation").plot([str(path)])
    assert {"no row breaks the rule", "nothing to compare", "broken"} < _texts(figure)
    rules = [line for line in figure.axes[3].lines if line.get_marker() in ("s", "x")]
    assert [line.get_marker() for line in rules] == ["s", "s", "x"]
    assert [line.get_mfc() for line in rules[:2]] == [plotting.colour("sie"), "none"]
    plt.close(figure)


def test_the_shades_of_the_gap_between_populations_have_a_bar(tmp_path):
    scores = {"auroc": 0.9, "threshold": 0.1, "completeness": 0.4, "false_positive_rate": 0.01}
    path = tmp_path / "scores" / "p4m" / "euclid" / "scores.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(scores))
    figure = experiments.load("lens_finding", "figures.population_gap").plot([str(path)])
    assert len(figure.axes) == 4  # two panels and their bars
    plt.close(figure)


def test_what_the_user_adds_has_a_colour_and_a_name_of_its_own():
    assert plotting.label("my_population") == "my population"
    assert plotting.colour("my_population") == plotting.colour("my_population")
    assert plotting.colour("sie_h0") != plotting.colour("sie_shear")


def test_names_are_those_of_one_experiment_while_its_figure_is_drawn():
    with plotting.use_names({"hst": ("HST", plotting.ORANGE)}):
        with plotting.use_names({"hst": ("Hubble", plotting.BLUE)}):
            assert (plotting.label("hst"), plotting.colour("hst")) == ("Hubble", plotting.BLUE)
        assert plotting.label("hst_seed3") == "HST, seed 3"
    assert plotting.label("hst") == "hst"


def test_results_are_told_apart_by_their_folders():
    path = "results/time_delay/scores/h0_quad/sie/predictions.h5"
    assert (plotting.network(path), plotting.population(path)) == ("h0_quad", "sie")
    assert plotting.network("results/time_delay/networks/h0_quad/history.csv") == "h0_quad"


def test_the_style_uses_fonts_that_come_with_matplotlib():
    # a font of the machine's own would change the figures from machine to machine
    with plt.style.context(["default", plotting.STYLE]):
        (family,) = plt.rcParams["font.family"]
    assert "mpl-data" in font_manager.findfont(family, fallback_to_default=False)
