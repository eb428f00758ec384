"""A lens in an image of one's own: FITS in, posterior, verdict and model out."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from network_settings import network_settings

from lensmill import experiments
from lensmill.experiments.lens_parameters import (
    cutout,
    light_fit,
    measure,
    network,
    score,
    simulate,
    sky,
)
from lensmill.experiments.lens_parameters import settings as lookups
from lensmill.imaging import camera, psf, quality
from lensmill.learning import posteriors, strangeness
from lensmill.pipeline import settings, shards, splits, store

ROOT = Path(__file__).parents[5]
DEFAULTS = experiments.defaults("lens_parameters")
POPULATION = settings.population(DEFAULTS, "hst_quasars")
OBSERVATION = POPULATION["observation"]
SCALE, SIZE = OBSERVATION["pixel_scale"], OBSERVATION["size"]
STAR = camera.psfs(OBSERVATION)[0].kernel
SMALL = {"architecture": "p4m", "width": 2, "neurons": 8, "epochs": 1, "tensorboard": False}
SYSTEMS = 100


def mocks(n, seed=3):
    """Draw systems whose sources have no clumps: what the fit knows of light describes them."""
    uniforms = np.random.default_rng(seed).random((n, sky.WIDTH))
    uniforms[:, sky.SLOTS.index("clumps")] = 0.01
    drawn = sky.draw(uniforms, {}, POPULATION["prior"])
    model, _, sigma = simulate.noise_free(drawn, OBSERVATION)
    tables = simulate.draw(0, uniforms, POPULATION)
    masses = [
        {k: float(tables["systems"][k][i]) for k in (*camera.MASS, "lens_x", "lens_y")}
        for i in range(n)
    ]
    return model, sigma, tables, masses


@pytest.fixture(scope="module")
def mock():
    """Return the pixels of one mock."""
    return mocks(1)[2]["cutouts"]["pixels"][0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train a small network on few mocks, and judge it: the files of a run."""
    folder = tmp_path_factory.mktemp("trained")
    names = ("shard.h5", "dataset.h5", "split.h5", "model.keras", "history.csv", "training.json")
    shard, dataset, split, model, history, training = (str(folder / name) for name in names)
    identity = {
        "experiment": "lens_parameters",
        "population": "hst_quasars",
        "seed": 1,
        "settings": POPULATION,
        "code": "",
    }
    shards.simulate(shard, simulate, first=0, count=SYSTEMS, **identity)
    shards.merge([shard], dataset, SYSTEMS, **identity)
    splits.write(dataset, split, "n_images", (16, 2, 2))
    network.train(
        dataset,
        split,
        network_settings("lens_parameters", SMALL),
        1,
        1,
        model,
        history,
        training,
        str(folder / "checkpoints"),
    )
    net = network.load(model, training)
    predictions, scored = str(folder / "predictions.h5"), str(folder / "scored.h5")
    network.predict(net, dataset, split, {"draws": 100}, 1, predictions, "small", "hst_quasars")
    found = score.score(predictions, {}, 1, scored)
    (folder / "scores.json").write_text(json.dumps(found))
    return net, {
        "models": [model],
        "trainings": [training],
        "family": scored,
        "scores": str(folder / "scores.json"),
        "dataset": dataset,
    }


def write(path, pixels, **cards):
    """Write an image as FITS."""
    fits.PrimaryHDU(np.asarray(pixels), fits.Header(list(cards.items()))).writeto(path)
    return str(path)


def files_of(folder, pixels, star=STAR, **cards):
    """Write an image and its star: what a user names."""
    return {
        "image": write(folder / "my.fits", pixels, **{"PIXSCALE": SCALE, **cards}),
        "psf": write(folder / "star.fits", star),
    }


def run(trained, folder, given, name="mine"):
    """Measure an image: the file of the posterior, the text and the folder."""
    out = folder / "out"
    figures = [str(out / file) for file in ("c.pdf", "c.png", "m.pdf", "m.png")]
    inputs = {key: trained[1][key] for key in ("models", "trainings", "family", "scores")}
    written = {"posterior": "p.h5", "text": "m.txt", "model": "m.fits"}
    measure.measure_image(
        given,
        **inputs,
        **{key: str(out / file) for key, file in written.items()},
        figures=figures,
        name=name,
        points=True,
        seed=1,
    )
    return str(out / "p.h5"), (out / "m.txt").read_text(), out


