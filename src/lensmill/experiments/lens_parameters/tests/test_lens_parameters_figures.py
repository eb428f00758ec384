"""The figures of lens parameters, of posteriors that are made up."""

import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from made_up_posteriors import truths, write

from lensmill import experiments, plotting
from lensmill.experiments.lens_parameters import score


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """Return a function that gives the scored predictions of a network for a population."""
    folder = tmp_path_factory.mktemp("scored")
    done = {}

    def get(name, population="hst_quasars", truth=None, family=None, **options):
        if (name, population) not in done:
            truth = truths(300) if truth is None else truth
            raw = write(folder / "raw" / name / population / "predictions.h5", truth, **options)
            output = folder / "scores" / name / population / "predictions.h5"
            output.parent.mkdir(parents=True)
            found = score.score(raw, {}, 1, str(output), family)
            (output.parent / "scores.json").write_text(json.dumps(found))
            done[name, population] = output
        return str(done[name, population])

    return get


def draw(name, **files):
    names = experiments.load("lens_parameters", "figures").NAMES
    with plt.style.context(["default", plotting.STYLE]), plotting.use_names(names):
        figure = experiments.load("lens_parameters", f"figures.{name}").plot(**files)
        figure.canvas.draw()
    plt.close(figure)
    return figure


def json_of(predictions):
    return predictions.replace("predictions.h5", "scores.json")


def keys(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_recovery_writes_the_scatter_of_the_prior_beside_that_of_the_network(scores):
    figure = draw("recovery", predictions=[scores("hst_p4m"), scores("lsst_p4m", "lsst_quasars")])
    titles = [axis.get_title() for axis in figure.axes]
    assert len(titles) == 16
    assert titles[1].startswith("slope") and re.search("scatter 0.1[5-8], prior 0.1", titles[1])
    assert all("in 68 %:" in title for title in titles)


def test_nothing_is_drawn_outside_a_frame_of_recovery(scores):
    wild = scores("wild", shift=60.0)
    for axis in draw("recovery", predictions=[wild]).axes:
        low, high = axis.get_ylim()
        for line in axis.lines[:2]:
            assert (line.get_ydata() >= low).all() and (line.get_ydata() <= high).all()


def test_precision_shows_every_network_and_the_prior_alone(scores):
    figure = draw("precision", predictions=[scores("hst_p4m"), scores("lsst_p4m", "lsst_quasars")])
    assert keys(figure)[:2] == ["p4m, HST F160W", "p4m, LSST $i$"]
    assert "scatter, prior alone" in keys(figure)
    slope = figure.axes[2]
    (alone, *_), *_ = [
        [line.get_ydata()[0] for line in slope.lines if line.get_linestyle() == "--"]
    ]
    assert alone == pytest.approx(100 * 0.16 / 2.08, rel=0.15)  # per cent of the slope


def test_families_have_a_row_each_and_say_what_is_strange(scores):
    own = scores("hst_p4m")
    other = scores("hst_p4m", "hst_sie", family=own, strange=3.0, shift=2.0, seed=4)
    figure = draw("families", scores=[json_of(own), json_of(other)])
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == [
        "HST F160W, quasars",
        "HST F160W, SIE",
    ]
    covered = [line for line in figure.axes[2].lines if line.get_marker() == "o"]
    by_row = {}
    for line in covered:
        by_row.setdefault(round(line.get_ydata()[0]), []).append(line.get_xdata()[0])
    assert min(by_row[0]) > 0.5 > max(by_row[1])
    strange = [line.get_xdata()[0] for line in figure.axes[3].lines if line.get_marker() == "o"]
    assert strange[0] < 0.1 < strange[1]


def test_a_learning_curve_joins_the_seeds_and_marks_the_ensembles(scores):
    paths = [
        scores(f"hst_p4m_of_{n}_seed{i}", seed=i, train_systems=n)
        for n in (1000, 10000)
        for i in (1, 2)
    ]
    paths.append(scores("hst_p4m_ensemble2", train_systems=100000))
    figure = draw("learning_curve", scores=[json_of(path) for path in paths])
    assert keys(figure)[0] == "p4m, HST F160W" and "ensemble" in keys(figure)
    lines = [line for line in figure.axes[0].lines if line.get_linestyle() == "-"]
    assert [list(line.get_xdata()) for line in lines] == [[1000, 10000]]


def test_figures_bear_systems_of_which_little_is_known(scores):
    truth = truths(30)
    truth[:, 3] = np.nan
    path = scores("hst_p4m", "real", truth=truth)
    draw("recovery", predictions=[path])
    draw("precision", predictions=[path])
    draw("families", scores=[json_of(path)])
    draw("learning_curve", scores=[json_of(path)])


def test_rotation_draws_truth_and_answers(tmp_path):
    angle = np.linspace(0, 360, 9)
    wave = np.cos(np.deg2rad(angle)).tolist()
    groups = ("theta_e", "slope", "lens", "source", "ellipticity", "shear")
    names = ("theta_e", "source_x", "ellipticity_1")
    found = {
        "angle": angle.tolist(),
        "change": {group: {"mean": np.full(9, 1e-9).tolist()} for group in groups},
        "example": {name: {"truth": wave, "answer": wave} for name in names},
    }
    path = tmp_path / "scores/hst_p4m/hst_quasars/rotation.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(found))
    figure = draw("rotation", rotation=[str(path)])
    assert keys(figure) == ["p4m, HST F160W", "truth"]
    below = figure.axes[3:]
    assert all(line.get_ydata()[0] == 1e-6 for axis in below for line in axis.lines[:2])
