"""Simulated images: what is in them, and that nothing but the arcs tells lenses from the rest."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lensmill import experiments
from lensmill.experiments.lens_finding import check, simulate, sky
from lensmill.pipeline import settings as checked
from lensmill.pipeline import shards, store
from lensmill.pipeline.streams import uniforms

NAME = "lens_finding"
SETTINGS = checked.population(experiments.defaults(NAME), "euclid")


def numbers(n, seed=1):
    return uniforms(seed, NAME, "euclid", 0, n, simulate.WIDTH)


@pytest.fixture(scope="module")
def drawn():
    return simulate.draw(0, numbers(600), SETTINGS)


def test_only_lenses_have_lensed_light(drawn):
    systems = drawn["systems"]
    lens = systems["is_lens"] == 1
    assert (systems["arc_snr"][lens] > 0).all() and (systems["theta_e"][lens] > 0.1).all()
    for column in ("arc_snr", "arc_length", "theta_e", "magnification", "n_images"):
        assert not systems[column][~lens].any(), column


def test_brightness_does_not_tell_lenses_from_the_rest(drawn):
    systems, pixels = drawn["systems"], drawn["cutouts"]["pixels"]
    for values in (systems["snr"], pixels.sum(axis=(1, 2, 3)), pixels.max(axis=(1, 2, 3))):
        assert 0.4 < roc_auc_score(systems["is_lens"], values) < 0.6


def test_sources_within_an_einstein_radius_are_magnified(drawn):
    systems = drawn["systems"]
    lens = systems["is_lens"] == 1
    assert 2 < np.median(systems["magnification"][lens]) < 6


def test_a_quarter_turn_of_the_sky_is_a_turned_image_to_the_last_bit():
    u = numbers(6)
    upright = simulate.turned(u, SETTINGS, 0.0)
    assert (upright == simulate.draw(0, u, SETTINGS)["cutouts"]["pixels"]).all()
    for quarters in (1, 2, 3):
        # rows are y upwards: turning counter-clockwise is from columns to rows
        turned = np.rot90(upright, -quarters, axes=(1, 2))
        assert (simulate.turned(u, SETTINGS, 90.0 * quarters) == turned).all()


def test_a_lens_turned_counter_clockwise_has_its_light_there():
    u = numbers(300)
    drawn = sky.draw(u, {}, SETTINGS["prior"])
    model = simulate.noise_free(sky.turn(drawn, np.pi / 2), SETTINGS["observation"])[0]
    upright = simulate.noise_free(drawn, SETTINGS["observation"])[0]
    peak = upright.max(axis=(1, 2, 3), keepdims=True)
    off = np.abs(model - np.rot90(upright, -1, axes=(1, 2))) / peak
    assert np.quantile(off.max(axis=(1, 2, 3)), 0.98) < 1e-3


def test_a_bluer_galaxy_is_brighter_in_bluer_bands():
    settings = checked.population(experiments.defaults(NAME), "euclid")
    settings["observation"] = experiments.defaults(NAME)["observations"]["lsst_gri"]
    tables = simulate.draw(0, numbers(200), settings)
    bands = settings["observation"]["bands"].values()
    flux = tables["cutouts"]["pixels"].sum(axis=(1, 2))
    magnitude = [b["zero_point"] for b in bands] - 2.5 * np.log10(np.maximum(flux, 1e-3))
    unlit = tables["systems"]["kind"] == sky.KINDS.index("unlit")
    # a red galaxy: g - i of 2.1 by the prior, less where blue neighbours add their light
    assert np.median((magnitude[:, 0] - magnitude[:, 2])[unlit]) == pytest.approx(2.0, abs=0.3)


def test_defects_are_repaired_and_counted():
    settings = checked.population(experiments.defaults(NAME), "euclid")
    settings["observation"] |= {
        "defects": {"bad_pixels": 0.02, "nan_pixels": 0.01, "cosmic_rays": 1}
    }
    tables = simulate.draw(0, numbers(20), settings)
    assert np.isfinite(tables["cutouts"]["pixels"]).all()
    assert tables["systems"]["masked_fraction"].mean() == pytest.approx(0.03, abs=0.005)


def dataset(path, n=300, **changes):
    identity = {"experiment": NAME, "population": "euclid", "seed": 1}
    settings = SETTINGS | changes
    shards.simulate(str(path), simulate, first=0, count=n, settings=settings, code="", **identity)
    return str(path), settings | {"systems": n}


def test_a_population_passes_its_checks(tmp_path):
    found = check.check(*dataset(tmp_path / "a.h5"))
    assert [c["sentence"] for c in found["checks"] if c["passed"] is False] == []
    names = {c["name"] for c in found["checks"]}
    assert {"drawn again", "noise", "share of ring", "prior of einstein_radius"} <= names


@pytest.mark.parametrize(
    ("column", "change", "name"),
    [
        ("systems/is_lens", lambda x: np.roll(x, 1), "labels and kinds"),
        ("systems/theta_e", lambda x: 0.5 * x, "prior of einstein_radius"),
        ("systems/n_minima", lambda x: 0 * x, "image counts"),
        ("cutouts/pixels", lambda x: np.roll(x, 1, axis=0), "drawn again"),
        ("cutouts/pixels", lambda x: 2 * x, "noise"),
    ],
)
def test_what_is_wrong_with_a_population_is_found(tmp_path, column, change, name):
    path, settings = dataset(tmp_path / "a.h5")
    tables = {t: store.read(path, t) for t in simulate.UNITS}
    table, key = column.split("/")
    tables[table][key] = change(tables[table][key]).astype(tables[table][key].dtype)
    facts = store.attributes(path)
    store.write(path, tables, simulate.UNITS, facts)
    found = check.check(path, settings)
    assert name in {c["name"] for c in found["checks"] if c["passed"] is False}


def test_images_are_laid_upon_pieces_of_real_sky(tmp_path):
    rng = np.random.default_rng(5)
    sky_pixels = (7 * rng.normal(size=(5, 64, 64, 1))).astype(np.float32)
    hashes = np.array([f"piece {i}" for i in range(5)])
    tables = {
        "systems": {"index": np.arange(5), "content_hash": hashes},
        "cutouts": {"system": np.arange(5), "pixels": sky_pixels},
    }
    units = {"systems": {"index": "", "content_hash": ""}, "cutouts": simulate.UNITS["cutouts"]}
    store.write(tmp_path / "sky.h5", tables, units, {})
    u = numbers(40)
    on_sky = simulate.draw(0, u, SETTINGS | {"background": str(tmp_path / "sky.h5")})
    drawn = sky.draw(u, {}, SETTINGS["prior"])
    model, _, sigma = simulate.noise_free(drawn, SETTINGS["observation"])
    off = (on_sky["cutouts"]["pixels"] - model) / sigma
    # noise of the survey, whatever the unit of the pieces; few different ones
    assert off.std() == pytest.approx(1, abs=0.1)
    # mocks upon one piece are one group
    group = on_sky["systems"]["group"]
    assert {*group} == {*hashes}


def test_the_bands_of_a_file_are_named_in_the_order_of_its_planes(tmp_path):
    gri = experiments.defaults(NAME)["observations"]["lsst_gri"]
    path, _ = dataset(tmp_path / "a.h5", n=4, observation=gri)
    assert json.loads(store.attributes(path)["bands"]) == ["g", "r", "i"]