def test_a_mock_written_as_fits_gets_the_posterior_that_predict_gives_it(trained, tmp_path):
    net, files = trained
    pixels = store.pixels(files["dataset"])
    predictions = str(tmp_path / "all.h5")
    network.predict(
        net, files["dataset"], None, {"draws": 100}, 1, predictions, "small", "hst_quasars"
    )
    known = store.read(predictions, "mixtures")
    posterior, text, out = run(trained, tmp_path, files_of(tmp_path, pixels[7, ..., 0]))

    found = store.read(posterior, "mixtures")
    for name, values in found.items():
        assert values == pytest.approx(known[name][7:8], rel=1e-3, abs=1e-3)
    draws = store.read(posterior, "draws")
    e = np.hypot(draws["ellipticity_1"], draws["ellipticity_2"])
    assert draws["q"] == pytest.approx(1 - e) and len(e) == measure.DRAWS
    assert e * np.cos(2 * draws["phi"]) == pytest.approx(draws["ellipticity_1"])
    assert e * np.sin(2 * draws["phi"]) == pytest.approx(draws["ellipticity_2"])
    systems = store.read(posterior, "systems")
    assert systems["theta_e_median"][0] == pytest.approx(np.median(draws["theta_e"]))

    scored = store.read(files["family"], strangeness.FEATURES)
    facts = json.loads(store.attributes(files["family"])[strangeness.FAMILY])
    family = strangeness.Family(**store.read(files["family"], strangeness.FAMILY))
    own = store.read(posterior, strangeness.FEATURES)["inner"]
    strange = strangeness.strangeness(family, own)[0]
    assert own.shape[1] == scored["inner"].shape[1]
    inside = strange <= facts["threshold"]
    verdict = measure.INSIDE if inside else measure.OUTSIDE
    assert store.attributes(posterior)["verdict"] == verdict
    assert f"mine: {verdict.upper()}" in text
    assert f"above {facts['threshold']:.2f} an image is called strange: {facts['rate']:.1%}" in text
    assert "PSF F160W   0.244 arcsec wide, learned 0.244: +0%" in text
    assert "is no fit of the mass" in text

    with fits.open(out / "m.fits") as file:
        assert [unit.name for unit in file[1:]] == ["IMAGE", "MODEL", "RESIDUAL", "NOISE"]
        image, model, residual, noise = (unit.data.astype(float) for unit in file[1:])
    assert image == pytest.approx(pixels[7, ..., 0], abs=1e-4)
    assert residual * noise == pytest.approx(image - model, abs=1e-3)
    chi2 = store.attributes(posterior)["chi2_per_pixel"]
    assert np.mean(residual**2) == pytest.approx(chi2, rel=1e-3)
    for name in ("c.pdf", "c.png", "m.pdf", "m.png"):
        assert (out / name).stat().st_size > 1000


def test_the_answers_turn_with_the_image(trained, tmp_path, mock):
    answers = []
    for name, pixels in (("one", mock[..., 0]), ("turned", np.rot90(mock[..., 0], -1))):
        folder = tmp_path / name
        folder.mkdir()
        read = cutout.read(files_of(folder, pixels), OBSERVATION)
        answers.append(measure.ask([trained[0]], read.pixels, name)[0])
    # rows run upwards: turned from rows to columns, the sky turns counter-clockwise by 90 degrees
    one, turned = (mixture.mean[0] for mixture in answers)
    signs = np.array([1, -1, -1, 1, -1, -1, -1, 1, -1, 1])
    places = [0, 1, 2, 3, 4, 5, 7, 6, 9, 8]
    assert turned == pytest.approx(one[:, places] * signs, abs=2e-3)
    assert np.abs(one[:, 1:3]).max() > 0.01


def test_an_ensemble_answers_with_the_mixture_of_its_members(trained, mock):
    net = trained[0]
    one, _ = measure.ask([net], mock, "mine")
    both, features = measure.ask([net, net], mock, "mine")
    assert both.weight.sum() == pytest.approx(1)
    x = posteriors.sample(one, 5, np.random.default_rng(1))
    assert posteriors.log_densities(both, x) == pytest.approx(posteriors.log_densities(one, x))
    assert features.shape[1] == 2 * SMALL["neurons"]


def test_position_angles_are_not_torn_at_the_ends_of_their_range():
    true = np.pi - 0.02 + np.linspace(-0.1, 0.1, 11)
    angles = measure.unwrapped(np.cos(2 * true), np.sin(2 * true))
    assert angles == pytest.approx(true)


