"""Lenses painted on real galaxies: hosts come in with their own flux, and only arcs are added."""

import numpy as np
import painted_hosts as made
import pytest
from astropy import units
from astropy.cosmology import FlatLambdaCDM

from lensmill.cutouts import background
from lensmill.experiments.lens_finding import check, paint, simulate, sky
from lensmill.imaging import camera, photometry, quality
from lensmill.pipeline import shards, splits, store
from lensmill.pipeline.streams import uniforms

REQUIRE = {"arc_snr": 8.0, "magnification": 2.0, "theta_e_over_seeing": 1.1, "redraws": 200}


def numbers(n, first=0):
    return uniforms(1, made.NAME, "painted", first, n, simulate.WIDTH)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    return made.make_hosts(tmp_path_factory.mktemp("hosts"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return made.make_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def settings(hosts):
    return made.settings_of(hosts[0], require=REQUIRE)


@pytest.fixture(scope="module")
def drawn(settings):
    return simulate.draw(0, numbers(120), settings)


# ---- hosts ---------------------------------------------------------------------------------------


def test_magnitudes_and_colours_are_kept_whatever_the_exposure(hosts):
    path, truth = hosts
    systems = store.read(path, "systems")
    assert len(systems["index"]) == 12
    assert systems["exposure_i"] == pytest.approx(truth["exposure"])
    assert systems["zero_point_g"] == pytest.approx(25.0)
    assert systems["host_magnitude"] - truth["magnitude"] == pytest.approx(
        np.full(12, 0.12), abs=0.15
    )
    assert systems["host_colour"] - truth["colour"] == pytest.approx(np.full(12, 0.07), abs=0.15)
    # its noise is that of its own exposure
    depth = systems["sky_sigma_r"] * np.sqrt(truth["exposure"])
    assert np.ptp(depth) < 0.3 * depth.mean()


def test_a_zero_point_may_be_a_number_a_column_or_a_keyword(tmp_path):
    truth = made.galaxies(3)
    pixels = made.render_galaxies(truth)
    table = made.write_survey(tmp_path / "survey", truth, pixels)
    by_header = made.ingest_survey(table, tmp_path / "a.h5")
    lines = table.read_text().splitlines()
    head = ",".join([lines[0], *(f"zp_{b}" for b in "gri"), *(f"t_{b}" for b in "gri")])
    rows = [
        ",".join([line, *["25.0"] * 3, *[f"{t:.6f}"] * 3])
        for line, t in zip(lines[1:], truth["exposure"], strict=True)
    ]
    table.write_text("\n".join([head, *rows]) + "\n")
    columns = {"zero_point": "zp_{band}", "exposure": "t_{band}", "counts": True}
    given = {"zero_point": {"g": 25.0, "r": 25.0, "i": 25.0}, "exposure": "EXPTIME", "counts": True}
    images = [
        store.read(path, "cutouts")["pixels"]
        for path in (
            by_header,
            made.ingest_survey(table, tmp_path / "b.h5", calibration=columns),
            made.ingest_survey(table, tmp_path / "c.h5", calibration=given),
        )
    ]
    assert images[1] == pytest.approx(images[0], rel=1e-5)
    assert (images[2] == images[0]).all()
    # one magnitude more of zero point: pixels are worth less by that
    deeper = made.ingest_survey(table, tmp_path / "d.h5", calibration=given | {"zero_point": 26.0})
    fainter = store.read(deeper, "cutouts")["pixels"]
    assert fainter == pytest.approx(images[0] * 10**-0.4, rel=1e-5)


def test_an_image_without_its_calibration_is_refused_by_name(tmp_path):
    def spoil(i, band, unit):
        if i == 1:
            del unit.header["EXPTIME"]
        if i == 2 and band == "r":
            unit.header["HIERARCH FPA.ZP"] = "NaN"

    path, _ = made.make_hosts(tmp_path, 4, spoil)
    refused = store.read(path, "refused")
    assert {*refused["file"]} == {
        "galaxy1_g.fits, galaxy1_r.fits, galaxy1_i.fits",
        "galaxy2_g.fits, galaxy2_r.fits, galaxy2_i.fits",
    }
    reasons = " ".join(refused["reason"])
    assert "'EXPTIME' that exposure names is not there" in reasons
    assert "'FPA.ZP' that zero_point names says 'NaN'" in reasons


def test_a_seeing_that_is_no_number_is_not_known(tmp_path):
    path, _ = made.make_hosts(tmp_path, 2, psf="CHIP.SEEING")
    assert not store.read(path, "systems")["psf_fwhm_known"].any()
    path, _ = made.make_hosts(tmp_path, 2, psf={"g": 1.4, "r": 1.2, "i": 1.0})
    assert store.read(path, "systems")["psf_fwhm"] == pytest.approx([1.2, 1.2])


def test_masses_are_those_of_the_nearest_red_galaxies(tmp_path):
    rng = np.random.default_rng(0)
    magnitude, colour = rng.uniform(16, 20, 400), rng.uniform(1, 3, 400)
    lines = ["g,i,veldisp,redshift"]
    lines += [
        f"{m + c:.4f},{m:.4f},{200 + 10 * (20 - m):.3f},{0.1 + 0.1 * c:.4f}"
        for m, c in zip(magnitude, colour, strict=True)
    ]
    lines += ["17,16,900,0.3", "18,16.5,,0.2"]  # beyond the range, and not known
    (tmp_path / "red.csv").write_text("\n".join(lines) + "\n")
    masses = {"table": str(tmp_path / "red.csv"), "sigma_v": "veldisp", "z": "redshift"}
    path, _ = made.make_hosts(tmp_path, 6, masses=masses)
    systems, found = store.read(path, "systems"), store.read(path, "masses")
    assert (found["system"] == np.repeat(np.arange(6), 8)).all()
    expected = 200 + 10 * (20 - np.repeat(systems["host_magnitude"], 8))
    assert np.abs(found["sigma_v"] - expected).max() < 10 * systems["mass_distance"].max() + 0.1
    assert systems["mass_distance"].max() < 0.5
    assert found["sigma_v"].max() < 400


# ---- what is painted -----------------------------------------------------------------------------


def test_an_unpainted_host_is_the_host_as_it_is(hosts, drawn):
    pixels = store.read(hosts[0], "cutouts")["pixels"]
    systems = drawn["systems"]
    others = np.flatnonzero(systems["kind"] == sky.KINDS.index("unpainted"))
    assert 40 < len(others) < 80
    for i in others:
        host = background.turned(pixels[systems["host"][i]], systems["host_turn"][i])
        assert (drawn["cutouts"]["pixels"][i] == host).all()
    for column in ("theta_e", "arc_snr", "magnification", "n_images", "source_magnitude"):
        assert not systems[column][others].any(), column


def test_a_painted_host_is_the_host_and_arcs(hosts, settings, drawn):
    painted = paint.draw(numbers(120), settings)
    pixels, systems = drawn["cutouts"]["pixels"], drawn["systems"]
    lens = systems["is_lens"] == 1
    added = (pixels - painted.host)[lens]
    assert added.sum(axis=(1, 2, 3)) == pytest.approx(
        painted.arcs[lens].sum(axis=(1, 2, 3)), rel=0.05
    )
    # far from the arcs nothing is changed: there are no photons of theirs
    dark = painted.arcs[lens] * painted.exposure[lens][:, None, None] < 1e-6
    assert dark.any() and np.abs(added[dark]).max() < 1e-4  # the noise is 0.1
    # with the flux of the source in the survey's own unit, in every band; clumps are bluer
    bands = made.OBSERVATION["bands"]
    for k, band in enumerate(bands.values()):
        source = camera.rate(
            systems["source_magnitude"] + systems["source_colour"] * camera.redness(band), band
        )
        ratio = painted.arcs[lens][..., k].sum(axis=(1, 2)) / source[lens]
        quiet = systems["has_quasar"][lens] == 0
        magnification = systems["magnification"][lens]
        assert ratio[quiet] == pytest.approx(magnification[quiet], rel=0.35)


def test_both_classes_have_the_same_hosts_and_what_is_required(drawn):
    systems = drawn["systems"]
    lens = systems["is_lens"] == 1
    assert {*systems["host"][lens]} & {*systems["host"][~lens]}
    assert not systems["unfilled"].any()
    for name in ("arc_snr", "magnification", "theta_e_over_seeing"):
        assert (systems[name][lens] >= REQUIRE[name]).all()
    assert systems["redraws"].max() > 0


def test_a_system_depends_on_its_index_alone(settings, drawn):
    alone = simulate.draw(17, numbers(1, 17), settings)
    for table, columns in alone.items():
        for name, values in columns.items():
            assert np.array_equal(values[0], drawn[table][name][17]), name


def test_more_redraws_change_no_system_that_needed_fewer(hosts):
    easy = REQUIRE | {"theta_e_over_seeing": 0.3, "redraws": 60}
    few = simulate.draw(0, numbers(40), made.settings_of(hosts[0], require=easy))
    more = simulate.draw(0, numbers(40), made.settings_of(hosts[0], require=easy | {"redraws": 90}))
    assert (few["cutouts"]["pixels"] == more["cutouts"]["pixels"]).all()


def test_einstein_radii_are_those_of_the_velocity_dispersion(drawn):
    systems = drawn["systems"]
    lens = systems["is_lens"] == 1
    cosmology = FlatLambdaCDM(70, paint.OMEGA_M)
    z_lens, z_source = systems["z_lens"][lens], systems["z_source"][lens]
    ratio = cosmology.angular_diameter_distance_z1z2(z_lens, z_source)
    ratio = (ratio / cosmology.angular_diameter_distance(z_source)).value
    radius = 4 * np.pi * (systems["sigma_v"][lens] / 299792.458) ** 2 * ratio * units.rad
    # astropy has the radiation of today's Universe, if one asks for it: not here
    assert systems["theta_e"][lens] == pytest.approx(radius.to_value("arcsec"), rel=1e-6)


def test_the_mass_lies_as_the_light_does(hosts, drawn):
    measured = store.read(hosts[0], "systems")
    systems = drawn["systems"]
    lens = np.flatnonzero(systems["is_lens"] == 1)
    host, turn = systems["host"][lens], systems["host_turn"][lens]
    x, y, phi = paint.turned_shape(
        *(measured[f"host_{name}"][host] for name in ("x", "y", "phi")), turn
    )
    off = (systems["phi"][lens] - phi + np.pi / 2) % np.pi - np.pi / 2
    assert np.abs(off).max() <= made.PRIOR["light_turn"][4]
    for name, place in (("lens_x", x), ("lens_y", y)):
        assert np.abs(systems[name][lens] - place).max() <= 0.15
    # arcs lie about it: the lensed light is centred there within an Einstein radius
    assert np.abs(systems["q"][lens] - measured["host_q"][host]).max() <= 0.3 + 1e-9


def test_nothing_is_painted_over_masked_pixels(tmp_path):
    def spoil(i, band, unit):
        if band == "r":
            unit.data[24:27, 34:37] = np.nan  # 2.7 to 3.1 arcsec to the right
        if i == 0:
            unit.data[24:26, 26:28] = np.nan  # beside the middle

    path, _ = made.make_hosts(tmp_path, 6, spoil)
    mask = store.read(path, "cutouts")["mask"]
    assert mask.dtype == np.uint8 and mask[1].sum() == 9 and mask[1, 24, 35, 1] == 1
    distance = store.read(path, "systems")["mask_distance"]
    assert distance[1:] == pytest.approx(np.full(5, 2.66), abs=0.1) and distance[0] < 1
    painted = paint.draw(numbers(60), made.settings_of(path))
    known = painted.columns
    for i in range(60):
        hidden = background.turned(mask[known["host"][i]], known["host_turn"][i]) > 0
        assert not painted.arcs[i][hidden].any()
    # no masked pixel is within two Einstein radii
    assert (distance[known["host"]] > 2 * known["theta_e"]).all()
    assert 0 not in known["host"] and painted.arcs.any()


def test_real_images_are_lensed_with_the_colours_of_their_table(hosts, sources):
    chosen = {"sources": sources, "source_columns": ["mag_g", "mag_i"], "require": REQUIRE}
    tables = simulate.draw(0, numbers(60), made.settings_of(hosts[0], **chosen))
    systems = tables["systems"]
    lens = systems["is_lens"] == 1
    assert {*systems["source"][lens]} <= {*range(6)} and len({*systems["source"][lens]}) > 3
    assert systems["source_colour"][lens] == pytest.approx(
        0.5 + 0.1 * systems["source"][lens], abs=1e-6
    )
    assert (systems["source"][~lens] == -1).all()
    assert (systems["magnification"][lens] >= REQUIRE["magnification"]).all()


@pytest.mark.parametrize("name", ["euclid_vis", "lsst_gri", "des_gri", "hsc_gri"])
def test_every_survey_can_have_hosts(tmp_path, name):
    observation = made.CHOICES["observations"][name]
    bands = [*observation["bands"]]
    truth = made.galaxies(4)
    pixels = made.render_galaxies(truth, observation)
    rows = ["name,field,sigma_v,z," + ",".join(bands)]
    for i in range(4):
        np.save(tmp_path / f"{i}.npy", np.moveaxis(pixels[i], -1, 0))
        planes = ",".join(f"{i}.npy[{k}]" for k in range(len(bands)))
        rows.append(f"g{i},f{i},{truth['sigma_v'][i]},{truth['z'][i]},{planes}")
    (tmp_path / "images.csv").write_text("\n".join(rows) + "\n")
    zero_points = {band: of["zero_point"] for band, of in observation["bands"].items()}
    path = made.ingest_survey(
        *(tmp_path / "images.csv", tmp_path / "hosts.h5", observation),
        files=None,
        calibration={"zero_point": zero_points},
        pixel_scale=observation["pixel_scale"],
    )
    # as they came, less the level of the border
    assert (store.read(path, "cutouts")["pixels"] - pixels).std(axis=(1, 2)).max() < 1e-3
    tables = simulate.draw(0, numbers(10), made.settings_of(path, observation=observation))
    lens = tables["systems"]["is_lens"] == 1
    assert (tables["systems"]["arc_snr"][lens] > 5).mean() > 0.5


def test_the_width_of_stars_is_the_hosts_own(tmp_path):
    sharp, _ = made.make_hosts(tmp_path / "a", 3, psf=0.7)
    blurred, _ = made.make_hosts(tmp_path / "b", 3, psf=2.0)
    u = numbers(30)
    one, two = (paint.draw(u, made.settings_of(path)) for path in (sharp, blurred))
    assert one.columns["psf_fwhm"] == pytest.approx(np.full(30, 0.7))
    same = (one.columns["redraws"] == 0) & (two.columns["redraws"] == 0)
    assert same.sum() > 20
    flux = [p.arcs[same].sum(axis=(1, 2, 3)) for p in (one, two)]
    assert flux[1] == pytest.approx(flux[0], rel=0.15)  # some is blurred out of the frame
    peak = [p.arcs[same].max(axis=(1, 2, 3)) for p in (one, two)]
    assert (peak[0] > 1.5 * peak[1]).mean() > 0.9


def test_limits_choose_hosts(hosts):
    path, _ = hosts
    systems = store.read(path, "systems")
    middle = float(np.median(systems["host_magnitude"]))
    limits = {"host_magnitude": [10.0, middle]}
    painted = paint.draw(numbers(40), made.settings_of(path, host_limits=limits))
    assert (systems["host_magnitude"][painted.columns["host"]] <= middle).all()
    with pytest.raises(ValueError, match=r"none of 12 hosts through .*host_magnitude 0"):
        paint.draw(numbers(1), made.settings_of(path, host_limits={"host_magnitude": [1.0, 2.0]}))
    with pytest.raises(ValueError, match="'colour' is no column of numbers"):
        paint.draw(numbers(1), made.settings_of(path, host_limits={"colour": [1.0, 2.0]}))


def test_what_cannot_be_had_is_refused_in_the_first_batch(hosts):
    asked = {"arc_snr": 10.0, "theta_e_over_seeing": 3.0, "redraws": 3}
    with pytest.raises(ValueError) as refused:
        paint.draw(numbers(64), made.settings_of(hosts[0], require=asked))
    text = str(refused.value)
    assert "64 of the 64 systems of a batch (100.0%; permitted: 0.1%)" in text
    assert "What fails most is theta_e_over_seeing" in text and "raise redraws" in text


# ---- the whole population ------------------------------------------------------------------------


def dataset(path, settings, n=200):
    identity = {"experiment": made.NAME, "population": "painted", "seed": 1}
    shards.simulate(str(path), simulate, first=0, count=n, settings=settings, code="", **identity)
    return str(path), settings | {"systems": n, "max_image_auroc": 1.0}


@pytest.fixture(scope="module")
def population(tmp_path_factory, settings):
    return dataset(tmp_path_factory.mktemp("painted") / "a.h5", settings)


def test_a_painted_population_passes_its_checks(population):
    found = check.check(*population)
    assert [c["sentence"] for c in found["checks"] if c["passed"] is False] == []
    passed = {c["name"] for c in found["checks"] if c["passed"]}
    assert {"drawn again", "noise of arcs", "unpainted", "Einstein radii"} <= passed
    assert {"group of the host", "hosts of both classes", "required of lenses"} <= passed


def test_without_requirements_the_priors_are_tested(tmp_path, hosts):
    found = check.check(*dataset(tmp_path / "a.h5", made.settings_of(hosts[0]), 400))
    tested = {c["name"]: c["passed"] for c in found["checks"] if c["name"].startswith("prior of")}
    assert len(tested) == 5
    assert all(passed is not False for passed in tested.values())


def _noisier(tables):
    """Twice the noise of the photons of arcs."""
    rng = np.random.default_rng(1)
    pixels = tables["cutouts"]["pixels"]
    lens = tables["systems"]["is_lens"] == 1
    pixels[lens] += 0.2 * rng.normal(size=pixels[lens].shape).astype(np.float32)


def _blacker(tables):
    """Unpainted hosts as they are, but for one pixel."""
    tables["cutouts"]["pixels"][tables["systems"]["is_lens"] == 0, 5, 5] += 0.1


WRONG = {
    "labels and kinds": lambda t: t["systems"].update(kind=np.roll(t["systems"]["kind"], 1)),
    "Einstein radii": lambda t: t["systems"].update(theta_e=0.9 * t["systems"]["theta_e"]),
    "least arc_snr": lambda t: t["systems"].update(arc_snr=0.1 * t["systems"]["arc_snr"]),
    "group of the host": lambda t: t["systems"].update(
        group=np.full_like(t["systems"]["group"], "field 0")
    ),
    "required of lenses": lambda t: t["systems"].update(unfilled=t["systems"]["is_lens"]),
    "noise of arcs": _noisier,
    "unpainted": _blacker,
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_painted_population_is_found(tmp_path, population, name):
    path, settings = population
    tables = {table: store.read(path, table) for table in simulate.UNITS}
    WRONG[name](tables)
    facts = store.attributes(path)
    store.write(tmp_path / "b.h5", tables, simulate.UNITS, facts)
    found = check.check(str(tmp_path / "b.h5"), settings)
    assert name in {c["name"] for c in found["checks"] if c["passed"] is False}


def test_two_populations_on_the_same_hosts_are_no_copies_of_each_other(tmp_path, hosts, sources):
    first, second = (
        check.check(*dataset(tmp_path / f"{k}.h5", made.settings_of(hosts[0], **chosen), 60))
        for k, chosen in enumerate(({}, {"sources": sources}))
    )
    assert not {*first["sketch"]} & {*second["sketch"]}


def test_all_systems_of_a_host_and_of_its_field_are_in_one_part(tmp_path, population, hosts):
    path, _ = population
    splits.write(path, str(tmp_path / "split.h5"), "kind", (8, 1, 3))
    split = store.read(tmp_path / "split.h5", "systems")["split"]
    systems = store.read(path, "systems")
    assert len(np.unique(systems["group"])) == 6  # fields of two hosts each
    for field in np.unique(systems["group"]):
        assert len(np.unique(split[systems["group"] == field])) == 1
    # and the hosts themselves, in their own population
    splits.write(hosts[0], str(tmp_path / "own.h5"), "kind", (8, 1, 3))
    own = store.read(tmp_path / "own.h5", "systems")["split"]
    assert (own[systems["host"]] == split).all()


def test_the_columns_of_painted_and_of_real_images_are_measured_alike(population):
    path, settings = population
    systems, pixels = store.read(path, "systems"), store.read(path, "cutouts")["pixels"]
    found = photometry.measure(pixels[:20], settings["observation"])
    for name, values in found.items():
        assert systems[name][:20] == pytest.approx(values)
    assert quality.snr(pixels[:20], 0.25) == pytest.approx(systems["snr"][:20])
    # arcs are light, too
    lens = systems["is_lens"] == 1
    assert (systems["host_magnitude"] - systems["lens_magnitude"])[lens].mean() < -0.1


# ---- settings ------------------------------------------------------------------------------------

HOSTS = {
    "ingest": "hosts.csv",
    "format": "table",
    "label": 0,
    "calibration": made.CALIBRATION,
    "masses": made.MASSES,
    "observation": "panstarrs_gri",
}
PAINTED = {
    "family": "epl_shear",
    "prior": "painted",
    "observation": "panstarrs_gri",
    "host": "galaxies",
    "systems": 100,
}


def test_settings_of_painted_lenses_are_accepted_and_completed():
    settings = made.whole_settings(galaxies=HOSTS, painted=PAINTED | {"require": {"arc_snr": 5}})
    assert settings["populations"]["painted"]["require"]["redraws"] == 200
    assert settings["populations"]["galaxies"]["masses"]["neighbours"] == 8
    assert "calibration" not in settings["populations"]["euclid"]


@pytest.mark.parametrize(
    ("host", "painted", "message"),
    [
        ({}, {"host": "galaxy"}, "did you mean 'galaxies'"),
        ({"calibration": None}, {}, "masses would be ignored without calibration"),
        ({"masses": None}, {}, "has no masses"),
        ({"observation": "des_gri"}, {}, "the images of 'galaxies' have"),
        ({"place": "corners"}, {}, "needs place centre"),
        ({"sky": "keep"}, {}, "sky subtract"),
        ({"test_only": True}, {}, "is test_only"),
        ({}, {"host": "euclid"}, "is simulated"),
        ({}, {"host": None, "require": {"arc_snr": 5}}, "require would be ignored without host"),
        ({}, {"background": "galaxies"}, "a host brings its own sky"),
        ({}, {"source_columns": ["g", "i"]}, "source_columns would be ignored"),
        ({}, {"override": {"lens_magnitude": ["fixed", 19.0]}}, "lens_magnitude would be ignored"),
        ({}, {"prior": "galaxies"}, "needs source_redshift, mass_offset, seeing"),
        ({}, {"sources": "euclid"}, "is simulated, not ingested"),
        (
            {"observation": "euclid_vis", "masses": made.MASSES | {"table": "red.csv"}},
            {"observation": "euclid_vis"},
            "galaxies of one band .VIS. have no colour",
        ),
    ],
)
def test_settings_that_cannot_be_painted_are_refused_before_the_first_job(host, painted, message):
    host, painted = (
        {key: value for key, value in chosen.items() if value is not None}
        for chosen in (HOSTS | host, PAINTED | painted)
    )
    with pytest.raises(ValueError, match=message):
        made.whole_settings(galaxies=host, painted=painted)


def test_lenses_on_hosts_cannot_be_turned_by_any_angle(settings):
    with pytest.raises(ValueError, match="cannot be turned"):
        simulate.turned(numbers(2), settings, 30.0)
