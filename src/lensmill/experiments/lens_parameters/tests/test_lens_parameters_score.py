"""Scores of posteriors that are right, too sure or of something else, and the table of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_up_posteriors import ERROR, SCATTER, truths, write

from lensmill.experiments.lens_parameters import comparison, network, parameters, score
from lensmill.experiments.lens_parameters.parameters import PARAMETERS
from lensmill.learning import strangeness
from lensmill.pipeline import store

PUBLISHED = Path(comparison.__file__).parent / "data/published.ecsv"
N = 1200


def scored(folder, name="p4m", population="hst_quasars", systems=N, family=None, **options):
    truth = options.pop("truth", truths(systems))
    raw = write(folder / "raw" / name / population / "predictions.h5", truth, **options)
    output = folder / "scores" / name / population / "predictions.h5"
    output.parent.mkdir(parents=True)
    found = score.score(raw, {}, 1, str(output), family)
    (output.parent / "scores.json").write_text(json.dumps(found))
    return found, str(output)


def test_a_perfect_posterior_covers_what_it_claims(tmp_path):
    found, _ = scored(tmp_path)
    assert found["known"] == found["systems"] == N
    assert found["coverage_error"] < found["calibration"]["worst"]["limit"]
    for name, numbers in found["targets"].items():
        assert numbers["coverage68"] == pytest.approx(0.68, abs=4 * np.sqrt(0.68 * 0.32 / N)), name
        assert abs(numbers["bias"]) < 5 * numbers["robust_scatter"] / np.sqrt(N), name


def test_scatter_and_width_are_those_of_the_errors(tmp_path):
    targets = scored(tmp_path)[0]["targets"]
    for i, name in enumerate(PARAMETERS):
        right = ERROR[i] * SCATTER[i] / np.hypot(ERROR[i], SCATTER[i])
        if name != "theta_e":  # which is learned as a logarithm
            assert targets[name]["robust_scatter"] == pytest.approx(right, rel=0.1), name
            assert targets[name]["width"] == pytest.approx(right, rel=0.1), name
    assert targets["theta_e"]["relative_scatter"] == pytest.approx(0.03, rel=0.1)
    # nothing is measured of the slope
    assert targets["slope"]["width_over_prior"] == pytest.approx(1, abs=0.08)
    alone = targets["slope"]["prior_scatter"]
    assert targets["slope"]["robust_scatter"] == pytest.approx(alone, rel=0.08)
    assert targets["source_x"]["width_over_prior"] < 0.2


def test_a_posterior_that_is_too_sure_is_told(tmp_path):
    found, _ = scored(tmp_path, claimed=0.5)
    # a Gaussian holds 38 % within half a sigma
    assert found["targets"]["gamma1"]["coverage68"] == pytest.approx(0.38, abs=0.06)
    assert found["coverage_error"] > 0.2 > found["calibration"]["worst"]["limit"]


def test_a_bias_is_found_with_its_sign(tmp_path):
    targets = scored(tmp_path, shift=1.0)[0]["targets"]
    assert targets["gamma1"]["bias"] == pytest.approx(targets["gamma1"]["width"], rel=0.15)
    assert targets["theta_e"]["relative_bias"] == pytest.approx(0.03, rel=0.2)


def test_what_is_not_known_is_not_judged(tmp_path):
    truth = truths(40)
    truth[:, 3] = np.nan  # no slope
    truth[:20] = np.nan  # and of some nothing
    found, _ = scored(tmp_path, truth=truth)
    assert found["known"] == 0 and found["systems"] == 40
    assert found["targets"]["slope"] is None and "coverage_error" not in found
    assert found["targets"]["theta_e"]["relative_scatter"] < 0.1
    assert found["targets"]["theta_e"]["coverage68"] is None


def test_images_unlike_those_learned_from_look_strange(tmp_path):
    _, own = scored(tmp_path)
    alike, _ = scored(tmp_path, population="same", family=own, seed=5)
    other, _ = scored(tmp_path, population="other", family=own, strange=3.0, seed=6)
    assert alike["calibration"]["strangeness"]["trusted"]
    assert not other["calibration"]["strangeness"]["trusted"]
    assert other["calibration"]["strangeness"]["strange"]["rate"] > 0.5


def test_an_ensemble_is_the_mixture_of_its_members(tmp_path):
    truth = truths(300)
    members = [
        write(tmp_path / f"p4m_seed{i}/hst_quasars/predictions.h5", truth, seed=i) for i in (1, 2)
    ]
    output = str(tmp_path / "together.h5")
    score.combine(members, output, "p4m_ensemble2")
    mixture, parts = (
        store.read(output, "mixtures"),
        [store.read(member, "mixtures") for member in members],
    )
    assert mixture["weight"] == pytest.approx(np.full((300, 2), 0.5))
    expected = np.concatenate([part["mean"] for part in parts], axis=1)
    assert mixture["mean"] == pytest.approx(expected)
    about = store.attributes(output)
    assert about["network"] == "p4m_ensemble2" and about["members"] == 2
    assert about["parameters"] == 2
    assert store.read(output, "features")["inner"].shape == (300, 12)
    # two measurements of the same lens that do not know of each other
    error = {
        path: np.std(store.read(path, "systems")["gamma1_median"] - truth[:, 4])
        for path in (output, members[0])
    }
    assert error[output] < 0.9 * error[members[0]]


def test_members_may_give_places_of_images(tmp_path):
    truth = truths(400) * 0.5 + [0.5, 0, 0, 1.0, *6 * [0]]  # near enough for a second image
    targets = parameters.to_targets(truth, "images")
    known = np.isfinite(targets).all(axis=1)
    assert known.sum() > 100
    truth, targets = truth[known], targets[known]
    sure = np.tile(1e3 * np.eye(10), (len(truth), 1, 1, 1))
    mixture = {"weight": np.ones((len(truth), 1)), "mean": targets[:, None], "factor": sure}
    paths = []
    for i in (1, 2):
        path = write(tmp_path / f"p4m_seed{i}/hst_quasars/predictions.h5", truth, targets="images")
        tables = {name: store.read(path, name) for name in ("systems", strangeness.FEATURES)}
        about = store.attributes(path)
        about.pop("content_digest")
        store.write(path, tables | {"mixtures": mixture}, network.UNITS, about)
        paths.append(path)
    output = str(tmp_path / "together.h5")
    score.combine(paths, output, "p4m_ensemble2")
    found = store.read(output, "systems")
    for i, name in ((0, "theta_e"), (3, "slope"), (4, "gamma1"), (8, "source_x")):
        assert found[f"{name}_median"] == pytest.approx(truth[:, i], abs=0.02)
    assert store.attributes(output)["targets"] == "images"


def test_members_that_saw_other_systems_are_refused(tmp_path):
    paths = [
        write(tmp_path / f"p4m_seed{i}/hst_quasars/predictions.h5", truths(20 + i), seed=i)
        for i in (1, 2)
    ]
    with pytest.raises(ValueError, match="are not predictions of the same systems"):
        score.combine(paths, str(tmp_path / "together.h5"), "p4m_ensemble2")


def rows(page):
    """Return the rows of the tables of a page, by network and parameter."""
    found, title = {}, ""
    for line in page.read_text().splitlines():
        title = line[3:] if line.startswith("## ") else title
        if line.startswith("| "):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            found[title, cells[0]] = cells[1:]
    return found


def test_the_table_says_in_the_row_what_beats_nothing(tmp_path):
    paths = []
    for name, population in (("hst_p4m", "hst_quasars"), ("lsst_p4m", "lsst_quasars")):
        _, path = scored(tmp_path, name=name, population=population)
        paths.append(path.replace("predictions.h5", "scores.json"))
    page = tmp_path / "comparison.md"
    comparison.compare(paths, ["hst_f160w", "lsst_i"], str(PUBLISHED), str(page))
    found = rows(page)
    hst, lsst = "p4m, HST F160W on HST F160W, quasars", "p4m, LSST $i$ on LSST $i$, quasars"
    for title in (hst, lsst):
        assert found[title, "slope"][5] == comparison.ALIKE
        assert found[title, "source_x"][5] == "yes"
        assert len(found[title, "largest coverage error"]) == len(found[title, "parameter"])
    assert "8 %" in found[lsst, "slope"][6] and "Venkatraman et al. 2025" in found[lsst, "slope"][6]
    assert found[hst, "slope"][6:] == ["–", "–"]
    assert '0.02"' in found[hst, "theta_e"][6]
    assert "Legin" in found[hst, "largest coverage error"][6]


def test_a_row_says_when_an_answer_is_worse_than_none():
    numbers = {"bias": 0.1, "robust_scatter": 0.5, "prior_scatter": 0.1, "width_over_prior": 4.0}
    assert comparison.row(numbers, "")[-1] == comparison.WORSE
    assert comparison.row(numbers | {"robust_scatter": 0.105}, "")[-1] == comparison.ALIKE
    assert comparison.row(numbers | {"robust_scatter": 0.085}, "")[-1] == "yes"
    assert comparison.row(numbers | {"prior_scatter": 0.0}, "")[-1] == "the prior has one value"
    assert comparison.row(None, "arcsec") == 6 * ["–"]
