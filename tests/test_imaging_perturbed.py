"""Lensed light behind lenses that are more than smooth, and how it changes with the smooth lens."""

import numpy as np
import pytest

from lensmill.imaging import perturbed, psf, render, scenes
from lensmill.imaging.perturbed import COMPONENT, LENS

SIZE, SCALE = 48, 0.1
PSF = psf.gaussian(0.2, SCALE)


def scene(n=5, seed=3):
    """Draw lenses, isothermal and not, each with a source of two components."""
    rng = np.random.default_rng(seed)
    lenses = scenes.lenses(
        rng.uniform(0.9, 1.4, n),
        rng.uniform(0.6, 0.95, n),
        rng.uniform(0, 3, n),
        np.where(np.arange(n) < 2, 2.0, rng.uniform(1.8, 2.3, n)),
        *rng.normal(0, 0.04, (4, n)),
    )
    m = 2 * n
    light = scenes.light(
        *(scenes.SERSIC, *rng.normal(0, 0.2, (2, m)), rng.uniform(50, 100, m), True),
        *(
            rng.uniform(0.15, 0.3, m),
            rng.uniform(0.6, 0.9, m),
            rng.uniform(0.5, 0.95, m),
        ),  # no cusps
        rng.uniform(0, 3, m),
    )
    return scenes.assemble(lenses, (np.repeat(np.arange(n), 2), light))


def rendered(whole):
    """Return images by the renderer of smooth lenses, with as many rays."""
    pixels, _ = render.render(whole, SIZE, SCALE, [PSF], 2, lensed=False, refine=False)
    return pixels[..., 0].astype(float)


def distance(found, wanted):
    """Return the rms of the difference of images over that of the ones wanted."""
    return np.sqrt(((found - wanted) ** 2).sum(axis=(1, 2)) / (wanted**2).sum(axis=(1, 2)))


def test_without_a_perturbation_images_are_those_of_the_renderer():
    whole = scene()
    ours = perturbed.render(whole, None, SIZE, SCALE, PSF)
    assert ours.changes is None
    theirs = rendered(whole)
    assert np.abs(ours.pixels - theirs).max() < 1e-6 * theirs.max()


def test_a_uniform_deflection_is_a_source_that_lies_elsewhere():
    whole = scene()
    rays = perturbed.rays(SIZE, SCALE)
    extra = np.zeros((5, 2, rays.size, rays.size), np.float32)
    extra[:, 0], extra[:, 1] = 0.03, -0.05
    moved = whole._replace(
        light=whole.light._replace(x=whole.light.x + 0.03, y=whole.light.y - 0.05)
    )
    ours = perturbed.render(whole, extra, SIZE, SCALE, PSF).pixels
    assert np.abs(ours - rendered(moved)).max() < 1e-4 * ours.max()


def test_a_deflection_that_grows_with_place_is_shear_and_sheet():
    whole = scene()
    rays = perturbed.rays(SIZE, SCALE)
    x, y = np.meshgrid(rays, rays)
    dx = x - whole.lenses.x[:, None, None]
    dy = y - whole.lenses.y[:, None, None]
    extra = np.stack([0.02 * dx - 0.01 * dy, -0.01 * dx - 0.02 * dy], axis=1).astype(np.float32)
    lenses = whole.lenses._replace(
        gamma1=whole.lenses.gamma1 + 0.02, gamma2=whole.lenses.gamma2 - 0.01
    )
    ours = perturbed.render(whole, extra, SIZE, SCALE, PSF).pixels
    assert np.abs(ours - rendered(whole._replace(lenses=lenses))).max() < 1e-4 * ours.max()


@pytest.mark.parametrize("name", LENS)
def test_changes_with_the_lens_are_differences_of_images(name):
    whole, k, h = scene(), LENS.index(name), 1e-3
    value = getattr(whole.lenses, name)
    up, down = (
        rendered(whole._replace(lenses=whole.lenses._replace(**{name: value + sign * h})))
        for sign in (1, -1)
    )
    wanted = (up - down) / (2 * h)
    found = perturbed.render(whole, None, SIZE, SCALE, PSF, changes=True).changes[:, k]
    assert (distance(found, wanted) < 0.01).all()


@pytest.mark.parametrize("component", [0, 1])
@pytest.mark.parametrize("name", COMPONENT)
def test_changes_with_the_source_are_differences_of_images(name, component):
    whole, h = scene(), 1e-3
    rows = 2 * np.arange(5) + component

    def moved(step):
        value = getattr(whole.light, name).copy()
        if name in ("q", "radius"):
            value[rows] *= np.exp(step)
        elif name == "flux":
            value[rows] *= 1 + step
        else:
            value[rows] += step
        return rendered(whole._replace(light=whole.light._replace(**{name: value})))

    wanted = (moved(h) - moved(-h)) / (2 * h)
    k = len(LENS) + len(COMPONENT) * component + COMPONENT.index(name)
    found = perturbed.render(whole, None, SIZE, SCALE, PSF, changes=True).changes[:, k]
    assert (distance(found, wanted) < 0.01).all()


def test_a_smooth_field_is_interpolated_to_the_rays():
    nodes, rays = perturbed.nodes(SIZE, SCALE), perturbed.rays(SIZE, SCALE)

    def field(side):
        x, y = np.meshgrid(side, side)
        wave = np.stack([np.sin(4 * x + y), x * y**2 + np.cos(3 * y)])
        return wave[None].astype(np.float32)

    assert np.abs(perturbed.interpolate(field(nodes)) - field(rays)).max() < 2e-5


def test_deflections_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="give them at `rays`"):
        perturbed.render(scene(), np.zeros((5, 2, 9, 9), np.float32), SIZE, SCALE, PSF)
    with pytest.raises(ValueError, match="make it for 1"):
        perturbed.render(scene(), None, SIZE, SCALE, psf.gaussian(0.2, SCALE, 2))
