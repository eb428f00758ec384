"""What looks strange to a network: thresholds hold their rate, other families are found."""

import numpy as np
import pytest
from scipy import stats

from lensmill.learning import calibration, strangeness
from lensmill.pipeline import store

F = 40
MIX = np.random.default_rng(0).normal(size=(F, F)) * np.geomspace(0.01, 100, F)


def features(rng, n, shift=0.0):
    """Features of very different scatter that hang on each other, with tails."""
    return 5 + (rng.standard_t(6, (n, F)) + shift) @ MIX


def test_strangeness_of_a_gaussian_family_is_one():
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(MIX)[0]  # no direction so narrow that the shrinking is felt
    family = strangeness.fit_family(3 + rng.normal(size=(20_000, F)) * 50 @ turn)
    scores = strangeness.strangeness(family, 3 + rng.normal(size=(5000, F)) * 50 @ turn)
    assert scores.mean() == pytest.approx(1, rel=0.02)


def test_few_systems_and_dead_features_are_borne():
    rng = np.random.default_rng(2)
    few = features(rng, 20)  # half as many systems as features
    few[:, 3] = 7.0
    family = strangeness.fit_family(few)
    scores = strangeness.strangeness(family, few)
    assert np.isfinite(scores).all()
    away = few.copy()
    away[:, 3] = 7.0 + 100 * few.std(axis=0).mean()
    assert (strangeness.strangeness(family, away) > scores).all()
    alike = strangeness.fit_family(np.full((9, 4), 2.0))
    assert strangeness.strangeness(alike, np.full((1, 4), 2.0)) == 0


def test_the_measured_rate_is_that_which_was_asked_for():
    rng = np.random.default_rng(3)
    alarms, of = 0, 0
    for _ in range(20):
        _, scores, numbers = strangeness.judge_family(features(rng, 2000))
        assert (numbers["set_on"], numbers["of"], len(scores)) == (500, 1000, 2000)
        alarms, of = alarms + round(numbers["rate"] * numbers["of"]), of + numbers["of"]
    # the threshold of each is itself set on 500: its rate scatters like a beta distribution
    scatter = np.sqrt(0.01 / of + 0.01 / (20 * 500))
    assert alarms / of == pytest.approx(0.01, abs=4 * scatter)
    assert numbers["low"] <= numbers["rate"] <= numbers["high"]


def test_the_threshold_leaves_no_more_above_than_asked_and_is_the_largest_of_few():
    scores = np.random.default_rng(4).permutation(999.0 - np.arange(999))
    assert strangeness.set_threshold(scores, 0.01) == 990
    assert strangeness.set_threshold(scores[:20], 0.01) == scores[:20].max()


def test_too_few_systems_of_a_family_are_refused():
    with pytest.raises(ValueError, match="7 test systems of the family, but 8 or more"):
        strangeness.judge_family(np.zeros((7, 2)))


@pytest.mark.parametrize(("alarms", "of", "trusted"), [(12, 1000, True), (40, 1000, False)])
def test_a_population_is_trusted_if_its_alarms_are_those_of_the_family(alarms, of, trusted):
    family = {"wanted": 0.01, "high": 0.012, "set_on": 500}
    assert strangeness.trusts(calibration.rate(alarms, of), family) is trusted
    p = stats.binom.sf(alarms - 1, of, 0.012)
    assert (p >= 0.01) == trusted
    assert strangeness.trusts(None, family) is None


def test_a_threshold_that_few_systems_have_set_can_refuse_but_not_vouch():
    few = {"wanted": 0.01, "high": 0.05, "set_on": 50}
    assert strangeness.trusts(calibration.rate(0, 100), few) is None
    assert strangeness.trusts(calibration.rate(90, 100), few) is False


UNITS = {**strangeness.UNITS, "systems": {"index": ""}}


def write(path, inner):
    table = {"index": np.arange(len(inner)), "inner": inner.astype(np.float32)}
    store.write(path, {"features": table, "systems": {"index": table["index"]}}, UNITS, {})
    return str(path)


def judge(path, family=None):
    tables, attributes, numbers = strangeness.judge(path, family)
    output = path.replace(".h5", ".scored.h5")
    store.extend(path, output, attributes, tables, UNITS)
    return output, numbers


def test_another_family_is_judged_by_what_the_first_has_left(tmp_path):
    rng = np.random.default_rng(5)
    own, numbers = judge(write(tmp_path / "own.h5", features(rng, 1200)))
    assert numbers["own"] and numbers["trusted"]
    assert numbers["strange"] == {k: numbers["family"][k] for k in ("rate", "low", "high", "of")}
    more, alike = judge(write(tmp_path / "more.h5", features(rng, 1000)), own)
    assert alike["trusted"] and not alike["own"]
    assert alike["family"] == numbers["family"]
    assert alike["strange"]["of"] == 1000
    scores = store.read(more, "strangeness")["strangeness"]
    assert (scores > numbers["family"]["threshold"]).mean() == alike["strange"]["rate"]
    _, other = judge(write(tmp_path / "other.h5", features(rng, 300, shift=1.5)), own)
    assert other["trusted"] is False
    assert other["strange"]["rate"] > 0.5


def test_without_enough_of_the_family_nothing_is_said(tmp_path):
    rng = np.random.default_rng(6)
    own, numbers = judge(write(tmp_path / "own.h5", features(rng, 5)))
    assert numbers == {}
    _, other = judge(write(tmp_path / "other.h5", features(rng, 50)), own)
    assert other == {}
