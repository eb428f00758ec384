"""The page that says whether a network's errors may be trusted."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lensmill import plotting
from lensmill.learning import calibration, calibration_page, strangeness
from lensmill.pipeline import store

NAMES = ["theta_e", "slope"]
UNITS = {
    **strangeness.UNITS,
    "systems": {"index": ""},
    "calibration": calibration.units_of({"theta_e": "arcsec", "slope": ""}),
}


def write(folder, population, claimed=1.0, shift=0.0, n=400, family=None, known=None):
    """Write the scored predictions and the scores of a made-up network; return both paths."""
    rng = np.random.default_rng(len(population))
    known = n if known is None else known
    folder = folder / "scores" / "net" / population
    centre = rng.normal(0, 3, (known, 2))
    samples = centre[:, None] + claimed * rng.normal(size=(known, 50, 2))
    truth = centre + rng.normal(size=(known, 2))
    columns, numbers = calibration.judge(samples, truth, NAMES, np.full(2, 3.0), rng)
    index = np.arange(n)
    inner = rng.normal(shift, 1, (n, 6)).astype(np.float32)
    tables = {
        "systems": {"index": index},
        "calibration": {"index": index[:known], **columns},
        "features": {"index": index, "inner": inner},
    }
    store.write(folder / "raw.h5", tables, UNITS, {})
    more, attributes, strange = strangeness.judge(str(folder / "raw.h5"), family)
    predictions, scores = str(folder / "predictions.h5"), folder / "scores.json"
    store.extend(folder / "raw.h5", predictions, attributes, more, UNITS)
    about = {"network": "net", "population": population, "systems": n}
    about["calibration"] = numbers | {"strangeness": strange or None}
    scores.write_text(json.dumps(about, allow_nan=False))
    return predictions, str(scores)


def texts(figure):
    """Return all that is written on a page, tables and legends too."""
    tables = [table for axis in figure.axes for table in axis.tables]
    cells = [cell for table in tables for cell in table.get_celld().values()]
    written = [*figure.findobj(plt.Text), *(cell.get_text() for cell in cells)]
    return "\n".join(text.get_text() for text in written)


@pytest.fixture
def draw():
    yield calibration_page.plot
    plt.close("all")


def test_the_page_of_the_family_shows_all_there_is(tmp_path, draw):
    figure = draw(*write(tmp_path, "own"))
    said = texts(figure)
    assert "net on own: 400 systems" in said
    assert "Inside the family; " in said
    assert "Do not trust" not in said
    assert {"theta e [arcsec]", "slope", "all: TARP", "95 % of perfect posteriors"} <= set(
        said.split("\n")
    )
    assert "of the family lie above it" in said
    ranks = figure.axes[1]
    assert len(ranks.lines) == 1 + len(NAMES)
    assert ranks.collections  # the band
    for line in ranks.lines[1:]:
        assert np.abs(line.get_ydata()).max() < 0.1
    histogram = figure.axes[-1]
    assert sum(histogram.patches[0].get_path().vertices[:, 1] > 0) > 5


def test_another_family_is_not_to_be_trusted_and_the_page_says_so(tmp_path, draw):
    own, _ = write(tmp_path, "own")
    said = texts(draw(*write(tmp_path, "strange_one", shift=3.0, family=own)))
    assert "Do not trust: outside the family that it was trained on" in said
    said = texts(draw(*write(tmp_path, "alike", family=own)))
    assert "No sign of lying outside the family" in said


def test_errors_that_are_far_too_small_are_not_to_be_trusted(tmp_path, draw):
    said = texts(draw(*write(tmp_path, "narrow", claimed=0.3)))
    assert "Do not trust: wrong errors; the largest coverage error is" in said


def test_real_systems_of_unknown_truth_are_only_strange_or_not(tmp_path, draw):
    own, _ = write(tmp_path, "own")
    figure = draw(*write(tmp_path, "real", n=12, known=0, family=own))
    assert "0.0 % of 12 systems look strange" in texts(figure)
    assert len(figure.axes) == 2


def test_a_population_without_systems_has_a_page_too(tmp_path, draw):
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps({"network": "net", "population": "none", "systems": 0}))
    assert "Do not trust: there are no systems" in texts(draw("", str(scores)))


def test_eleven_targets_have_lines_that_are_told_apart():
    looks = calibration_page._looks([f"target{i}" for i in range(11)])
    assert len({(look["color"], look["ls"]) for look in looks.values()}) == 11


def test_the_page_is_saved_like_a_figure(tmp_path):
    predictions, scores = write(tmp_path, "own")
    files = [tmp_path / f"{i}.png" for i in (1, 2)]
    for file in files:
        inputs = {"predictions": predictions, "scores": scores}
        plotting.save(calibration_page.plot, inputs, [str(file)], {"own": ("mine", "#000000")})
    assert files[0].read_bytes() == files[1].read_bytes()