# What is wrong with a star, and how it is said
def _even(star):
    return star[:-1, :-1]


def _moved(star):
    return np.roll(star, 2, axis=1)


def _with(value, row, column):
    def change(star):
        changed = star.copy()
        changed[row, column] = value
        return changed

    return change


REFUSED_STARS = {
    "it is 18 x 18 pixels, but has to be square with an odd number": _even,
    "it is 19 x 17 pixels, but has to be square": lambda star: star[:, 1:-1],
    "it is brightest in row 9, column 11, but its middle is row 9, column 9": _moved,
    "1 of its pixels are not finite (first: row 3, column 4)": _with(np.nan, 3, 4),
    "its lowest pixel is -0.0005 (row 3, column 4)": _with(-0.0005, 3, 4),
    "its pixels sum to 2, not to 1 (permitted: 0.99 to 1.01)": lambda star: 2 * star,
    "light of the star is cut off; take a larger image": lambda s: (
        s[5:-5, 5:-5] / s[5:-5, 5:-5].sum()
    ),
}


@pytest.mark.parametrize("said", REFUSED_STARS)
def test_a_bad_star_is_refused_with_the_remedy(said, mock, tmp_path):
    given = files_of(tmp_path, mock[..., 0], REFUSED_STARS[said](STAR))
    with pytest.raises(ValueError, match=rf"refused, 1 problem:\n  star.fits: .*{re.escape(said)}"):
        cutout.read(given, OBSERVATION)


def test_a_star_of_other_pixels_than_the_image_is_refused(mock, tmp_path):
    given = files_of(tmp_path, mock[..., 0])
    given["psf"] = write(tmp_path / "fine.fits", STAR, PIXSCALE=0.04)
    with pytest.raises(ValueError, match=r"fine.fits: its pixels are 0.04 arcsec .* image 0.08"):
        cutout.read(given, OBSERVATION)


def test_bad_images_are_refused_with_the_remedy(mock, tmp_path):
    whole = mock[..., 0]
    cases = {
        r"my.fits is 63 x 63 pixels of 0.08 arcsec, less than the 64 x 64": {
            "pixels": whole[1:, 1:]
        },
        r"my.fits is 64 x 64 pixels of 0.04 arcsec.*at least 128 x 128": {
            "pixels": whole,
            "PIXSCALE": 0.04,
        },
        r"my.fits, band 'F160W': every pixel is masked": {"pixels": np.full_like(whole, np.nan)},
        r"its shape is \(3, 64, 64\).*number the plane": {"pixels": np.stack([whole] * 3)},
        r"its pixels of 30 arcsec cannot be": {"pixels": whole, "PIXSCALE": 30.0},
    }
    for i, (said, change) in enumerate(cases.items()):
        folder = tmp_path / str(i)
        folder.mkdir()
        with pytest.raises(ValueError, match=said):
            cutout.read(files_of(folder, **change), OBSERVATION)
    bare = {"image": write(tmp_path / "bare.fits", whole), "psf": write(tmp_path / "s.fits", STAR)}
    with pytest.raises(ValueError, match=r"neither a WCS nor its header .* set pixel_scale"):
        cutout.read(bare, OBSERVATION)
    assert cutout.read({**bare, "pixel_scale": SCALE}, OBSERVATION).native == SCALE


def test_the_number_of_bands_is_that_of_the_network(mock, tmp_path):
    given = files_of(tmp_path, mock[..., 0])
    two = {**OBSERVATION, "bands": {"F160W": {}, "F814W": {}}}
    with pytest.raises(
        ValueError,
        match=r"2 problems:\n  image: 1 named for the 2 bands .*F160W, F814W.*\n  psf: 1 named",
    ):
        cutout.read(given, two)
    with pytest.raises(
        ValueError, match=r"image: 2 named for the 1 bands .*name one image for each"
    ):
        cutout.read({**given, "image": [given["image"]] * 2}, OBSERVATION)


def test_all_that_is_wrong_is_said_at_once(mock, tmp_path):
    given = files_of(tmp_path, mock[1:, 1:, 0], 2 * STAR)
    given["noise"] = write(tmp_path / "noise.fits", np.zeros((64, 64)))
    with pytest.raises(ValueError, match=r"3 problems:\n  my.fits.*\n  star.fits.*\n  noise.fits"):
        cutout.read(given, OBSERVATION)


