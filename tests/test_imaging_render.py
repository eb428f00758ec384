"""Rendered scenes, against an independent code and by symmetry."""

import numpy as np
import pytest

from lensmill.imaging import psf, scenes
from lensmill.imaging.render import render

SCALE, SIZE = 0.1, 61


def elongated(radius=7, turn=0.3):
    """Pixels of a star with wings that is no symmetric one."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(float)
    u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    return (1 + (u**2 + 1.3 * v**2) / 4) ** -3.0


def lenses(n, seed=0, slopes=(1.6, 2.4)):
    """Draw lenses a little off the middle; every other one isothermal."""
    rng = np.random.default_rng(seed)
    return scenes.lenses(
        *(rng.uniform(0.7, 1.5, n), rng.uniform(0.35, 1, n), rng.uniform(0, np.pi, n)),
        np.where(np.arange(n) % 2, 2.0, rng.uniform(*slopes, n)),
        *rng.normal(0, 0.05, (2, n)),
        *rng.uniform(-0.15, 0.15, (2, n)),
    )


def quasars(n, seed=0, points=True):
    """Deflector light, two clumps of a source, and two stars, in one band."""
    rng = np.random.default_rng(seed)
    every, lens = np.arange(n), lenses(n, seed)

    def shape(radius, index):
        return {
            "radius": rng.uniform(*radius, n),
            "index": rng.uniform(*index, n),
            "q": rng.uniform(0.4, 1, n),
            "phi": rng.uniform(0, np.pi, n),
        }

    def flux(low, high):
        return rng.uniform(low, high, (n, 1))

    parts = [scenes.light(0, lens.x, lens.y, flux(50, 150), **shape((0.4, 1.2), (2, 5)))]
    for _ in range(2):
        place = rng.uniform(-0.3, 0.3, (2, n))
        parts.append(scenes.light(0, *place, flux(5, 20), True, **shape((0.1, 0.4), (0.7, 2))))
    if points:
        for _ in range(2):
            parts.append(scenes.light(scenes.POINT, *rng.uniform(-2.5, 2.5, (2, n)), flux(5, 20)))
    return scenes.assemble(lens, *((every, part) for part in parts))


def zoo(n, seed=0, bands=2):
    """One component of every kind, lensed and not, in each system."""
    rng = np.random.default_rng(seed)
    parts = []
    for kind in range(4):
        for lensed in (False, True):
            part = scenes.light(
                *(kind, *rng.uniform(-0.8, 0.8, (2, n)), rng.uniform(1, 20, (n, bands)), lensed),
                radius=rng.uniform(0.2, 0.8, n),
                index=rng.uniform(0.6, 4, n),
                q=rng.uniform(0.3, 1, n),
                phi=rng.uniform(0, np.pi, n),
                arms=rng.integers(1, 5, n),
                pitch=rng.uniform(0.2, 0.5, n) * rng.choice([-1, 1], n),
                contrast=rng.uniform(0, 1, n),
                phase=rng.uniform(0, 6, n),
                width=rng.uniform(0.05, 0.2, n),
            )
            parts.append((np.arange(n), part))
    return scenes.assemble(lenses(n, seed), *parts)


def window(images, size):
    edge = (images.shape[1] - size) // 2
    return images[:, edge : edge + size, edge : edge + size]


def difference(ours, theirs):
    """Largest difference of a pixel in units of the peak, for each image."""
    return np.abs(ours - theirs).max((1, 2)) / theirs.max((1, 2))


def of_star(kernel):
    return {"psf_type": "PIXEL", "kernel_point_source": kernel}


PSFS = {
    "pixels": (psf.pixels(elongated()), of_star(elongated())),
    "gaussian": (
        psf.gaussian(0.3, SCALE),
        {"psf_type": "GAUSSIAN", "fwhm": 0.3, "pixel_size": SCALE},
    ),
    "moffat": (
        psf.moffat(0.3, 4.0, SCALE),
        of_star(psf.moffat(0.3, 4.0, SCALE).kernel),
    ),
}


@pytest.mark.parametrize("name", PSFS)
def test_twenty_scenes_agree_with_lenstronomy_where_each_pixel_is_sampled_once(name):
    reference = pytest.importorskip("imaging_reference")
    ours, theirs = PSFS[name]
    # stars of pixels are shifted alike in both
    scene = quasars(20, seed=1, points=name == "pixels")
    half = ours.kernel.shape[0] // 2
    pixels, _ = render(scene, SIZE, SCALE, [ours], lensed=False, refine=False)
    expected = reference.draw(scene, SIZE + 2 * half, SCALE, theirs)
    gap = difference(window(pixels[..., 0], SIZE - 12), window(expected, SIZE - 12))
    # lenstronomy cuts the outermost pixels off a shifted star
    assert gap.max() < (1e-3 if name == "pixels" else 2e-5)
    # at the edge, light from farther outside is guessed by ours
    assert difference(pixels[..., 0], window(expected, SIZE)).max() < 1e-3


def test_a_star_of_a_gaussian_psf_is_a_gaussian_and_that_is_the_one_difference_of_stars():
    reference = pytest.importorskip("imaging_reference")
    ours, theirs = PSFS["gaussian"]
    scene = quasars(6, seed=2)
    pixels, _ = render(scene, SIZE, SCALE, [ours], lensed=False, refine=False)
    gap = np.abs(pixels[..., 0] - reference.draw(scene, SIZE, SCALE, theirs))
    place = (np.arange(SIZE) - (SIZE - 1) / 2) * SCALE
    x, y = np.meshgrid(place, place)
    light, half = scene.light, ours.kernel.shape[0] // 2
    near = np.zeros(gap.shape, bool)
    stars = np.flatnonzero(light.kind == scenes.POINT)
    for k in stars:
        i = np.searchsorted(scene.first, k, side="right") - 1
        reach = (half + 1.5) * SCALE
        near[i] |= (np.abs(x - light.x[k]) < reach) & (np.abs(y - light.y[k]) < reach)
    inside = (slice(None), slice(6, -6), slice(6, -6))
    peak = pixels.max((1, 2, 3))[:, None, None]
    assert (gap / peak)[inside][~near[inside]].max() < 2e-5
    assert (gap / peak)[near].max() > 0.01

    alone = scenes.assemble(scenes.lenses([0.0]), ([0], scenes.light(3, 0.234, -0.611, [7.0])))
    star, _ = render(alone, SIZE, SCALE, [ours])
    sigma = 0.3 / np.sqrt(8 * np.log(2))
    exact = np.exp(-((x - 0.234) ** 2 + (y + 0.611) ** 2) / (2 * sigma**2))
    assert star[0, ..., 0] == pytest.approx(7 * exact / exact.sum(), abs=1e-5)


def test_cusps_are_refined_and_that_is_the_one_difference_of_extended_light():
    # the truth: lenstronomy with 9 x 9 rays per pixel, also in the convolution
    reference = pytest.importorskip("imaging_reference")
    kernel_util = pytest.importorskip("lenstronomy.Util.kernel_util")
    fine = psf.gaussian(0.3, SCALE, 9).kernel
    coarse = kernel_util.degrade_kernel(fine, 9)
    scene = quasars(8, seed=3, points=False)
    numerics = {"supersampling_factor": 9, "supersampling_convolution": True}
    words = of_star(fine) | {"point_source_supersampling_factor": 9}
    truth = reference.draw(scene, SIZE, SCALE, words, numerics)
    refined, plain = (
        render(scene, SIZE, SCALE, [psf.pixels(coarse)], lensed=False, refine=refine)[0][..., 0]
        for refine in (True, False)
    )
    gap, coarse_gap = (
        difference(window(image, SIZE - 12), window(truth, SIZE - 12)) for image in (refined, plain)
    )
    assert np.median(gap) < 0.01
    assert gap.max() < 0.03
    assert np.median(coarse_gap) > 3 * np.median(gap)
    # what changes is near the deflector's centre and the images of the source's
    changed = np.abs(refined - plain) > 1e-3 * refined.max((1, 2))[:, None, None]
    assert changed.mean() < 0.2


def test_the_cusp_of_a_de_vaucouleurs_galaxy_keeps_its_flux_wherever_it_falls_in_a_pixel():
    # sampled once, the pixel under the cusp would be too bright by an order of magnitude
    n = 30
    offset = np.random.default_rng(0).uniform(-0.05, 0.05, (2, n))
    offset[:, 0] = 0.0
    light = scenes.light(scenes.SERSIC, *offset, np.ones(n), radius=0.5, index=4, q=0.7, phi=0.4)
    scene = scenes.assemble(scenes.lenses(np.zeros(n)), (np.arange(n), light))
    total = render(scene, SIZE, SCALE, [PSFS["gaussian"][0]])[0].sum((1, 2, 3))
    assert np.ptp(total) < 0.003 * total.mean()
    wrong = render(scene, SIZE, SCALE, [PSFS["gaussian"][0]], refine=False)[0].sum((1, 2, 3))
    assert wrong[0] > 2 * total[0]


@pytest.mark.parametrize("name", PSFS)
@pytest.mark.parametrize(
    ("shape", "tolerance"),
    [
        ({"kind": scenes.SERSIC, "radius": 0.15, "index": 0.5}, 1e-5),
        ({"kind": scenes.SERSIC, "radius": 0.3, "index": 1.0}, 3e-3),
        ({"kind": scenes.SERSIC, "radius": 0.05, "index": 1.5, "q": 0.5}, 8e-3),
        ({"kind": scenes.SERSIC, "radius": 0.1, "index": 1.0, "q": 0.02, "phi": 0.3}, 6e-3),
        ({"kind": scenes.SPIRAL, "radius": 0.4, "contrast": 0.9, "q": 0.6, "phi": 1.0}, 3e-3),
        ({"kind": scenes.RING, "radius": 1.0, "width": 0.15, "q": 0.7}, 1e-4),
        ({"kind": scenes.RING, "radius": 0.8, "width": 0.02}, 1e-3),
        ({"kind": scenes.POINT}, 1e-5),
    ],
)
def test_the_light_adds_up_to_the_flux(name, shape, tolerance):
    light = scenes.light(x=0.17, y=-0.08, flux=[[3.0, 5.0]], **shape)
    scene = scenes.assemble(scenes.lenses([0.0]), ([0], light))
    pixels, _ = render(scene, 121, SCALE, [PSFS[name][0]] * 2)
    assert pixels[0].sum((0, 1)) == pytest.approx([3.0, 5.0], rel=tolerance)


def test_half_of_the_light_lies_inside_the_radius():
    place = (np.arange(201) - 100) * 0.05
    x, y = np.meshgrid(place, place)
    light = scenes.light(scenes.SERSIC, 0, 0, [1.0], radius=1.0, index=1.5, q=0.5)
    scene = scenes.assemble(scenes.lenses([0.0]), ([0], light))
    pixels = render(scene, 201, 0.05, [psf.gaussian(0.06, 0.05)])[0][0, :, :, 0]
    assert pixels[0.5 * x**2 + y**2 / 0.5 < 1].sum() == pytest.approx(0.5, abs=0.003)


def test_a_small_source_behind_a_round_lens_is_a_ring_of_the_einstein_radius():
    light = scenes.light(scenes.SERSIC, 0, 0, [1.0], True, radius=0.05, index=0.5)
    scene = scenes.assemble(scenes.lenses([2.0]), ([0], light))
    image = render(scene, SIZE, SCALE, [PSFS["gaussian"][0]])[0][0, :, :, 0]
    place = (np.arange(SIZE) - 30) * SCALE
    r = np.hypot(*np.meshgrid(place, place))
    assert (image * r).sum() / image.sum() == pytest.approx(2.0, abs=0.02)
    # ring of radius 2 and thickness of the source: magnified (2 pi 2) / (pi s) times or so
    assert image.sum() > 20
    assert image[30, 30] < 1e-6 * image.max()


@pytest.mark.parametrize("size", [60, 61])
def test_the_image_of_a_turned_or_mirrored_scene_is_the_turned_or_mirrored_image(size):
    scene = zoo(6, seed=4)
    kernel = elongated()
    before, arcs = render(scene, size, SCALE, [psf.pixels(kernel), psf.gaussian(0.25, SCALE)])
    lens, light = scene.lenses, scene.light
    quarter = np.pi / 2
    turned = scenes.Scenes(
        lens._replace(
            x=-lens.y, y=lens.x, phi=lens.phi + quarter, gamma1=-lens.gamma1, gamma2=-lens.gamma2
        ),
        light._replace(x=-light.y, y=light.x, phi=light.phi + quarter),
        scene.first,
    )
    mirrored = scenes.Scenes(
        lens._replace(x=-lens.x, phi=np.pi - lens.phi, gamma2=-lens.gamma2),
        light._replace(x=-light.x, phi=np.pi - light.phi, pitch=-light.pitch, phase=-light.phase),
        scene.first,
    )
    for changed, operation in (
        (turned, lambda a, axes: np.rot90(a, -1, axes)),
        (mirrored, lambda a, axes: np.flip(a, axes[1])),
    ):
        psfs = [psf.pixels(operation(kernel, (0, 1))), psf.gaussian(0.25, SCALE)]
        after, arcs_after = render(changed, size, SCALE, psfs)
        for first, second in ((before, after), (arcs, arcs_after)):
            assert np.abs(operation(first, (1, 2)) - second).max() < 2e-5 * first.max()


def test_an_image_is_the_same_to_the_last_bit_alone_and_in_company():
    scene = zoo(40, seed=5)
    psfs = [psf.gaussian(0.25, SCALE), psf.pixels(elongated())]
    together = render(scene, 48, SCALE, psfs)
    for rows in ([7], [39, 0], np.arange(5, 33)[::-1]):
        apart = render(scenes.select(scene, rows), 48, SCALE, psfs)
        assert np.array_equal(apart[0], together[0][rows])
        assert np.array_equal(apart[1], together[1][rows])


def test_the_lensed_light_is_a_part_of_the_image():
    scene = zoo(8, seed=6)
    psfs = [psf.gaussian(0.25, SCALE)] * 2
    pixels, arcs = render(scene, SIZE, SCALE, psfs)
    assert np.all(pixels > arcs - 1e-4 * pixels.max())
    lensed = scene.light.lensed
    dark = scene.light._replace(flux=scene.light.flux * ~lensed[:, None])
    rest, none = render(scene._replace(light=dark), SIZE, SCALE, psfs)
    assert np.abs(pixels - arcs - rest).max() < 1e-5 * pixels.max()
    assert np.abs(none).max() == 0
    without, nothing = render(scene, SIZE, SCALE, psfs, lensed=False)
    assert nothing is None
    assert np.abs(without - pixels).max() < 1e-5 * pixels.max()


def test_the_frame_is_a_window_on_a_larger_sky():
    scene = zoo(8, seed=7)
    psfs = [psf.gaussian(0.25, SCALE), psf.pixels(elongated())]
    small, _ = render(scene, 31, SCALE, psfs)
    large, _ = render(scene, 61, SCALE, psfs)
    gap = np.abs(small - window(large, 31)) / large.max((1, 2))[:, None, None]
    assert gap.max() < 0.02
    assert np.median(gap.max((1, 2))) < 0.005


def test_supersampling_and_a_supersampled_kernel_give_the_same_smooth_image():
    scene = zoo(6, seed=8, bands=1)
    kind = scene.light.kind
    smooth = scene.light._replace(
        kind=np.where(kind == scenes.POINT, scenes.SERSIC, kind),
        index=np.full(kind.size, 0.5),
        radius=np.full(kind.size, 0.5),
        width=np.full(kind.size, 0.3),
        contrast=np.zeros(kind.size),
        q=np.maximum(scene.light.q, 0.6),
    )
    scene = scene._replace(light=smooth)
    once, _ = render(scene, 41, SCALE, [psf.gaussian(0.5, SCALE)])
    mean, _ = render(scene, 41, SCALE, [psf.gaussian(0.5, SCALE)], supersampling=3)
    fine, _ = render(scene, 41, SCALE, [psf.gaussian(0.5, SCALE, 3)], supersampling=3)
    assert difference(mean[..., 0], once[..., 0]).max() < 0.03
    assert difference(fine[..., 0], mean[..., 0]).max() < 0.02


def test_extreme_scenes_have_finite_images():
    n = 16
    theta_e = np.tile([0.0, 1.0, 1.0, 2.0], 4)
    slope = np.repeat([2.0, 1.5, 2.5, 2.0], 4)
    lens = scenes.lenses(theta_e, np.tile([1.0, 1.0, 0.05, 0.3], 4), 0.3, slope, 0.2, -0.1)
    every = np.arange(n)
    parts = [
        scenes.light(kind, np.zeros(n), 0.0, np.ones(n), lensed, radius, index, q, width=0.01)
        for kind in (scenes.SERSIC, scenes.SPIRAL, scenes.RING)
        for lensed in (False, True)
        for radius, index, q in ((0.5, 4, 1), (1e-3, 10, 0.5), (0.2, 0.3, 0.01), (50, 1, 1))
    ]
    parts += [
        scenes.light(scenes.POINT, np.full(n, x), 0.0, np.ones(n)) for x in (0, 3.05, 9, -1e6)
    ]
    scene = scenes.assemble(lens, *((every, part) for part in parts))
    for kernel in (psf.gaussian(0.02, SCALE), psf.pixels(elongated())):
        pixels, arcs = render(scene, 33, SCALE, [kernel])
        assert np.isfinite(pixels).all()
        assert np.isfinite(arcs).all()


def test_no_systems_and_no_light_give_no_images_and_dark_ones():
    empty = scenes.select(zoo(3), [])
    assert render(empty, 21, SCALE, [psf.gaussian(0.25, SCALE)] * 2)[0].shape == (0, 21, 21, 2)
    nothing = scenes.light(0, np.zeros(0), np.zeros(0), np.zeros((0, 1)))
    dark = scenes.assemble(scenes.lenses([1.0, 1.0]), (np.zeros(0, int), nothing))
    assert not render(dark, 21, SCALE, [psf.gaussian(0.25, SCALE)])[0].any()


def test_kernels_that_do_not_fit_are_refused():
    scene = zoo(2)
    with pytest.raises(ValueError, match="1 PSFs were given for 2 bands"):
        render(scene, 21, SCALE, [psf.gaussian(0.3, SCALE)])
    with pytest.raises(ValueError, match="supersampling 3 does not fit scenes of supersampling 2"):
        render(scene, 21, SCALE, [psf.gaussian(0.3, SCALE, 3)] * 2, supersampling=2)
