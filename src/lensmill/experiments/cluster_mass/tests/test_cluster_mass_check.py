import numpy as np
import pytest
from cluster_mass_settings import population

from lensmill.experiments.cluster_mass import check, simulate
from lensmill.pipeline import checks, shards, store

N = 240


@pytest.fixture(scope="module", params=["flat", "mass_function"])
def simulated(request, tmp_path_factory):
    settings = population(request.param)
    settings["observation"] |= {"size": 32, "pixel_scale": 76.8}
    path = str(tmp_path_factory.mktemp("clusters") / "dataset.h5")
    shards.simulate(path, simulate, "cluster_mass", request.param, 1, 0, N, settings, "code")
    return path, settings | {"systems": N}


def found(path, settings):
    return {one["name"]: one for one in check.check(path, settings)["checks"]}


def changed(path, output, table="systems", **columns):
    units = store.units(path)
    store.extend(path, output, columns={table: columns}, units=units)
    return str(output)


def test_a_sound_population_passes_and_is_like_the_sky(simulated):
    path, settings = simulated
    results = found(path, settings)
    assert not checks.failed(list(results.values()))
    for column in ("l_x", "l_x_excised", "m_gas"):
        assert results[f"slope of {column}"]["passed"]
        assert not results[f"slope of {column}"]["flagged"], results[f"slope of {column}"]
    assert results["drawn again"]["value"] == 0


def test_what_is_wrong_is_found(simulated, tmp_path):
    path, settings = simulated
    systems = store.read(path, "systems")
    pixels = store.read(path, "cutouts", ["pixels"])["pixels"]
    half = pixels.copy()
    half[3, 5, 5] += 0.5
    results = found(changed(path, tmp_path / "a.h5", "cutouts", pixels=half), settings)
    assert "in 1 of 240 rows" in results["photons"]["sentence"]
    # photons that were drawn around other numbers
    counts = systems["expected_counts"] * 1.02
    results = found(changed(path, tmp_path / "b.h5", expected_counts=counts), settings)
    assert results["noise"]["passed"] is False
    # another law of masses
    mass = systems["ln_m500"].copy()
    settings_of = settings | {"family": "flat" if settings["family"] != "flat" else "mass_function"}
    assert found(path, settings_of)["masses"]["passed"] is False
    mass += 3.0
    results = found(changed(path, tmp_path / "c.h5", ln_m500=mass), settings)
    assert results["masses"]["passed"] is False


def test_views_of_two_clusters_in_one_group_are_found(simulated, tmp_path):
    path, settings = simulated
    group = store.read(path, "systems", ["group"])["group"].astype(str)
    swapped = group.copy()
    swapped[[1, 2]] = group[[2, 1]]
    results = found(changed(path, tmp_path / "a.h5", group=swapped), settings)
    assert "in 4 of 240 rows" in results["views"]["sentence"]
    # one cluster under two names would be learned in one and tested in the other
    renamed = group.copy()
    renamed[1] = "elsewhere"
    results = found(changed(path, tmp_path / "b.h5", group=renamed), settings)
    assert results["views"]["passed"] is False


def test_clusters_unlike_those_of_the_sky_are_flagged_not_refused(tmp_path):
    settings = population(gas_slope=-0.3)
    settings["observation"] |= {"size": 16, "pixel_scale": 150.0}
    path = str(tmp_path / "dataset.h5")
    shards.simulate(path, simulate, "cluster_mass", "flat", 1, 0, N, settings, "code")
    results = found(path, settings | {"systems": N})
    assert not checks.failed(list(results.values()))
    assert results["slope of m_gas"]["flagged"]
    assert results["slope of m_gas"]["value"] == pytest.approx(0.7, abs=0.03)


def test_too_few_clusters_say_nothing_of_slopes(tmp_path):
    settings = population()
    settings["observation"] |= {"size": 16, "pixel_scale": 150.0}
    path = str(tmp_path / "dataset.h5")
    shards.simulate(path, simulate, "cluster_mass", "flat", 1, 0, 20, settings, "code")
    results = found(path, settings | {"systems": 20})
    assert results["slope of l_x"]["passed"] is None
    assert np.isfinite(results["noise"]["value"])
