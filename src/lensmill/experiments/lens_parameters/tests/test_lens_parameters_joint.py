"""Image and delays together: the likelihood of an image, and draws that count by it."""

import json

import numpy as np
import pytest
from scipy import stats

from lensmill import experiments
from lensmill.experiments.lens_parameters import joint
from lensmill.inference import image_places, image_posterior
from lensmill.inference.point_images import Posterior
from lensmill.learning import posteriors
from lensmill.pipeline import settings, store

STUDY = experiments.defaults("lens_parameters")
PRIOR = settings.population(STUDY, "hst_quasars")["prior"]
WIDTHS = np.array([0.05, 0.1, 0.1, 0.05, 0.05, 0.05, 0.2, 0.2])  # of what an image says of `SEEN`


def lenses(n, rng):
    """Draw lenses of the prior of the network, behind sheets."""
    from lensmill.pipeline.priors import inverse_cdf

    e, g = (inverse_cdf(PRIOR[name], rng.random(n)) for name in ("one_minus_q", "shear"))
    a, b, c = 2 * np.pi * rng.random((3, n))
    theta_e = inverse_cdf(PRIOR["einstein_radius"], rng.random(n))
    r = PRIOR["source"][1] * theta_e * np.sqrt(rng.random(n))
    return {
        "theta_e": theta_e,
        "ellipticity_1": e * np.cos(a),
        "ellipticity_2": e * np.sin(a),
        "slope": inverse_cdf(PRIOR["slope"], rng.random(n)),
        "gamma1": g * np.cos(b),
        "gamma2": g * np.sin(b),
        "kappa_ext": np.zeros(n),
        "lens_x": np.full(n, 0.3),  # in whatever frame
        "lens_y": np.full(n, -0.2),
        "source_x": 0.3 + r * np.cos(c),
        "source_y": -0.2 + r * np.sin(c),
    }


def image_of(lens):
    """Return the mixture of an image that says: this, within `WIDTHS`."""
    factor = np.diag(1 / WIDTHS)[None, None]
    return posteriors.Mixture(np.ones((1, 1)), np.asarray(lens)[None, None], factor)


def test_the_prior_of_what_is_seen_is_that_of_its_draws():
    rng = np.random.default_rng(0)
    drawn = lenses(200_000, rng)
    shape = image_posterior.seen(drawn)
    # a density integrates to 1 over the draws of another: a Gaussian about the middle
    middle, width = (
        np.median(shape, axis=0),
        np.array([0.3, 0.15, 0.15, 0.15, 0.04, 0.04, 0.2, 0.2]),
    )
    test = stats.norm.logpdf(shape, middle, width).sum(axis=1)
    ratio = np.exp(test - image_posterior.log_prior(shape, PRIOR))
    # the part of the Gaussian that the prior allows at all
    inside = np.isfinite(
        image_posterior.log_prior(middle + width * rng.standard_normal((200_000, 8)), PRIOR)
    ).mean()
    # the shear's prior has next to nothing at 0, where the Gaussian peaks: the mean is noisy
    assert ratio.mean() == pytest.approx(inside, rel=0.1)


def test_a_sheet_is_divided_out():
    rng = np.random.default_rng(1)
    one = lenses(5, rng)
    kappa = 0.1
    behind = dict(one)
    behind["kappa_ext"] = np.full(5, kappa)
    behind["theta_e"] = one["theta_e"] * (1 - kappa) ** (1 / (one["slope"] - 1))
    for axis in ("x", "y"):
        offset = one[f"source_{axis}"] - one[f"lens_{axis}"]
        behind[f"source_{axis}"] = one[f"lens_{axis}"] + (1 - kappa) * offset
    behind["gamma1"], behind["gamma2"] = ((1 - kappa) * one[g] for g in ("gamma1", "gamma2"))
    assert image_posterior.seen(behind) == pytest.approx(image_posterior.seen(one))


def test_draws_of_the_prior_become_those_of_the_image():
    rng = np.random.default_rng(2)
    drawn = lenses(400_000, rng)
    truth = np.array([0.0, 0.3, 0.0, 2.08, 0.05, 0.0, 0.2, 0.1])
    ln = image_posterior.log_likelihood(drawn, image_of(truth), PRIOR)
    weight = np.exp(ln - ln.max())
    mean = weight @ image_posterior.seen(drawn) / weight.sum()
    left = weight.sum() ** 2 / (weight**2).sum()
    assert left > 50
    assert (np.abs(mean - truth) < 4 * WIDTHS / np.sqrt(left)).all()


