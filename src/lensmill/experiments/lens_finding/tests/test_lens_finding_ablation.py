"""Steps from mocks to the real sky put side by side, and what can be told at all."""

import json

import numpy as np
import pandas as pd
import pytest

from lensmill.experiments.lens_finding import ablation, resolvable, two_samples
from lensmill.imaging import camera, quality
from lensmill.imaging.light import Light
from lensmill.imaging.scenes import SERSIC
from lensmill.pipeline import store

SETTINGS = {"strict": "unpainted", "loose": "neighbours", "negatives": "neighbours", "wide": 1.44}
LIMITS = {"unpainted": 2.0, "neighbours": 1.0}


def predictions(path, population, logit, is_lens, theta_e=0.0, magnitude=19.0, index=None):
    n = len(logit)
    systems = {
        "index": np.arange(n) if index is None else np.array(index),
        "is_lens": np.full(n, is_lens),
        "label_known": np.ones(n, int),
        "logit": np.asarray(logit, float),
        "theta_e": np.full(n, theta_e) if np.ndim(theta_e) == 0 else np.array(theta_e),
        "host_magnitude": np.full(n, magnitude) if np.ndim(magnitude) == 0 else magnitude,
        "host_colour": np.full(n, 2.0),
        "host_radius": np.ones(n),
    }
    facts = {"population": population, "thresholds": json.dumps(LIMITS)}
    store.write(path, {"systems": systems}, {"systems": dict.fromkeys(systems, "")}, facts)
    return str(path)


def turn(folder, lenses, others, index=None, **known):
    folder.mkdir()
    paths = [
        predictions(folder / "lenses.h5", "lenses", lenses, 1, index=index, **known),
        predictions(folder / "others.h5", "neighbours", others, 0),
    ]
    return ablation.read(paths, "neighbours")


def test_lenses_above_the_thresholds_are_counted_wide_ones_also_by_themselves(tmp_path):
    one = turn(tmp_path / "a", [3, 1.5, 0, 5], [2.5, 0, 0, 0, -1], theta_e=[0, 2, 1, 1.5])
    found = ablation.measure([one], SETTINGS)
    assert (found["lenses"], found["n_wide"], found["others"]) == (4, 2, 5)
    assert (found["completeness"], found["loose"], found["wide"]) == (0.5, 0.75, 1)
    assert found["fpr"] == pytest.approx(0.2)
    assert found["tpr0"] == 0.5 and found["tpr10"] is None
    # above 5, 4 and 5 of the five, and of the lens at 0 above one and level with three
    assert found["auroc"] == pytest.approx((5 + 4 + (1 + 3 / 2) + 5) / 20)