def test_a_map_of_the_noise_belongs_to_its_image(mock, tmp_path):
    noise = np.full((64, 64), 0.1)
    noise[3, 4] = np.inf
    given = files_of(tmp_path, mock[..., 0])
    given["noise"] = write(tmp_path / "noise.fits", noise)
    read = cutout.read(given, OBSERVATION)
    assert read.noise[3, 4, 0] == np.inf and np.isfinite(read.noise).sum() == 64 * 64 - 1
    assert read.sky == pytest.approx([0.1])
    for i, (wrong, said) in enumerate(
        ((noise[1:], "63 x 64 pixels, but the image 64 x 64"), (-noise, "not above 0"))
    ):
        given["noise"] = write(tmp_path / f"{i}.fits", wrong)
        with pytest.raises(ValueError, match=said):
            cutout.read(given, OBSERVATION)


def test_the_halo_at_the_edge_is_left_and_a_sky_that_is_named_goes(mock, tmp_path):
    for level in (0.0, 0.7):
        folder = tmp_path / str(level)
        folder.mkdir()
        given = files_of(folder, mock[..., 0] + np.float32(level))
        read = cutout.read({**given, "sky": level}, OBSERVATION)
        assert read.pixels == pytest.approx(mock, abs=2e-5)
    halo = np.median(mock[quality.border(64, 64)])
    assert halo > 3 * read.sky[0]  # else this would be no test


def test_missing_pixels_do_not_count_and_larger_images_are_cut_about_their_middle(mock, tmp_path):
    larger = np.pad(mock[..., 0], ((10, 10), (6, 7)), mode="reflect")
    larger[40, 20:22] = np.nan
    read = cutout.read(files_of(tmp_path, larger), OBSERVATION)
    assert read.masked.sum() == 2 and read.masked[30, 14:16].all()
    good = ~read.masked
    assert read.pixels[good] == pytest.approx(mock[good], abs=2e-5)
    # of the first pixel the number is 1; the image has 84 rows and 77 columns
    assert read.centre == (38.5, 42.5)


def test_finer_pixels_are_resampled_together_with_the_star(tmp_path):
    fine = psf.gaussian(0.24, 0.04)
    star = np.pad(fine.kernel, 2)
    image = np.zeros((160, 160))
    image[60 : 60 + len(star), 70 : 70 + len(star)] += 50 * star
    image += np.random.default_rng(1).normal(0, 0.01, image.shape)
    given = files_of(tmp_path, image, star, PIXSCALE=0.04)
    read = cutout.read(given, OBSERVATION)
    assert read.resampled and "pixels of 0.04 arcsec were resampled to 0.08" in read.notes[0]
    assert read.pixels.sum() == pytest.approx(50, rel=0.1)
    assert cutout.width(read.psfs[0], SCALE) == pytest.approx(0.24, rel=0.1)
    # the noise of four pixels that are summed
    assert read.sky == pytest.approx([0.02], rel=0.2)


def test_the_width_of_a_gaussian_is_its_width_at_half_its_height():
    for width in (0.2, 0.5):
        assert cutout.width(psf.gaussian(width, 0.08), 0.08) == pytest.approx(width, rel=1e-3)


@pytest.mark.parametrize("noisy", [False, True])
def test_the_light_of_a_mock_is_found_with_its_true_mass(noisy):
    model, sigma, tables, masses = mocks(2)
    pixels = tables["cutouts"]["pixels"] if noisy else model
    for i, mass in enumerate(masses):
        image = light_fit.Image(
            pixels[i].astype(float), sigma[i].astype(float), SCALE, camera.psfs(OBSERVATION)
        )
        fit, first = light_fit.fit(image, [mass], points=True)
        assert fit.chi2 == first
        # 4096 pixels: chi^2 per pixel scatters by 0.022; a fit may end a little above the bottom
        assert fit.chi2 == pytest.approx(1.0 if noisy else 0.0, abs=0.1 if noisy else 0.05)
        true = [float(tables["systems"][f"source_{axis}"][i]) for axis in "xy"]
        assert fit.source() == pytest.approx(true, abs=3e-3)
        assert len(fit.points) == tables["systems"]["n_images"][i]


def test_a_wrong_mass_fits_worse_and_the_best_of_several_is_taken():
    _, sigma, tables, masses = mocks(1)
    image = light_fit.Image(
        tables["cutouts"]["pixels"][0].astype(float),
        sigma[0].astype(float),
        SCALE,
        camera.psfs(OBSERVATION),
    )
    wrong = {**masses[0], "theta_e": 1.1 * masses[0]["theta_e"]}
    best, first = light_fit.fit(image, [wrong, masses[0]], points=True)
    assert best.mass == masses[0] and best.chi2 < 1.1
    assert first > 5


