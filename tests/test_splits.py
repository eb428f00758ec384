"""Splits: fractions by stratum, and stability when the data grow."""

import numpy as np

from lensmill.pipeline.splits import labels

STRATUM = np.random.default_rng(1).choice([1, 2, 4], 10_000, p=[0.3, 0.65, 0.05])
BLOCKS = (16, 2, 2)


def test_every_stratum_is_split_in_the_same_parts():
    split = labels("e/p/1", STRATUM, BLOCKS)
    for value in (1, 2, 4):
        counts = np.bincount(split[STRATUM == value], minlength=3)
        total = counts.sum()
        assert abs(counts - total * np.array([0.8, 0.1, 0.1])).max() <= 4


def test_growth_changes_no_label():
    split = labels("e/p/1", STRATUM, BLOCKS)
    for n in (1, 19, 20, 5_001):
        assert (labels("e/p/1", STRATUM[:n], BLOCKS) == split[:n]).all()


def test_another_population_is_split_otherwise():
    first, other = (labels(f"e/{p}/1", STRATUM, BLOCKS) for p in "pq")
    assert 0.2 < (first != other).mean() < 0.5