def test_a_lens_counts_in_the_mean_of_the_turns_that_may_judge_it(tmp_path):
    first = turn(tmp_path / "a", [3, 3], [0] * 10, index=[0, 1])
    second = turn(tmp_path / "b", [0, 3], [0] * 10, index=[1, 2])
    found = ablation.measure([first, second], SETTINGS)
    assert found["lenses"] == 3 and found["completeness"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert found["others"] == 20 and found["fpr"] == 0


def test_pairs_are_alike_in_magnitude_and_nobody_is_in_two(tmp_path):
    lenses = pd.DataFrame({"host_magnitude": [18.0, 19.0, 20.0], "host_colour": [2.0, 2.0, 2.0]})
    others = pd.DataFrame({"host_magnitude": [20.1, 19.8, 23.0], "host_colour": [2.0, 2.0, 2.0]})
    one, two = ablation.matched(lenses, others)
    assert one.tolist() == [2] and two.tolist() == [0]
    # all that have a partner get one, the closest first
    ten = pd.DataFrame({"host_magnitude": np.arange(10) + 10.0, "host_colour": np.full(10, 2.0)})
    near = ten.assign(host_magnitude=ten["host_magnitude"] + np.linspace(0.0, 0.3, 10))
    one, two = ablation.matched(ten, near)
    assert one.tolist() == two.tolist() == list(range(10))


def test_what_only_differs_in_brightness_is_no_success_on_matched_pairs(tmp_path):
    rng = np.random.default_rng(3)
    magnitudes = rng.normal(19, 0.7, 300), rng.normal(20.5, 0.7, 300)
    logits = [20 - m for m in magnitudes]  # a network that only sees how bright an object is
    folder = tmp_path / "bright"
    folder.mkdir()
    paths = [
        predictions(folder / "a.h5", "lenses", logits[0], 1, magnitude=magnitudes[0]),
        predictions(folder / "b.h5", "neighbours", logits[1], 0, magnitude=magnitudes[1]),
    ]
    one = ablation.read(paths, "neighbours")
    found, catalogue = ablation.measure([one], SETTINGS), ablation.by_catalogue(one, 1)
    assert found["auroc"] > 0.9 and catalogue["auroc"] == pytest.approx(found["auroc"], abs=0.02)
    assert 0.45 < found["matched"] < 0.75 and found["matched"] < found["auroc"] - 0.2


def test_the_table_has_a_row_per_training_and_the_page_one_per_step(tmp_path):
    steps = {}
    for step, shift in (("a", 0.0), ("b", 2.0)):
        members = {}
        for number in range(3):
            folder = tmp_path / f"{step}{number}"
            folder.mkdir()
            lenses = np.linspace(-3, 3, 20) + shift + number / 10
            paths = [
                predictions(folder / "l.h5", "lenses", lenses, 1),
                predictions(folder / "o.h5", "neighbours", np.linspace(-3, 1, 30), 0),
            ]
            members["ensemble2" if number == 2 else f"seed{number + 1}"] = [paths]
        steps[step] = members
    table, page = str(tmp_path / "t.csv"), str(tmp_path / "t.md")
    ablation.tabulate(steps, SETTINGS, 1, table, page)
    found = pd.read_csv(table)
    assert found["step"].tolist() == ["a"] * 3 + ["b"] * 3
    text = (tmp_path / "t.md").read_text()
    assert text.count("| 2 seeds |") == text.count("| committee of 2 |") == 2
    assert "20 real lenses, 30 real non-lenses" in text


# ---- observers


def lens(theta_e, source_x, fwhm, size=48, scale=0.25):
    """Return arcs of a small source and an elliptical galaxy, one band twice."""
    bands = {
        name: {
            **{"wavelength": w, "zero_point": 25.0, "exposure": 900.0, "exposures": 1},
            **{"read_noise": 0.0, "sky": 19.5, "psf": {"gaussian": fwhm}},
        }
        for name, w in (("g", 481), ("i", 752))
    }
    observation = {"pixel_scale": scale, "size": size, "bands": bands}
    mass = {"theta_e": [theta_e], "q": [0.8], "phi": [0.3], "slope": [2.0], "gamma1": [0.0]}
    mass = {name: np.array(value) for name, value in mass.items()} | {"gamma2": np.zeros(1)}
    light, rows = Light(), np.zeros(1, int)
    shape = {"index": 1.0, "q": 0.8, "phi": 0.3, "magnitude": 22.0, "colour": 0.5}
    light.add(rows, SERSIC, lensed=True, x=source_x, y=0.1, radius=0.2, **shape)
    _, arcs, sigma = camera.noise_free(
        mass, (np.zeros(1), np.zeros(1)), light.joined(), observation
    )
    return arcs[0], sigma[0], scale


def galaxy(size, scale, radius):
    place = (np.arange(size) - (size - 1) / 2) * scale
    x, y = np.meshgrid(place, place)
    return np.exp(-0.5 * (x**2 + y**2) / radius**2)[..., None] * np.array([1.0, 5.0])


def test_light_that_a_galaxy_can_have_is_no_arc():
    size, scale, fwhm = 48, 0.25, 1.2
    host = galaxy(size, scale, 1.0)
    sigma = np.full(host.shape, 0.02)
    # brighter, shifted and flattened: of the galaxy's colour it says nothing to either observer
    more = 0.3 * host + 0.2 * np.roll(host, 1, axis=1) - 0.2 * np.roll(host, -1, axis=1)
    one, free = resolvable.beyond_galaxies(more, sigma, host, (0.0, 0.0), fwhm, scale)
    whole = quality.arc_snr(more[None], sigma)[0]
    assert one < 0.02 * whole and free < 0.02 * whole
    # of another colour only one who thinks galaxies have one colour takes it for arcs
    blue = more * np.array([1.0, 0.0])
    one, free = resolvable.beyond_galaxies(blue, sigma, host, (0.0, 0.0), fwhm, scale)
    assert one > 0.3 * quality.arc_snr(blue[None], sigma)[0] and free < 0.02 * whole


def test_whoever_knows_less_finds_less_and_sharp_arcs_are_left():
    left = {}
    for seeing in (0.3, 1.2):
        arcs, sigma, scale = lens(0.9, 0.35, seeing)
        host = galaxy(len(arcs), scale, 0.8)
        one, free = resolvable.beyond_galaxies(arcs, sigma, host, (0.0, 0.0), seeing, scale)
        known = quality.arc_snr(arcs[None], sigma)[0]
        assert free < one < known
        left[seeing] = free / known
    assert left[0.3] > 0.3 > 2 * left[1.2]


# ---- two samples


def sample(folder, radius, sigma, seed):
    """Write round galaxies of a size, and the noise of the sky."""
    rng = np.random.default_rng(seed)
    n, size, scale = 120, 40, 0.25
    place = (np.arange(size) - (size - 1) / 2) * scale
    r2 = place**2 + place[:, None] ** 2
    width = radius * rng.lognormal(0, 0.1, n)
    light = np.exp(-0.5 * r2 / width[:, None, None] ** 2) * 10 ** rng.normal(0, 0.2, (n, 1, 1))
    pixels = light[..., None] * [0.4, 1.0] + rng.normal(0, sigma, (n, size, size, 2))
    systems = {"index": np.arange(n), "is_lens": np.ones(n, int)}
    cutouts = {"system": np.arange(n), "pixels": pixels.astype(np.float32)}
    units = {"systems": dict.fromkeys(systems, ""), "cutouts": dict.fromkeys(cutouts, "")}
    path = str(folder / f"{seed}.h5")
    store.write(path, {"systems": systems, "cutouts": cutouts}, units, {})
    return path


def test_samples_are_told_apart_by_what_differs_and_by_nothing_else(tmp_path):
    psf = {"gaussian": 1.0}
    bands = {"g": {"wavelength": 481, "zero_point": 25, "psf": psf}}
    bands["i"] = {"wavelength": 752, "zero_point": 25, "psf": psf}
    observation = {"pixel_scale": 0.25, "size": 40, "bands": bands}
    real = sample(tmp_path, 0.9, 0.01, 1)
    made = {
        "alike": sample(tmp_path, 0.9, 0.01, 2),
        "wider": sample(tmp_path, 1.5, 0.01, 3),
        "noisier": sample(tmp_path, 0.9, 0.015, 4),
    }
    found = two_samples.compare(made, [real], observation, 1)
    assert found["real"] == found["alike"]["lenses"] == 120
    for kind in ("light", "noise", "both"):
        auroc, error = found["alike"][kind]
        assert abs(auroc - 0.5) < 4 * error
    assert found["wider"]["light"][0] > 0.95
    assert found["noisier"]["noise"][0] > 0.95 and found["noisier"]["both"][0] > 0.95


def test_whoever_has_seen_a_host_does_not_count_as_telling_it(tmp_path):
    rng = np.random.default_rng(7)
    # made: ten hosts again and again, each with a noise of its own; real: noise of the same law
    host = np.repeat(np.arange(10), 12)
    made, real = rng.normal(size=(10, 1))[host], rng.normal(size=(120, 1))
    alone = np.arange(120).astype(str)
    leaking = two_samples._told(made, real, np.char.add("made", alone), alone, 1)[0]
    honest = two_samples._told(made, real, np.char.add("host", host.astype(str)), alone, 1)[0]
    assert leaking > 0.8 and honest < leaking - 0.15
