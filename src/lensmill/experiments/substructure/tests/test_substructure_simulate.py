"""Simulated images: classes that differ by their substructure alone, and how evident it is."""

import json

import numpy as np
import pytest
import yaml

from lensmill import experiments
from lensmill.experiments.substructure import check, leaks, observer, simulate, sky
from lensmill.experiments.substructure import settings as lookups
from lensmill.experiments.substructure.systems import CLASSES
from lensmill.imaging import camera, noise, perturbed
from lensmill.pipeline import settings as checked
from lensmill.pipeline import store
from lensmill.pipeline.streams import uniforms

NAME = "substructure"
DEFAULTS = experiments.defaults(NAME)


def settings(population):
    return checked.population(DEFAULTS, population)


def halos(family="cold", **changes):
    """Return settings of truncated halos, which the default run has none of."""
    chosen = settings("free")
    prior = {
        **chosen["prior"],
        "points": 0,
        "subhalo_mass": [1e7, 1e10, -1.9],
        "sigma_sub": ["fixed", 0.05],
        "m_hm": ["fixed", 1e9],
        **changes,
    }
    return {**chosen, "family": family, "prior": prior}


def numbers(n, population="free", seed=1):
    return uniforms(seed, NAME, population, 0, n, simulate.WIDTH)


def draw(n, chosen, population="free"):
    family = simulate.FAMILIES[chosen["family"]]
    return sky.draw(numbers(n, population), family, {**chosen["prior"], **family})


@pytest.fixture(scope="module")
def free():
    return simulate.draw(0, numbers(90), settings("free"))["systems"]


def test_a_class_has_its_substructure_and_nothing_else(free):
    label = free["label"]
    assert {*label} == {0, 1, 2}
    for name, owner in check.OF_CLASS.items():
        if name not in ("sigma_sub", "m_hm"):  # point masses have no mass function
            assert (free[name] > 0)[label == CLASSES.index(owner)].mean() > 0.9, name
        assert not free[name][label != CLASSES.index(owner)].any(), name
    assert (free["sub_chi"] <= free["raw_chi"] * (1 + 1e-6)).all()
    assert (free["sub_chi"][label > 0] > 0).all() and not free["raw_chi"][label == 0].any()
    assert (free["n_subhalos"][label == 1] == 25).all()
    assert free["vortex_mass"][label == 2] == pytest.approx(0.03)


def test_systems_do_not_hang_on_what_is_drawn_with_them():
    chosen = settings("free")
    together, u = simulate.draw(0, numbers(12), chosen), numbers(12)
    alone = simulate.draw(7, u[7:8], chosen)
    for table, columns in alone.items():
        for name, column in columns.items():
            assert (column == together[table][name][7:8]).all(), name


def test_only_the_source_moves_in_the_benchmark():
    systems = simulate.draw(0, numbers(30, "deeplense"), settings("deeplense"))["systems"]
    for name in ("theta_e", "q", "phi", "slope", "gamma1", "source_magnitude", "source_size"):
        assert np.ptp(systems[name]) == 0, name
    offset = np.abs(np.stack([systems["source_x"], systems["source_y"]]))
    assert 0.2 < offset.max() < 0.3501
    # masses as that code has them: 1e12 Msun within theta_E, of which a vortex has 3 %
    vortex = systems["label"] == 2
    assert systems["m_sub"][vortex] == pytest.approx(3e10, rel=0.03)
    assert not systems["kappa_sheet"].any()


def test_halos_are_as_many_as_their_mass_function_says():
    chosen = halos()
    drawn = draw(400, chosen)
    some = drawn.label == 1
    truth = drawn.truth
    kpc = 6.1  # to an arcsec at z = 0.5
    mean = 0.05 * np.pi * (2.5 * kpc) ** 2 * 10**0.9 / 0.9
    assert truth["n_subhalos"][some].mean() == pytest.approx(mean, rel=0.05)
    assert not truth["n_subhalos"][~some].any()
    warm = draw(400, halos("warm"))
    assert warm.truth["n_subhalos"][some].mean() < 0.5 * mean
    assert (warm.truth["m_hm"][some] == 1e9).all() and not truth["m_hm"].any()
    # less is bound than was before they fell in
    m = np.concatenate([np.zeros(1), drawn.halos.mass])
    assert m[1:].min() < 1e7 < m.max() < 1e10


@pytest.mark.parametrize("chosen", [settings("free"), halos()], ids=["points", "halos"])
def test_what_is_compensated_adds_no_mass_on_average(chosen):
    """On circles, the mean of the deflection away from the lens is that of no mass."""
    drawn = draw(600, chosen)
    prior = {**chosen["prior"], **simulate.FAMILIES[chosen["family"]]}
    size, scale = 32, 0.16
    bent = sky.deflection(drawn, prior, size, scale)
    rays = perturbed.rays(size, scale)
    x = rays[None, None, :] - drawn.centre[0][:, None, None]
    y = rays[None, :, None] - drawn.centre[1][:, None, None]
    r = np.hypot(x, y)
    away = (bent[:, 0] * x + bent[:, 1] * y) / r
    for c in (1, 2):
        of = drawn.label == c
        uncompensated = drawn.truth["m_sub"][of] / (np.pi * drawn.critical[of])
        for low, high in ((0.5, 1.0), (1.0, 1.5), (1.5, 2.0)):
            ring = (r[of] > low) & (r[of] < high)
            mean = (away[of] * ring).sum(axis=(1, 2)) / ring.sum(axis=(1, 2))
            added = uncompensated.mean() / np.mean([low, high])
            error = mean.std() / np.sqrt(len(mean))
            # halos reach beyond the disc that their centres lie in: less is there than taken off
            assert abs(mean.mean()) < 3.5 * error + 0.1 * added, (c, low)


