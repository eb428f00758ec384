"""The canonical frame, and what networks see in it."""

import numpy as np
import pytest

from lensmill.experiments.time_delay import canonical, frames, observe, transforms
from lensmill.lensing.distances import time_delay

EXACT = canonical.View()
NOISY = canonical.View(errors=True, ellipticity=0.07)
SURVEY = {
    "position_error": ["log_uniform", 0.001, 0.02],
    "delay_error": ["log_uniform", 0.3, 4.0],
    "delay_error_fraction": ["log_uniform", 0.01, 0.1],
    "error_ratio": ["lognormal", 1.0, 0.15],
    "missing_delay": 0.25,
    "lens_error": ["log_uniform", 0.001, 0.03],
    "lens_unknown": 0.2,
}


def systems(n, k, seed=0):
    """Images, deflections and potentials of no lens, but consistent with one source and D_dt."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * (np.arange(k) / k + rng.random((n, 1))) + rng.normal(0, 0.2, (n, k))
    radius = rng.uniform(0.7, 1.6, (n, k))
    position = radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    source = rng.normal(0, 0.2, (n, 1, 2))
    d_dt = rng.uniform(1000, 6000, n)
    fermat = np.sort(rng.uniform(-1, 0, (n, k)), axis=1)
    deflection = position - source
    delay = time_delay(d_dt[:, None], fermat - fermat[:, :1])
    one, all_images = np.ones(n, bool), np.ones((n, k), bool)
    observed = observe.Observed(
        index=np.arange(n),
        position=position,
        position_error=np.zeros((n, k)),
        delay=delay,
        delay_error=np.zeros((n, k)),
        delay_measured=all_images,
        z_lens=rng.uniform(0.2, 0.5, n),
        z_source=rng.uniform(1, 3, n),
        lens_position=np.zeros((n, 2)),
        lens_error=np.zeros(n),
        lens_known=one,
    )
    truth = observe.Truth(
        first_image=np.arange(n) * k,
        position=position,
        delay=delay,
        potential=0.5 * (deflection**2).sum(axis=-1) - fermat,
        deflection=deflection,
        d_dt=d_dt,
        d_dt_known=one,
        lens_model_known=one,
    )
    return observed, truth


def noisy(exact, seed=1):
    n, k = exact.delay.shape
    u = np.random.default_rng(seed).random((n, observe.width(k)))
    return observe.perturb(exact, SURVEY, u)


def test_the_first_image_lies_on_the_x_axis_and_the_second_above_it():
    exact, _ = systems(200, 4)
    a = canonical.arranged(exact, EXACT)
    assert a.position[:, 0, 1] == pytest.approx(0, abs=1e-15)
    assert (a.position[:, 0, 0] > 0).all()
    assert (a.position[:, 1, 1] >= 0).all()
    assert np.linalg.norm(a.position, axis=-1).mean(axis=1) == pytest.approx(1)


def test_positions_come_back_from_the_frame():
    exact, _ = systems(50, 4)
    frame = canonical.arranged(noisy(exact), NOISY).frame
    there = frames.to_frame(exact.position, frame)
    assert frames.to_sky(there, frame) == pytest.approx(exact.position, abs=1e-14)


def test_images_without_a_delay_come_last_the_farthest_first():
    position = np.array([[[0.0, 1.0], [1.4, 0.0], [-1.2, 0.0], [0.0, -0.8]]])
    delay = np.array([[0.0, 0.0, -2.0, 0.0]])
    measured = np.array([[True, False, True, False]])
    frame = frames.find(position, delay, measured, np.zeros((1, 2)), np.array([True]))
    assert frame.order.tolist() == [[2, 0, 1, 3]]


def test_an_image_at_the_origin_is_refused_by_number():
    exact, _ = systems(3, 2)
    exact.position[1, 0] = 0.0
    with pytest.raises(ValueError, match=r"system 1 .* lies at the origin"):
        canonical.arranged(exact, EXACT)


def test_a_delay_measured_as_nothing_is_in_units_of_its_error():
    exact, _ = systems(3, 2)
    zero = np.zeros_like(exact.delay)
    error = np.tile([0.0, 0.7], (3, 1))
    seen = exact._replace(delay=zero, delay_error=error, position_error=zero + 0.003)
    assert canonical.arranged(seen, EXACT).unit == pytest.approx(0.7)


def test_systems_without_delays_are_refused_by_index():
    exact, _ = systems(3, 2)
    measured = exact.delay_measured.copy()
    measured[2, 1] = False
    with pytest.raises(ValueError, match="system 2 has no measured delay"):
        canonical.features(exact._replace(delay_measured=measured), EXACT)


@pytest.mark.parametrize("use_delays", [True, False])
@pytest.mark.parametrize("noise", [True, False])
@pytest.mark.parametrize("k", [2, 4])
def test_true_targets_carried_back_are_the_truth(k, noise, use_delays):
    exact, truth = systems(300, k)
    observed = noisy(exact) if noise else exact
    view = canonical.View(use_delays, noise, 0.07)
    y = canonical.targets(observed, truth, view)
    answer = canonical.to_sky(y[:, None], observed, view)
    assert answer.ln_d_dt[:, 0] == pytest.approx(np.log(truth.d_dt), rel=1e-12)
    assert answer.potential[..., 0] == pytest.approx(truth.potential, abs=1e-9)
    assert answer.deflection[..., 0] == pytest.approx(truth.deflection, abs=1e-9)
    assert y.shape[1] == canonical.n_targets(k, view)


def test_features_have_names():
    for k in (2, 4):
        observed = noisy(systems(5, k)[0])
        for use_delays in (True, False):
            for errors in (True, False):
                view = canonical.View(use_delays, errors)
                x = canonical.features(observed, view)
                assert x.shape == (5, len(canonical.feature_names(k, view)))
                assert np.isfinite(x).all()


SEEN_OTHERWISE = [
    ("rotation", 1.0),
    ("reflection", 0.4),
    ("translation", 1.7),
    ("relabelling", 1),
    ("relabelling", 5),
    ("scale", 3.0),
]


@pytest.mark.parametrize("kind, amount", SEEN_OTHERWISE)
@pytest.mark.parametrize("k", [2, 4])
def test_a_lens_seen_otherwise_is_the_same_to_a_network(k, kind, amount):
    observed = noisy(systems(200, k)[0])
    x = canonical.features(observed, NOISY)
    other = canonical.features(transforms.apply(kind, amount, observed), NOISY)
    assert other == pytest.approx(x, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind, amount", SEEN_OTHERWISE)
def test_answers_turn_and_scale_with_the_lens(kind, amount):
    exact, truth = systems(100, 4)
    observed = noisy(exact)
    y = canonical.targets(observed, truth, NOISY)[:, None]
    seen = transforms.apply(kind, amount, observed)
    answer = transforms.undo(kind, amount, canonical.to_sky(y, seen, NOISY))
    assert answer.ln_d_dt[:, 0] == pytest.approx(np.log(truth.d_dt), rel=1e-9)
    assert answer.deflection[..., 0] == pytest.approx(truth.deflection, abs=1e-8)
    assert answer.potential[..., 0] == pytest.approx(truth.potential, abs=1e-8)


def test_rotation_of_the_inputs_alone_would_be_wrong():
    exact, truth = systems(10, 2)
    matrix = transforms.rotation(0.5)
    turned = transforms.turned(exact, matrix)
    right = canonical.targets(turned, transforms.turned_truth(truth, matrix), EXACT)
    wrong = canonical.targets(turned, truth, EXACT)
    assert right == pytest.approx(canonical.targets(exact, truth, EXACT), abs=1e-12)
    assert np.abs(wrong - right).max() > 0.1


def test_no_noise_changes_nothing():
    exact, _ = systems(20, 4)
    u = np.random.default_rng(0).random((20, observe.width(4)))
    for column, same in zip(observe.perturb(exact, {}, u), exact, strict=True):
        assert np.array_equal(column, same)


def test_noise_has_the_size_that_its_errors_claim():
    exact, _ = systems(20_000, 4)
    observed = noisy(exact)
    pull = (observed.position - exact.position) / observed.position_error[..., None]
    assert pull.std() == pytest.approx(1, abs=0.01)
    late = observed.delay_measured[:, 1:]
    pull = (observed.delay - exact.delay)[:, 1:] / np.maximum(observed.delay_error[:, 1:], 1e-9)
    assert pull[late].std() == pytest.approx(1, abs=0.01)
    known = observed.lens_known
    pull = observed.lens_position[known] / observed.lens_error[known, None]
    assert pull.std() == pytest.approx(1, abs=0.01)


def test_delays_and_lenses_are_missing_as_often_as_asked_but_one_delay_remains():
    observed = noisy(systems(20_000, 4)[0])
    assert observed.delay_measured[:, 0].all()
    assert observed.delay_measured[:, 1:].any(axis=1).all()
    # Of three delays, all would be missing with probability 1/64: one of them is kept then.
    assert (~observed.delay_measured[:, 1:]).mean() == pytest.approx(0.25 - 1 / 64 / 3, abs=0.01)
    assert (~observed.lens_known).mean() == pytest.approx(0.2, abs=0.01)
    assert observed.delay_measured[:, 1:].any()
    doubles = noisy(systems(1000, 2)[0])
    assert doubles.delay_measured.all()


def test_errors_of_one_system_are_unequal():
    observed = noisy(systems(1000, 4)[0])
    ratio = observed.position_error.max(axis=1) / observed.position_error.min(axis=1)
    assert np.median(ratio) > 1.3


def test_noise_of_a_system_is_the_same_whichever_systems_are_observed():
    one = observe.noise_uniforms(1, "time_delay", "survey", np.array([7]), 4)
    many = observe.noise_uniforms(1, "time_delay", "survey", np.array([3, 7, 900]), 4)
    assert np.array_equal(one[0], many[1])
    other = observe.noise_uniforms(1, "time_delay", "sie", np.array([7]), 4)
    assert not np.array_equal(one, other)


def test_noise_that_reverses_two_images_swaps_their_places_in_the_frame():
    exact, _ = systems(1, 2)
    observed = exact._replace(delay=np.array([[0.0, -3.0]]), delay_error=np.array([[0.0, 2.0]]))
    a = canonical.arranged(observed, EXACT)
    assert a.frame.order.tolist() == [[1, 0]]
    assert a.delay * a.unit[:, None] == pytest.approx(np.array([[0.0, 3.0]]))
    assert a.delay_error * a.unit[:, None] == pytest.approx(np.array([[0.0, 2.0]]))