def test_pixels_without_noise_known_do_not_count_in_the_fit():
    model, sigma, _, masses = mocks(1)
    pixels, noise = model[0].astype(float), sigma[0].astype(float)
    pixels[20:23, 30:33] = 1e3
    noise[20:23, 30:33] = np.inf
    image = light_fit.Image(pixels, noise, SCALE, camera.psfs(OBSERVATION))
    assert light_fit.fit(image, masses, points=True)[0].chi2 < 1e-4


def own(**measure):
    """Return settings of the experiment with an own image."""
    chosen = {**experiments.choices("lens_parameters"), "measure": measure}
    return settings.complete(chosen, experiments.schema("lens_parameters"))


def test_without_files_the_remedy_is_said():
    with pytest.raises(ValueError, match=r"names no image and no psf; say `make measure IMAGE="):
        lookups.own_image(own(), str)
    with pytest.raises(ValueError, match=r"names no psf"):
        lookups.own_image(own(image="my.fits"), str)
    with pytest.raises(ValueError, match=r"measure.network: 'nobody' is none of hst_p4m"):
        lookups.own_image(own(image="my.fits", psf="star.fits", network="nobody"), str)
    with pytest.raises(ValueError, match=r"my.fits, band 'F160W': there is no such file"):
        lookups.own_image(own(image="my.fits", psf="star.fits"), str)


def test_files_are_inputs_and_an_extension_may_stand_behind_them(mock, tmp_path):
    units = [fits.PrimaryHDU()]
    header = fits.Header([("PIXSCALE", SCALE)])
    units += [fits.ImageHDU(mock[..., 0], header, "LENS"), fits.ImageHDU(STAR, name="PSF")]
    fits.HDUList(units).writeto(tmp_path / "all.fits")
    path = str(tmp_path / "all.fits")
    chosen = own(image=f"{path}[LENS]", psf=f"{path}[PSF]")
    assert lookups.own_image(chosen, str) == [path]
    given = lookups.own_paths(chosen, str)
    assert given == {"image": f"{path}[LENS]", "psf": f"{path}[PSF]", "sky": 0.0}
    assert cutout.read(given, OBSERVATION).pixels == pytest.approx(mock, abs=2e-5)


def test_results_are_called_after_the_image():
    for image, name in (
        ("a/my lens.fits.gz", "my_lens"),
        ("../J0001+0001.FITS", "J0001_0001"),
        ("all.fits[LENS]", "all_LENS"),
    ):
        assert lookups.name_of_image(own(image=image)).replace("+", "_") == name
    assert lookups.name_of_image(own()) == "none"


def test_the_members_of_an_ensemble_are_asked():
    assert lookups.own_networks(own(network="lsst_p4m_ensemble2")) == [
        "lsst_p4m_seed1",
        "lsst_p4m_seed2",
    ]
    assert lookups.own_networks(own()) == ["hst_p4m"]
    assert lookups.own_population(own(network="lsst_p4m_seed2")) == "lsst_quasars"
    assert lookups.own_points(own())


def plan(folder, given):
    """Ask what `make measure` would do: the jobs, and all that is said."""
    chosen = ", ".join(f"{key}: '{value}'" for key, value in given.items())
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--dry-run"]
    command += ["--directory", folder, "--cores", "1", "--config"]
    command += [f"experiments={{lens_parameters: {{measure: {{{chosen}}}}}}}", "--", "measure"]
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stdout + done.stderr
    return re.findall(r"^(?:local)?rule (\w+):", said, re.MULTILINE), said


def test_the_first_image_needs_a_network_and_a_bad_one_is_refused_before(mock, tmp_path):
    given = files_of(tmp_path, mock[..., 0])
    jobs, said = plan(tmp_path, given)
    assert {"train_network", "score_network", "measure_image", "measure"} <= set(jobs), said[-2000:]
    bad = write(tmp_path / "two.fits", 2 * STAR)
    jobs, said = plan(tmp_path, {**given, "psf": bad})
    assert jobs == [] and "two.fits: its pixels sum to 2, not to 1" in said