def test_a_smooth_lens_is_taken_up_by_the_fit():
    """What a smooth lens does, an ideal observer does not call substructure."""
    chosen = settings("deeplense")
    drawn = draw(8, chosen, "deeplense")
    observation = chosen["observation"]
    scene = camera.assemble(drawn.mass, drawn.centre, drawn.light, observation["bands"])
    moves = np.zeros((8, len(perturbed.LENS) + len(perturbed.COMPONENT)))
    moves[:, :10] = np.random.default_rng(0).normal(0, 0.005, (8, 10))
    (psf,) = camera.psfs(observation)
    size, scale = observation["size"], observation["pixel_scale"]
    target = perturbed.render(observer._move(scene, moves), None, size, scale, psf).pixels
    sigma = noise.sigma(target[..., None], **camera.exposure(observation))[..., 0]
    raw, left = observer._fit(scene, target, 1 / sigma, observation)
    assert (raw > 15).all() and (left < 0.05).all()


def test_cold_subhalos_at_the_depth_of_hubble_are_hardly_seen():
    text = (experiments.FOLDER.parents[2] / "configs/substructure.yaml").read_text()
    of_six = yaml.safe_load(text)["experiments"][NAME]
    prior = {**of_six["priors"]["cdm"], "sigma_sub": ["fixed", 0.05]}
    chosen = {"family": "cold", "prior": prior, "observation": of_six["observations"]["hst"]}
    systems = simulate.draw(0, numbers(80), chosen)["systems"]
    some = systems["label"] == 1
    # the medians of 16 lenses of a prototype were 10 and 1.7
    assert 5 < np.median(systems["raw_chi"][some]) < 25
    assert 1 < np.median(systems["sub_chi"][some]) < 4


def test_the_checks_pass_what_is_simulated_and_find_what_is_not(tmp_path):
    chosen = {**settings("free"), "systems": 90}
    attributes = {"seed": 1, "experiment": NAME, "population": "free"}
    tables = simulate.draw(0, numbers(90), chosen)

    def checks(tables):
        path = str(tmp_path / "dataset.h5")
        facts = attributes | simulate.attributes(chosen)
        store.write(path, tables, simulate.UNITS, facts)
        return {c["name"]: c for c in check.check(path, chosen)["checks"]}

    found = checks(tables)
    assert [c["sentence"] for c in found.values() if c["passed"] is False] == []
    wrong = {**tables["systems"], "f_sub": np.full(90, 0.01)}
    assert checks({**tables, "systems": wrong})["what a class has not is 0"]["passed"] is False
    noisy = {**tables["cutouts"], "pixels": tables["cutouts"]["pixels"] + np.float32(0.05)}
    assert checks({**tables, "cutouts": noisy})["drawn again"]["passed"] is False


def test_brightness_that_gives_a_class_away_is_found():
    rng = np.random.default_rng(0)
    pixels = rng.normal(0, 0.01, (400, 32, 32, 1)).astype(np.float32)
    label = np.arange(400) % 2
    y, x = np.indices((32, 32)) - 15.5
    blob = np.exp(-(x**2 + y**2) / 20).astype(np.float32)
    bright = rng.lognormal(0, 0.1, 400)
    for factor, passed in ((1.0, True), (1.5, False)):
        light = np.where(label == 1, factor * bright, bright).astype(np.float32)
        images = pixels + light[:, None, None, None] * blob[..., None]
        found = leaks._separable(leaks.moments(images), label, 1, compensated=True)
        assert found["passed"] is passed
        measured = leaks._separable(leaks.moments(images), label, 1, compensated=False)
        assert measured["passed"] and measured["flagged"] is not passed
        assert "tell subhalos from none" in measured["sentence"]


def test_moments_are_those_of_the_light():
    y, x = np.indices((64, 64)) - 31.5
    u, v = (x - 3) * 0.6 + (y + 2) * 0.8, (y + 2) * 0.6 - (x - 3) * 0.8
    noise_ = np.random.default_rng(1).normal(0, 1e-6, (64, 64))
    image = np.exp(-(u**2) / 2 / 25 - v**2 / 2 / 9) + noise_
    found = leaks.moments(image[None, ..., None].astype(np.float32))
    assert found["radius"][0] == pytest.approx(34**0.5, rel=0.01)
    assert found["ellipticity"][0] == pytest.approx(16 / 34, rel=0.01)
    assert found["off_centre"][0] == pytest.approx(13**0.5, rel=0.01)
    assert found["lopsidedness"][0] == pytest.approx(0.0, abs=0.01)
    # of a Gaussian, <r^4> = (a + b)^2 + 2 (a^2 + b^2) of its variances
    assert found["concentration"][0] == pytest.approx(1 + 2 * (625 + 81) / 34**2, rel=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": 0}, "does not go with points: 0"),
        ({"classes": [0, 0, 0]}, "all shares of classes are 0"),
        ({"subhalo_mass": [1e10, 1e6, -0.9]}, "give the smallest first"),
        ({"place": ["disc", 1.0, 2.0]}, "is no place"),
        ({"place": ["ring", 2.0, 1.0]}, "is no place"),
    ],
)
def test_priors_that_mean_nothing_are_refused(change, message):
    chosen = json.loads(json.dumps(DEFAULTS))
    chosen["populations"]["free"]["override"] = change
    with pytest.raises(ValueError, match=message):
        lookups.check(chosen, "experiments.substructure")
