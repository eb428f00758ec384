import numpy as np
import pytest
from cluster_mass_settings import population

from lensmill.experiments.cluster_mass import scaling, simulate
from lensmill.pipeline import shards
from lensmill.pipeline.draws import Draws

NONE = {"groups": 0.0, "slosh": ["fixed", 0.0]}  # a plain cluster


def uniforms(count, settings, first=0, name="flat"):
    return shards.numbers(simulate, 1, "cluster_mass", name, first, count, settings)


def draw(count, settings, first=0):
    return simulate.draw(first, uniforms(count, settings, first), settings)


def test_views_show_one_cluster_from_other_sides():
    settings = population(views=3)
    tables = draw(12, settings)
    systems, pixels = tables["systems"], tables["cutouts"]["pixels"]
    for name in ("ln_m500", "m_gas", "l_x", "temperature", "core_radius", "n_groups", "redshift"):
        assert (systems[name].reshape(4, 3) == systems[name].reshape(4, 3)[:, :1]).all(), name
        if name not in ("n_groups", "redshift"):
            assert len(np.unique(systems[name])) == 4, name
    for name in ("axis_ratio", "exposure", "background", "turn", "counts", "x"):
        assert len(np.unique(systems[name])) == 12, name
    # photons in as much exposure: those of one cluster are alike to the noise and the points
    assert (pixels[0] != pixels[1]).mean() > 0.1


def test_a_system_is_the_same_whatever_is_drawn_with_it():
    settings = population(views=2)
    together, alone = draw(20, settings), draw(1, settings, first=13)
    for name, values in alone["systems"].items():
        assert together["systems"][name][13] == values[0], name
    assert (together["cutouts"]["pixels"][13] == alone["cutouts"]["pixels"][0]).all()


def test_a_quarter_turn_of_the_sky_is_the_turned_image():
    settings = population()
    u = uniforms(4, settings)
    pixels, systems = simulate.turned(u, settings, 0.0)
    turned, after = simulate.turned(u, settings, 90.0)
    # rows run upwards, so that counter-clockwise is from columns to rows
    assert (turned[..., 0] == np.rot90(pixels[..., 0], -1, axes=(1, 2))).all()
    assert after["x"] == pytest.approx(127 - systems["y"])
    assert after["y"] == pytest.approx(systems["x"])
    assert (after["ln_m500"] == systems["ln_m500"]).all()


def test_any_turn_carries_the_light_along_and_pads_nothing():
    settings = population(mass=[8e14, 1e15], **NONE)
    settings["observation"] |= {"offset": ["fixed", 3.0], "points": 3e-13}
    u = uniforms(40, settings)
    y, x = np.indices((128, 128))
    for angle in (0.0, 30.0, 200.0):
        pixels, systems = simulate.turned(u, settings, angle)
        image = pixels[..., 0] - systems["background"][:, None, None]
        near = np.hypot(x - 63.5, y - 63.5) < 40
        total = (image * near).sum(axis=(1, 2))
        for name, place in (("x", x), ("y", y)):
            centroid = (image * near * place).sum(axis=(1, 2)) / total
            assert np.median(np.abs(centroid - systems[name])) < 1.0, (angle, name)
        # corners hold the sky, and the light of the outskirts
        corner = pixels[:, :12, :12].mean(axis=(1, 2, 3))
        assert (corner > 0.8 * systems["background"]).all()
    expected = np.deg2rad(200.0) + simulate.turned(u, settings, 0.0)[1]["turn"]
    assert np.cos(systems["turn"] - expected) == pytest.approx(1.0)


def test_what_is_expected_is_the_luminosity_seen_from_afar():
    settings = population(mass=[3e14, 3.01e14], **NONE, metallicity=["fixed", 0.3])
    settings["observation"] |= {"background": ["fixed", 0.0], "points": 3e-13}
    u = uniforms(30, settings)
    systems = simulate.draw(0, u, settings)["systems"]
    # photons of 1 keV each from a luminosity at 222.3 Mpc (redshift 0.05, H0 = 70)
    flux = systems["l_x"] / (4 * np.pi * (222.3 * 3.0857e24) ** 2)
    photons = flux / (1.006 * 1.602e-9) * 1500 * systems["exposure"]
    # r500 reaches about as far as the image; beyond it there are a few per cent more
    assert np.median(systems["expected_counts"] / photons) == pytest.approx(1.03, abs=0.04)
    assert systems["counts"] == pytest.approx(systems["expected_counts"], rel=0.05)