def drawn_as(lens):
    """Return draws of lenses (n, 8) as samplers have them, the lens in the middle."""
    names = ("ellipticity_1", "ellipticity_2", "slope", "gamma1", "gamma2", "source_x", "source_y")
    draws = dict(zip(names, lens.T[1:], strict=True)) | {"theta_e": np.exp(lens[:, 0])}
    return draws | dict.fromkeys(("kappa_ext", "lens_x", "lens_y"), np.zeros(len(lens)))


def mixture_of(mean, factor):
    """Return the Gaussian whose precision is factor^T factor."""
    precision = factor.T @ factor
    lower = np.linalg.cholesky(precision[::-1, ::-1])[::-1, ::-1].T
    return posteriors.Mixture(np.ones((1, 1)), mean[None, None], lower[None, None])


def test_places_of_images_tell_the_same_as_the_lens():
    # lenses so much alike that one is a linear function of the other
    rng = np.random.default_rng(7)
    lens = np.array([0.1, 0.2, 0.1, 2.05, 0.03, 0.02, 0.2, 0.1])
    lens = lens + 1e-4 * rng.standard_normal((400, 8))
    coordinates, _ = image_places.from_lens(lens, image_places.find(lens))
    off, turned = lens - lens.mean(axis=0), coordinates - coordinates.mean(axis=0)
    back = np.linalg.lstsq(turned, off, rcond=None)[0]
    factor = 1e4 * (rng.standard_normal((8, 8)) + 4 * np.eye(8))
    of_lens = mixture_of(lens.mean(axis=0), factor)
    of_places = mixture_of(coordinates.mean(axis=0), factor @ back.T)
    draws = drawn_as(lens)
    by_lens = image_posterior.log_likelihood(draws, of_lens, PRIOR)
    by_places = image_posterior.log_likelihood(draws, of_places, PRIOR, "images")
    assert by_lens.std() > 1
    difference = by_places - by_lens
    assert difference - difference.mean() == pytest.approx(0, abs=0.05 * by_lens.std())


def test_images_that_are_known_serve_as_well_as_those_that_the_solver_finds():
    rng = np.random.default_rng(8)
    lens = np.array([[0.1, 0.2, 0.1, 2.05, 0.03, 0.02, 0.2, 0.1]])
    places = image_places.find(lens)
    coordinates, _ = image_places.from_lens(lens, places)
    coordinates = np.repeat(coordinates, 200, axis=0)
    coordinates[:, :4] += [0.01, 0.05, 0.05, 0.1] * rng.standard_normal((200, 4))
    lenses_alike = image_places.to_lens(coordinates)
    # others make four images, of which another is the second to arrive
    same = np.isclose(image_places.find(lenses_alike), places, atol=1e-6).all(axis=(1, 2))
    draws = drawn_as(lenses_alike[same])
    image = mixture_of(coordinates[0] + 0.01, np.diag(1 / np.array([0.02] + 7 * [0.1])))
    found = image_posterior.log_likelihood(draws, image, PRIOR, "images")
    shifted = {name: x + 0.3 if name.endswith("_x") else x for name, x in draws.items()}
    images = np.repeat(places + np.array([0.3, 0.0]), same.sum(), axis=0)
    told = image_posterior.log_likelihood(shifted, image, PRIOR, "images", images)
    assert np.isfinite(told).sum() > 150
    assert found == pytest.approx(told, abs=1e-5)


def system():
    """Return a mock quad and its truth."""
    truth = {"theta_e": 1.1, "q": 0.75, "phi": 0.4, "slope": 2.1, "gamma1": 0.03, "gamma2": 0.02}
    more = {"source_x": 0.02, "source_y": 0.03, "kappa_ext": 0.02, "d_dt": 3000.0}
    return truth | more


@pytest.mark.parametrize("targets", ["lens", "images"])
def test_an_image_narrows_slope_and_distance(targets):
    rng = np.random.default_rng(3)
    one = system()
    observed = joint.observe(one, joint.Observation(0.003, 0.5, 0.02), rng)
    assert len(observed.delay) == 4
    target = Posterior(observed, joint.analysed(PRIOR), 0.5, 1.8)
    e = 1 - one["q"]
    shape = [np.log(1.1), e * np.cos(0.8), e * np.sin(0.8), 2.1, 0.03, 0.02, 0.02, 0.03]
    image = image_of(shape)
    if targets == "images":
        lens = np.array([shape])
        (seen,), _ = image_places.from_lens(lens, image_places.find(lens))
        image = mixture_of(seen, np.diag(1 / np.array([0.02, 0.1, 0.1, 0.05, *4 * [0.01]])))
    asked = {"ess": 500, "draws": 1000}
    found, draws = joint.join(target, image, targets, PRIOR, asked, rng, one["d_dt"])
    assert found["joint_slope_error"] < 0.055
    assert abs(found["joint_slope_median"] - 2.1) < 0.1
    narrow = np.log(found["joint_high"] / found["joint_low"])
    wide = np.log(found["delays_high"] / found["delays_low"])
    assert narrow < 0.9 * wide
    assert {len(column) for table in draws.values() for column in table.values()} == {1000}