def test_make_hands_on_any_name_of_an_image():
    command = ["make", "--dry-run", "measure", "IMAGE=it's a lens.fits", "PSF=a star.fits"]
    cases = {
        (): {},
        ("PIXEL_SCALE=0.08", "SKY=0.3"): {"pixel_scale": 0.08, "sky": 0.3},
        ("NOISE=n.fits", "NETWORK=other"): {"noise": "n.fits", "network": "other"},
    }
    for more, wanted in cases.items():
        said = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True).stdout
        given = yaml.safe_load(re.search(r'echo "(experiments: .*)" > ', said)[1])
        measured = given["experiments"]["lens_parameters"]["measure"]
        assert measured == {"image": "it's a lens.fits", "psf": "a star.fits", **wanted}


def test_a_lens_of_the_challenge_runs_through(trained, shared_data, tmp_path):
    folder = shared_data / "tdlmc/rung0_seed3"
    names = {"image": "lens-image", "psf": "psf", "noise": "noise_map"}
    given = {k: str(folder / f"drizzled_{name}.fits.gz") for k, name in names.items()}
    _, text, _ = run(trained, tmp_path, {**given, "pixel_scale": SCALE}, "tdlmc")
    # 99 x 99 pixels: the frame of 64 lies half a pixel off their middle, 50
    assert "the middle is pixel (49.5, 49.5) of your image" in text
    assert "PSF F160W   0.284 arcsec wide, learned 0.244: +16%" in text

    truth = {"theta_e": 1.161, "q": 0.787, "phi": 1.605, "slope": 2.044}
    truth |= {"gamma1": 0.007, "gamma2": 0.027, "lens_x": SCALE / 2, "lens_y": SCALE / 2}
    read = cutout.read({**given, "pixel_scale": SCALE}, OBSERVATION)
    image = light_fit.Image(read.pixels.astype(float), read.noise, SCALE, read.psfs)
    fit, _ = light_fit.fit(image, [truth], points=True)
    # where the truth of the challenge has the images of the quasar, from the lens
    known = np.array([[0.082, -1.101], [-1.169, -0.249], [1.212, 0.227], [-0.277, 1.059]])
    found = fit.points - SCALE / 2
    off = np.hypot(*(known[:, None] - found).T).min(axis=0)
    assert len(found) == 4 and off.max() < 0.015
    assert measure.chi2_away(image, fit) < fit.chi2


def test_other_surveys_are_resampled_or_refused(shared_data):
    slacs = shared_data / "slacs_hst/slacs1430+4105"
    given = {"image": str(slacs / "image.fits.gz"), "psf": str(slacs / "psf.fits.gz")}
    read = cutout.read({**given, "pixel_scale": 0.03}, OBSERVATION)
    assert read.resampled and cutout.width(read.psfs[0], SCALE) < 0.12  # sharper than was learned
    with pytest.raises(ValueError, match="leave the map out, then the noise is measured"):
        noise = str(slacs / "noise_map.fits.gz")
        cutout.read({**given, "noise": noise, "pixel_scale": 0.03}, OBSERVATION)
    quasars = shared_data / "hst_lensed_quasars"
    small = {
        "image": str(quasars / "J1042+1641_f814w_samana.fits.gz"),
        "psf": str(quasars / "J1042+1641_f814w_psf_samana.fits.gz"),
    }
    with pytest.raises(ValueError, match=r"is 76 x 76 pixels of 0.04 arcsec.*at least 128 x 128"):
        cutout.read(small, OBSERVATION)


def test_the_verdict_is_by_strangeness_and_sharpness(trained, mock, tmp_path):
    net, files = trained
    read = cutout.read(files_of(tmp_path, mock[..., 0]), OBSERVATION)
    _, features = measure.ask([net], read.pixels, "mine")

    def judge(read, features):
        return measure.judge(read, features, files["family"], OBSERVATION)

    middle = store.read(files["family"], strangeness.FAMILY)["mean"][None]
    assert judge(read, middle)[:2] == (measure.INSIDE, ())
    far = judge(read, middle + 1e3 * (1 + np.abs(features)))
    assert far[:2] == (measure.OUTSIDE, ("it looks strange to the network",))
    blurred = read._replace(psfs=[psf.gaussian(0.4, SCALE)])
    assert judge(blurred, middle)[:2] == (measure.OUTSIDE, ("it has another sharpness",))
    unscored = str(tmp_path / "few.h5")
    store.write(unscored, {}, {}, {})
    assert measure.judge(read, middle, unscored, OBSERVATION).verdict == measure.NOT_JUDGED