def test_background_and_active_galaxies_are_what_is_left_without_clusters():
    settings = population(gas_fraction=["fixed", 1e-6], **NONE)
    systems = draw(60, settings)["systems"]
    area = (128 * 19.2 / 60) ** 2
    law, dense = simulate.point_law(3e-15)
    # light of the points of a broken power law, erg / s / cm2 / deg2
    least, knee, most, steep, flat = law
    above = steep * knee**steep * (knee ** (1 - steep) - most ** (1 - steep)) / (steep - 1)
    below = steep * knee**flat * (knee ** (1 - flat) - least ** (1 - flat)) / (1 - flat)
    light = 110.0 * (above + below)
    assert 2.5e-12 < light < 4e-12  # of 7.5e-12 in all of the background (Moretti et al. 2003)
    assert dense == pytest.approx(290, abs=5)
    assert simulate.point_law(2e-14)[1] == pytest.approx(110 * (20 / 7) ** -1.5, rel=0.03)
    assert simulate.point_law(1e-12)[1] == 0.0
    photons = light / 3600 * area * systems["exposure"] * 1500 / (0.939 * 1.602e-9)
    left = systems["expected_counts"] - systems["background"] * systems["area"]
    assert (left / photons).mean() == pytest.approx(1.0, abs=4 * (left / photons).std() / 7.7)


def test_groups_that_fall_in_add_light_beside_the_centre():
    heavy = {"groups": 2.0, "group_ratio": ["fixed", 0.25], "group_distance": ["fixed", 1.0]}
    with_groups, without = (population(mass=[4e14, 4.1e14], **(NONE | of)) for of in (heavy, {}))
    some, none = (draw(40, settings)["systems"] for settings in (with_groups, without))
    assert (some["l_x"] == none["l_x"]).all()  # that of the cluster itself
    extra = (some["expected_counts"] - none["expected_counts"]) / none["expected_counts"]
    assert (extra[some["n_groups"] == 0] == 0).all()
    assert extra[some["n_groups"] == 1].mean() == pytest.approx(0.1, abs=0.06)


def columns(settings, clusters=4000):
    """Return what clusters are, without their images."""
    prior = settings["prior"]
    draws = Draws(uniforms(clusters, settings | {"views": 1}), prior, simulate.SLOTS)
    found = simulate.draw_clusters(draws, settings["family"], prior)
    return found, {"m_gas": found.m_gas, **simulate.luminosities(found)}


@pytest.mark.parametrize("name", ["flat", "mass_function"])
def test_luminosity_and_gas_go_with_mass_as_on_the_sky(name):
    clusters, found = columns(population(name))
    for column in scaling.COLUMNS:
        relation = scaling.fit(clusters.ln_m500, found[column], scaling.PIVOT)
        slopes, scatters = scaling.spans(column)
        assert slopes[0] < relation.slope < slopes[1], column
        assert scatters[0] - 0.005 < relation.scatter < scatters[1], column
    # amplitudes at the pivot, too: within what others differ by, and 15 % more
    table = scaling.published()
    for column in scaling.COLUMNS:
        rows = [r for r in table if r["column"] == column and r["amplitude"] > 0]
        theirs = [scaling.expected(row, scaling.PIVOT, 0.05) for row in rows]
        ours = scaling.fit(clusters.ln_m500, found[column], scaling.PIVOT).amplitude
        assert min(theirs) / 1.15 < ours < max(theirs) * 1.15, column


def test_the_core_hides_the_mass():
    # what the experiment is about: the scatter of L is that of the cores
    clusters, found = columns(population())
    whole, excised = (
        scaling.fit(clusters.ln_m500, found[c], scaling.PIVOT) for c in ("l_x", "l_x_excised")
    )
    assert whole.scatter > 1.5 * excised.scatter
    cool = np.log(found["l_x"] / found["l_x_excised"])
    assert cool[clusters.cool].mean() > cool[~clusters.cool].mean() + 0.25
    gas = scaling.fit(clusters.ln_m500, found["m_gas"], scaling.PIVOT)
    assert gas.scatter == pytest.approx(0.099, abs=0.005)  # the prior's 0.043 dex


def test_masses_lie_in_their_range_and_bin():
    for name in ("flat", "mass_function"):
        systems = draw(50, population(name))["systems"]
        log = systems["ln_m500"] / np.log(10)
        assert (log > np.log10(3.7e13)).all() and (log < np.log10(1.15e15)).all()
        assert (systems["mass_bin"] == ((log - 13) / 0.15).astype(int)).all()


def test_a_cluster_further_off_is_smaller_and_fainter():
    near, far = (draw(6, population(redshift=["fixed", z], **NONE))["systems"] for z in (0.05, 0.2))
    # angular-diameter distances: 201.6 and 680.3 Mpc; r500 goes with E(z)^(-2/3)
    assert far["r500"] / near["r500"] == pytest.approx(
        201.6 / 680.3 * (1.0245 / 1.1037) ** (2 / 3), rel=3e-3
    )
    assert (far["counts"] < near["counts"]).all()
