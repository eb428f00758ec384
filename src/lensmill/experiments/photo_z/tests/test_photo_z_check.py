"""A population that is not what it should be is refused, with the number."""

import numpy as np
import pytest
from photo_z_settings import population

from lensmill.experiments.photo_z import check, ingest, simulate
from lensmill.pipeline import checks, shards, store

COUNT = 600


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    """Simulate a population; return its file and settings."""
    settings = population("mock")
    path = str(tmp_path_factory.mktemp("check") / "mock.h5")
    shards.simulate(path, simulate, "photo_z", "mock", 1, 0, COUNT, settings, "code")
    return path, settings | {"systems": COUNT}


def changed(mock, tmp_path, **columns):
    output = str(tmp_path / "changed.h5")
    store.extend(mock[0], output, {}, {"systems": columns}, ingest.UNITS)
    return " ".join(checks.failed(check.check(output, mock[1])["checks"]))


def test_a_mock_passes(mock):
    found = check.check(*mock)
    assert checks.failed(found["checks"]) == []
    assert len(found["sketch"]) == COUNT


def test_what_is_wrong_is_found(mock, tmp_path):
    whole = store.read(mock[0], "systems")
    z, flux, error = (whole[name].copy() for name in ("redshift", "flux", "flux_error"))
    z[5] = 0.9
    assert "a known redshift lies between 0.01 and 0.6" in changed(mock, tmp_path, redshift=z)
    error[3, 4] = 0.0
    assert "first: system 3" in changed(mock, tmp_path, flux_error=error)
    flux[:, 4] = -np.abs(flux[:, 4])
    assert "5 sigma below 0; set `min_snr`" in changed(mock, tmp_path, flux=flux)
    twice = whole["flux"].copy()
    twice[1], again = twice[0], whole["redshift"].copy()
    again[1] = again[0]
    assert "systems are copies" in changed(mock, tmp_path, flux=twice, redshift=again)
    unseen = whole["flux"].copy()
    unseen[whole["observed"] == 0] = 1e-9
    assert "what is not observed is 0" in changed(mock, tmp_path, flux=unseen)


def test_redshifts_of_other_rows_are_found(mock, tmp_path):
    z = store.read(mock[0], "systems")["redshift"]
    others = np.empty_like(z)
    others[np.argsort(z)] = np.roll(np.sort(z), COUNT // 2)
    said = changed(mock, tmp_path, redshift=others)
    assert "the redshifts are not those of these rows" in said


def test_a_mock_whose_noise_is_not_what_it_says_is_found(mock, tmp_path):
    whole = store.read(mock[0], "systems")
    said = changed(mock, tmp_path, flux_error=1.5 * whole["flux_error"])
    assert "fluxes against a Gaussian" in said


def test_a_missing_galaxy_is_found(mock):
    path, settings = mock
    said = checks.failed(check.check(path, settings | {"systems": COUNT + 1})["checks"])
    assert "600 galaxies are there of 601" in said[0]
