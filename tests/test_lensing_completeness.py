"""No image is lost: adversarial systems against brute force."""

import numpy as np
import pytest
from brute_force import adversarial, compare

from lensmill.lensing.profiles import deflection
from lensmill.lensing.solver import DEGENERATE, solve

FAMILIES = {"isothermal": (2.0, 2.0), "steep": (2.0, 2.5), "shallow": (1.5, 2.0)}


def check(system):
    """No image above 1e-3 lost; what brute force did not resolve solves the lens equation."""
    images = solve(*system, min_magnification=0.0)
    assert (images.status != DEGENERATE).all()
    lost, expected = compare(system, images, cut=1e-3)
    assert lost.sum() == 0
    owner = np.repeat(np.arange(len(system[0])), images.n_images)
    bright = np.abs(images.magnification) > 1e-3
    found = np.bincount(owner[bright], minlength=len(system[0]))
    # a sampled search cannot see three images within one step of a cusp, or tell 1e-3 from below
    assert (found != expected).mean() < 1e-2
    columns = [np.asarray(c)[owner] for c in system]
    alpha_x, alpha_y = deflection(images.x, images.y, *columns[:7])
    residual = np.hypot(images.x - alpha_x - columns[7], images.y - alpha_y - columns[8])
    assert (residual / columns[0])[bright].max() < 1e-12
    return images


@pytest.mark.parametrize(
    ("family", "n"), [("isothermal", 10_000), ("steep", 1000), ("shallow", 1000)]
)
def test_no_image_of_an_adversarial_system_is_lost(family, n):
    check(adversarial(n, FAMILIES[family], np.random.default_rng(30)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "n"), [("isothermal", 60_000), ("steep", 20_000), ("shallow", 20_000)]
)
def test_no_image_of_one_hundred_thousand_adversarial_systems_is_lost(family, n):
    images = check(adversarial(n, FAMILIES[family], np.random.default_rng(31)))
    assert images.n_images.max() >= (6 if family == "isothermal" else 5)


@pytest.mark.parametrize("family", FAMILIES)
def test_parities_add_up_in_every_adversarial_system(family):
    n = 40_000
    slopes = FAMILIES[family]
    system = adversarial(n, slopes, np.random.default_rng(32))
    images = solve(*system, min_magnification=0.0)
    owner = np.repeat(np.arange(n), images.n_images)
    even = np.bincount(owner[images.image_type != 1], minlength=n)
    odd = np.bincount(owner[images.image_type == 1], minlength=n)
    resolved = images.status != DEGENERATE
    assert resolved.all()
    if family == "steep":
        assert (even == odd).all()
    elif family == "shallow":
        assert (even == odd + 1).all()
    else:  # one minimum more than saddles outside the cut, as many inside
        assert np.isin(even - odd, (0, 1)).all()
        inside = even == odd
        assert 0.2 < inside.mean() < 0.9