def own_lens(path, rng, n=2000):
    """Write draws as `make lens` does: they know all but slope and distance."""
    drawn = lenses(n, rng)
    for name in drawn:
        if name not in ("slope", "kappa_ext"):
            drawn[name] = np.full(n, drawn[name][0])
    d_dt = 3000 * (drawn["slope"] - 1)
    columns = {c: drawn[c] for c in drawn} | {"ln_d_dt": np.log(d_dt), "d_dt": d_dt}
    columns |= {"d_dt_error": np.full(n, 50.0), "ln_marginal": np.zeros(n)}
    systems = {"name": np.array(["A"]), "first_draw": np.zeros(1, int), "n_draws": np.array([n])}
    units = {"systems": dict.fromkeys(systems, ""), "draws": joint.OWN}
    store.write(path, {"systems": systems, "draws": columns}, units, {})
    return drawn


def own_image(path, shape):
    """Write what `measure` says of an image."""
    mixture = image_of(shape)
    mean = np.insert(mixture.mean, [6, 6], 0.0, axis=2)  # where the lens lies
    factor = np.diag(np.insert(1 / WIDTHS, [6, 6], 10.0))[None, None]
    whole = posteriors.Mixture(mixture.weight, mean, factor)
    units = {"mixtures": dict.fromkeys(posteriors.Mixture._fields, "")}
    store.write(path, {"mixtures": whole._asdict()}, units, {})


def test_ones_own_draws_count_by_ones_own_image(tmp_path):
    rng = np.random.default_rng(4)
    lens, image = str(tmp_path / "lens.h5"), str(tmp_path / "image.h5")
    drawn = own_lens(lens, rng)
    shape = image_posterior.seen(drawn)[0]
    shape[3] = 2.15
    own_image(image, shape)
    output, text = str(tmp_path / "joint.h5"), tmp_path / "joint.txt"
    joint.join_lens(image, lens, output, str(text), PRIOR)
    found = store.read(output, "draws")
    weight = np.exp(found["ln_image"] - found["ln_image"].max())
    # prior and image divide and multiply: what is left of the slope is the image's
    assert weight @ found["slope"] / weight.sum() == pytest.approx(2.15, abs=0.01)
    assert "with the image" in text.read_text()
    with pytest.raises(ValueError, match="has the systems A; name one of them"):
        joint.join_lens(image, lens, output, str(text), PRIOR, "B")


def test_an_image_that_contradicts_the_delays_is_said(tmp_path):
    rng = np.random.default_rng(5)
    lens, image = str(tmp_path / "lens.h5"), str(tmp_path / "image.h5")
    drawn = own_lens(lens, rng)
    shape = image_posterior.seen(drawn)[0]
    shape[3] = 2.49
    own_image(image, shape)
    with pytest.raises(ValueError, match="positions and image contradict each other"):
        joint.join_lens(image, lens, str(tmp_path / "j.h5"), str(tmp_path / "j.txt"), PRIOR)


def test_the_summary_has_ratio_and_coverage():
    n = 400
    rng = np.random.default_rng(6)
    z = rng.standard_normal(n)
    table = {"d_dt": np.full(n, 3000.0)}
    for kind, width in (("delays", 0.1), ("joint", 0.05)):
        middle = 3000 * np.exp(width * z)
        table |= {f"{kind}_median": middle, f"{kind}_rank": stats.norm.cdf(-z)}
        table |= {f"{kind}_low": middle * np.exp(-width), f"{kind}_high": middle * np.exp(width)}
        table[f"{kind}_ess"] = np.full(n, 1000.0)
    found = json.loads(json.dumps(joint.summarise(table)))
    assert found["scatter_ratio"] == pytest.approx(0.5)
    assert found["width_ratio"] == pytest.approx(0.5)
    assert found["joint"]["coverage68"] == pytest.approx(0.68, abs=0.06)
