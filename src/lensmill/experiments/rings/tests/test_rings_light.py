import numpy as np
import pytest

from lensmill.experiments.rings import light


def rings(**columns):
    """Return rings that are circles about (14, 14), but for what is given."""
    given = {"x": 14.0, "y": 14.0, "radius": 7.0, "tilt": 0.0, "direction": 0.0, "beta": 1.0}
    given |= {"thickness": 0.5, "deformation": 0.4} | columns
    return {name: np.atleast_1d(np.asarray(given[name], float)) for name in light.PARAMETERS}


def rays(ring, n, rng):
    """Return where n photons of a particle meet the plane, each followed by itself."""
    found = light.cone(ring)
    tilt, direction = ring["tilt"][0], ring["direction"][0]
    track = np.array(
        [np.sin(tilt) * np.cos(direction), np.sin(tilt) * np.sin(direction), -np.cos(tilt)]
    )
    across = np.cross(track, [0.3, -0.5, 0.81])
    across /= np.linalg.norm(across)
    other = np.cross(track, across)
    scatter = ring["deformation"][0] * np.cos(found.opening[0]) ** 2 / found.distance[0]
    c = found.opening[0] + scatter * rng.standard_normal(n)
    turn = rng.uniform(0, 2 * np.pi, n)
    way = np.cos(c)[:, None] * track + np.sin(c)[:, None] * (
        np.cos(turn)[:, None] * across + np.sin(turn)[:, None] * other
    )
    middle = np.array([found.foot_x[0], found.foot_y[0], found.distance[0]])
    start = middle + rng.uniform(-0.5, 0.5, n)[:, None] * found.length[0] * track
    return (start - start[:, 2:] / way[:, 2:] * way)[:, :2]


def test_light_in_water_opens_by_41_degrees_and_slow_particles_give_none():
    # cos c = 1 / 1.33
    assert np.rad2deg(light.opening_angle(1.0)) == pytest.approx(41.25, abs=0.01)
    with pytest.raises(ValueError, match=r"beta = 0.75 gives no Cherenkov light.*above 0.7519"):
        light.opening_angle([0.9, 0.75])


def test_at_normal_incidence_the_cone_meets_the_plane_in_a_circle():
    found = light.cone(rings(radius=7.0))
    assert found.semi_major == pytest.approx(7.0) and found.semi_minor == pytest.approx(7.0)
    # radius = d tan c, and tan c = sqrt(n^2 - 1) for beta = 1
    assert found.distance == pytest.approx(7.0 / np.sqrt(1.33**2 - 1))
    assert (found.foot_x, found.foot_y) == (14.0, 14.0)


@pytest.mark.parametrize("tilt", [0.2, 0.6])
def test_an_inclined_cone_meets_the_plane_in_the_ellipse_that_the_rays_draw(tilt):
    ring = rings(tilt=tilt, direction=0.7, thickness=1e-9, deformation=1e-9)
    x, y = (rays(ring, 1000, np.random.default_rng(1)) - 14.0).T
    found = light.cone(ring)
    along, across = np.cos(0.7) * x + np.sin(0.7) * y, np.cos(0.7) * y - np.sin(0.7) * x
    on_it = (along / found.semi_major) ** 2 + (across / found.semi_minor) ** 2
    assert on_it == pytest.approx(1.0, abs=1e-6)
    assert found.semi_major * found.semi_minor == pytest.approx(7.0**2)
    assert found.semi_major > 1.01 * found.semi_minor


def test_a_cone_beyond_the_horizon_is_refused():
    with pytest.raises(ValueError, match=r"inclined by 92.8 degrees.*lower the prior of tilt"):
        light.cone(rings(tilt=0.9))


@pytest.mark.parametrize(
    "ring",
    [
        rings(),
        rings(tilt=0.6, direction=2.0, thickness=1.5, deformation=0.8, beta=0.9),
        rings(x=5.0, y=23.0, radius=9.0, tilt=0.3, deformation=0.3),
    ],
)
def test_the_light_falls_where_the_rays_fall(ring):
    n = 1_000_000
    x, y = rays(ring, n, np.random.default_rng(2)).T
    inside = np.arange(29)
    counted, *_ = np.histogram2d(y, x, [inside, inside])
    expected = n * light.cones(ring, 28)[0]
    lit = expected > 20
    chi2 = ((counted - expected)[lit] ** 2 / expected[lit]).sum()
    # of as many squares of normal numbers
    assert chi2 < lit.sum() + 6 * np.sqrt(2 * lit.sum())
    assert counted.sum() == pytest.approx(expected.sum(), rel=2e-3)


def test_no_light_is_lost_on_a_large_plane():
    there = {"x": [50.0, 50.3], "y": 49.0, "radius": [4.0, 10.0], "tilt": [0.0, 0.5]}
    many = {k: np.broadcast_to(v, 2).copy() for k, v in rings(**there).items()}
    assert light.cones(many, 100).sum(axis=(1, 2)) == pytest.approx(1.0, abs=1e-3)


def test_points_of_a_band_fall_where_the_expected_ones_are():
    ring = rings(radius=8.0, thickness=1.2, deformation=1.5)
    rng = np.random.default_rng(3)
    n = 2_000_000
    away = light._SPREAD * 1.2 * rng.uniform(-1, 1, n) + 1.5 * rng.uniform(-1, 1, n)
    angle = rng.uniform(0, 2 * np.pi, n)
    x, y = 14 + (8 + away) * np.cos(angle), 14 + (8 + away) * np.sin(angle)
    counted, *_ = np.histogram2d(y, x, [np.arange(29), np.arange(29)])
    expected = light.bands(ring, 28)[0]
    # as many points as there are layers
    assert expected.sum() == pytest.approx(light._LAYERS * 1.2, rel=1e-3)
    expected *= n / expected.sum()
    lit = expected > 20
    # a sum over 9 cells a sensor: a little worse than counting
    chi2 = ((counted - expected)[lit] ** 2 / expected[lit]).sum()
    assert chi2 < 1.2 * lit.sum() + 6 * np.sqrt(2 * lit.sum())
    assert (expected[counted > 0] > 0).all()
