"""The law of spectra is that of real galaxies, and of those alone that may be learned from."""

import json

import numpy as np
import pytest
from photo_z_settings import choices, population

from lensmill.experiments.photo_z import ingest, mixture
from lensmill.pipeline import sources, splits, store


@pytest.fixture(scope="module")
def galaxies(tmp_path_factory):
    """Ingest and split the galaxies of the default run."""
    folder = tmp_path_factory.mktemp("mixture")
    settings = population("sdss_galex_2mass")
    dataset, split = str(folder / "dataset.h5"), str(folder / "split.h5")
    source = sources.find(settings["ingest"], "")
    ingest.ingest(source, dataset, "sdss_galex_2mass", "photo_z", settings)
    splits.write(dataset, split, **choices()["split"])
    return dataset, split, json.loads(store.attributes(dataset)["bands"])


@pytest.fixture(scope="module")
def found(galaxies):
    """Fit the mixture anew."""
    return mixture.fit(*galaxies)


def test_the_numbers_that_are_kept_are_those_of_the_training_part(found):
    kept = mixture.read()
    assert found.meta["galaxies"] == 5000
    assert np.array(found["weight"]) == pytest.approx(kept.weight, abs=1e-3)
    assert np.array(found["mean"]) == pytest.approx(kept.mean, abs=0.02)
    root = np.array(found["root"]).reshape(-1, 4, 4)
    assert root == pytest.approx(kept.root, abs=0.02)


def test_galaxies_of_the_test_part_change_nothing(galaxies, found, tmp_path):
    dataset, split, bands = galaxies
    part = store.read(split, "systems")["split"]
    flux = store.read(dataset, "systems", ["flux"])["flux"]
    flux[part != splits.TRAIN] *= np.linspace(0.1, 10, flux.shape[1])
    store.extend(dataset, tmp_path / "other.h5", {}, {"systems": {"flux": flux}}, ingest.UNITS)
    other = mixture.fit(str(tmp_path / "other.h5"), split, bands)
    assert np.array_equal(found["mean"], other["mean"])


def test_shares_and_logarithms_undo_each_other():
    shares = np.random.default_rng(0).dirichlet([0.3] * 5, 50)
    assert mixture.shares(mixture.logarithms(shares)) == pytest.approx(shares, abs=1e-12)
