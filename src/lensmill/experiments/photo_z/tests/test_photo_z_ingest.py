"""Catalogues come in as AB maggies, and what cannot be is refused by column and row."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import yaml
from astropy.table import Table
from photo_z_settings import BANDS, CONFIGS, choices, described, population, table

from lensmill import experiments
from lensmill.experiments.photo_z import catalogues, check, ingest, units
from lensmill.pipeline import checks, sources, store
from lensmill.pipeline import settings as checked


def read(source, tmp_path, settings):
    output = str(tmp_path / "dataset.h5")
    ingest.ingest(str(source), output, "mine", "photo_z", settings)
    return output, store.read(output, "systems")


def written(tmp_path, galaxies):
    galaxies.write(tmp_path / "table.fits", overwrite=True)
    return tmp_path / "table.fits"


def refusal(tmp_path, galaxies, **keys):
    with pytest.raises(ValueError) as error:
        read(written(tmp_path, galaxies), tmp_path, described(**keys))
    return str(error.value)


def band(**keys):
    return {"offset": 0.0} | keys


@pytest.mark.parametrize(
    "value, error, of, flux, flux_error",
    [
        (1.0, 0.1, band(unit="maggy"), 1.0, 0.1),
        (1.0, 0.1, band(unit="nanomaggy"), 1e-9, 1e-10),
        # 3631 Jy are magnitude 0, a microjansky is 23.9
        (3.631e9, 1.0, band(unit="microjansky"), 1.0, 2.754e-10),
        (3.631e-20, 1e-23, band(unit="cgs"), 1.0, 2.754e-4),
        (100.0, 1.0, band(unit="counts", zero_point=25.0), 1e-8, 1e-10),
        (20.0, 0.1, band(unit="ab"), 1e-8, 9.21e-10),
        (19.09, 0.1, band(unit="vega", offset=0.91), 1e-8, 9.21e-10),
        # half a magnitude too bright in the catalogue
        (1.0, 0.1, band(unit="maggy", offset=0.5), 10**-0.2, 10**-1.2),
    ],
)
def test_units_become_maggies(value, error, of, flux, flux_error):
    found = units.to_maggies(np.array([value]), np.array([error]), of)
    assert found[0] == pytest.approx([flux], rel=1e-3)
    assert found[1] == pytest.approx([flux_error], rel=1e-3)


def test_asinh_magnitudes_become_fluxes_down_below_zero():
    # Lupton, Gritsman & Szalay (1999): magnitude of no flux is -2.5 lg b, in u of SDSS 24.63
    flux = np.array([1e-6, 1e-9, 0.0, -3e-10])
    softening = 1.4e-10
    magnitude = -units.POGSON * (np.arcsinh(flux / softening / 2) + np.log(softening))
    assert magnitude[2] == pytest.approx(24.63, abs=0.01)
    step = 1e-13
    slope = -units.POGSON * (np.arcsinh((flux + step) / softening / 2) + np.log(softening))
    of = band(unit="asinh", softening=softening)
    found, error = units.to_maggies(magnitude, np.abs(slope - magnitude), of)
    assert found == pytest.approx(flux, rel=1e-9, abs=1e-20)
    assert error == pytest.approx(np.full(4, step), rel=1e-2)


def test_every_number_of_a_table_has_its_place(tmp_path):
    galaxies = table()
    galaxies["field"] = np.repeat(["north", "south"], 20)
    galaxies["size"] = np.arange(40.0)
    galaxies["size"][3] = np.nan
    source = written(tmp_path, galaxies)
    output, found = read(source, tmp_path, described(group="field", extra=["size"]))
    assert found["index"].tolist() == list(range(40))
    for k, name in enumerate(BANDS):
        assert found["flux"][:, k] == pytest.approx(1e-9 * galaxies[f"f_{name}"])
        assert found["flux_error"][:, k] == pytest.approx(1e-9 * galaxies[f"e_{name}"])
    assert found["observed"].all() and found["redshift_known"].all()
    assert found["redshift"] == pytest.approx(np.array(galaxies["z"]))
    assert found["group"].tolist() == galaxies["field"].tolist()
    assert found["extra_known"][:, 0].tolist() == [i != 3 for i in range(40)]
    assert found["extra"][[2, 3], 0].tolist() == [2.0, 0.0]
    facts = store.attributes(output)
    assert json.loads(facts["bands"]) == [*BANDS]
    assert json.loads(facts["extra"]) == ["size"]
    assert (facts["candidates"], facts["used"], facts["refused"]) == (40, 40, 0)


def test_pieces_change_no_number(tmp_path, monkeypatch):
    source = written(tmp_path, table())
    digests = []
    for piece in (7, 1000):
        monkeypatch.setattr(catalogues, "PIECE", piece)
        output, _ = read(source, tmp_path, described())
        digests.append(store.attributes(output)["content_digest"])
    assert digests[0] == digests[1]


def test_what_marks_a_band_as_not_observed_is_0_and_flagged(tmp_path):
    galaxies = table()
    for row, value in enumerate((np.nan, np.inf, -np.inf, -99.0, 99.0)):
        galaxies["f_sdss_g"][row] = value
    galaxies["e_sdss_g"][5:7] = [np.nan, -99.0]
    source = written(tmp_path, galaxies)
    _, found = read(source, tmp_path, described(missing=[-99.0, 99.0]))
    assert found["observed"][:, 0].tolist() == [0] * 7 + [1] * 33
    assert not found["flux"][:7, 0].any() and not found["flux_error"][:7, 0].any()
    assert found["observed"][:, 1:].all()


def test_an_inverse_variance_of_0_is_not_observed(tmp_path):
    galaxies = table()
    galaxies["ivar"] = galaxies["e_sdss_g"] ** -2.0
    galaxies["ivar"][4] = 0.0
    settings = described()
    settings["bands"]["sdss_g"] = {
        **settings["bands"]["sdss_g"],
        "ivar": "ivar",
        "error": None,
    }
    _, found = read(written(tmp_path, galaxies), tmp_path, settings)
    assert found["observed"][:, 0].tolist() == [i != 4 for i in range(40)]
    assert found["flux_error"][0, 0] == pytest.approx(1e-9 * galaxies["e_sdss_g"][0])


def test_extinction_is_taken_off(tmp_path):
    galaxies = table()
    galaxies["ebv"] = 0.1
    settings = described()
    settings["bands"]["sdss_g"] |= {"extinction": "ebv", "extinction_factor": 3.0}
    _, found = read(written(tmp_path, galaxies), tmp_path, settings)
    assert found["flux"][0, 0] == pytest.approx(1e-9 * galaxies["f_sdss_g"][0] * 10**0.12)
    assert found["flux"][0, 0] / found["flux_error"][0, 0] == pytest.approx(100)


def test_a_measurement_that_failed_is_not_observed(tmp_path):
    galaxies = table()
    galaxies["f_sdss_g"][:2] = [-1.0, -100.0]
    galaxies["e_sdss_g"][:2] = 1.0
    settings = described()
    settings["bands"]["sdss_g"] |= {"min_snr": -5}
    _, found = read(written(tmp_path, galaxies), tmp_path, settings)
    assert found["observed"][:3, 0].tolist() == [1, 0, 1]
    assert found["flux"][0, 0] == pytest.approx(-1e-9)


def test_rows_that_no_method_can_use_are_refused_each_by_name(tmp_path):
    galaxies = table()
    galaxies["z"][2] = 4.0
    galaxies["z"][7] = np.nan
    for name in BANDS:
        galaxies[f"f_{name}"][11] = np.nan
    settings = described(redshift_range=[0.0, 1.0])
    output, found = read(written(tmp_path, galaxies), tmp_path, settings)
    refused = store.read(output, "refused")
    assert refused["row"].tolist() == [2, 11]
    assert refused["column"].tolist() == ["z", ""]
    assert refused["reason"].tolist() == ["4 is not between 0 and 1", "observed in no band"]
    assert len(found["index"]) == 38
    # one of unknown redshift stays: it may be asked about, not learned from
    assert (found["redshift_known"] == 0).sum() == 1 and found["redshift"].min() == 0
    facts = store.attributes(output)
    assert (facts["candidates"], facts["used"], facts["refused"]) == (40, 38, 2)
    assert checks.failed(check.check(output, settings)["checks"]) == []


def test_negative_errors_are_refused_by_column_and_row(tmp_path):
    galaxies = table()
    galaxies["e_sdss_r"][[3, 9]] = [-0.5, 0.0]
    said = refusal(tmp_path, galaxies)
    assert "column 'e_sdss_r': 2 rows (row 3: -0.5, row 9: 0)" in said
    assert "must be above 0" in said and "`missing`" in said


def test_magnitudes_given_as_fluxes_are_refused(tmp_path):
    galaxies = table()
    for name in BANDS:
        galaxies[f"f_{name}"] = 22.5 - 2.5 * np.log10(galaxies[f"f_{name}"])
        galaxies[f"e_{name}"] = 0.01
    assert "as magnitudes do; say `unit: ab`" in refusal(tmp_path, galaxies)
    columns = described()["bands"]
    as_maggies = {name: of | {"unit": "maggy"} for name, of in columns.items()}
    said = refusal(tmp_path, galaxies, bands=as_maggies)
    assert "column 'f_sdss_g': 40 rows (row 0: 1" in said
    assert "brighter than magnitude 5; if the column holds magnitudes" in said


def test_fluxes_given_as_magnitudes_are_refused(tmp_path):
    columns = {name: of | {"unit": "ab"} for name, of in described()["bands"].items()}
    said = refusal(tmp_path, table(), bands=columns)
    assert "a magnitude must lie between 5 and 45; if the column holds fluxes" in said


def test_swapped_columns_of_fluxes_and_errors_are_refused(tmp_path):
    columns = described()["bands"]
    columns["sdss_i"] = columns["sdss_i"] | {"value": "e_sdss_i", "error": "f_sdss_i"}
    said = refusal(tmp_path, table(), bands=columns)
    assert "columns 'e_sdss_i' and 'f_sdss_i': 40 of 40 fluxes" in said and "swapped" in said


def test_faint_fluxes_that_are_nearly_noise_are_not_taken_for_swapped(tmp_path):
    galaxies = table(400)
    galaxies["f_sdss_g"] = np.random.default_rng(1).normal(0.05, 1.0, 400)
    galaxies["e_sdss_g"] = 1.0
    _, found = read(written(tmp_path, galaxies), tmp_path, described())
    assert found["observed"].all()


def test_a_magnitude_mistaken_for_a_redshift_leaves_nothing(tmp_path):
    galaxies = table()
    galaxies["z"] = 18.0
    assert "none of 40 rows can be used (row 0, column 'z': 18 is not between 0 and 10)" in refusal(
        tmp_path, galaxies
    )


def test_a_wrong_unit_is_refused_by_what_it_would_mean(tmp_path):
    columns = {name: of | {"unit": "cgs"} for name, of in described()["bands"].items()}
    assert "brighter than magnitude 5" in refusal(tmp_path, table(), bands=columns)


def test_a_column_that_is_not_there_is_refused_with_the_setting(tmp_path):
    said = refusal(tmp_path, table(), redshift="zspec", extra=["radius"])
    assert "mine.redshift: there is no column 'zspec'" in said
    assert "mine.extra: there is no column 'radius'" in said


@pytest.mark.parametrize(
    "change, said",
    [
        ({"bands": {"sdss_x": {"value": "a", "error": "b", "unit": "ab"}}}, "did you mean 'sdss_"),
        ({"bands": {"sdss_g": {"value": "a", "unit": "ab"}}}, "either `error` or `ivar`"),
        (
            {"bands": {"sdss_g": {"value": "a", "error": "b", "unit": "asinh"}}},
            "'asinh' needs `softening`",
        ),
        (
            {"bands": {"sdss_g": {"value": "a", "error": "b", "unit": "ab", "zero_point": 25}}},
            "'ab' cannot use `zero_point`",
        ),
        (
            {"bands": {"sdss_g": {"value": "a", "error": "b", "unit": "vega"}}},
            "'vega' needs `offset`",
        ),
        ({"bands": {"sdss_g": {"value": "a", "ivar": "b", "unit": "ab"}}}, "give `error`"),
        ({"redshift_range": [1.0, 0.5]}, "is empty"),
        ({"bands": {"sdss_g": {"value": "a", "error": "b", "unit": "jy"}}}, "'jy' is not one of"),
    ],
)
def test_settings_that_say_nothing_are_refused_before_the_first_job(change, said):
    with pytest.raises(ValueError, match=said):
        described(**change)


def test_a_catalogue_without_redshifts_can_be_asked_about(tmp_path):
    settings = described(redshift=None)
    output, found = read(written(tmp_path, table()), tmp_path, settings)
    assert not found["redshift_known"].any() and not found["redshift"].any()
    assert checks.failed(check.check(output, settings)["checks"]) == []


def test_the_example_of_the_documentation_can_be_followed(tmp_path):
    page = (CONFIGS.parent / "docs/galaxy_tables.md").read_text()
    example = yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
    chosen = choices() | example["experiments"]["photo_z"]
    settings = checked.population(experiments.check("photo_z", chosen), "mine")
    galaxies = {"z_spec": np.linspace(0.1, 0.9, 30)}
    for columns in settings["bands"].values():
        magnitude = columns["unit"] == "vega"
        galaxies[columns["value"]] = np.linspace(18, 20, 30) if magnitude else np.full(30, 40.0)
        galaxies[columns["error"]] = np.full(30, 0.1)
        galaxies |= {columns["extinction"]: np.full(30, 0.1)} if columns["extinction"] else {}
    galaxies["j_mag"][4] = -99
    pd.DataFrame(galaxies).to_parquet(tmp_path / "my_catalogue.parquet")
    _, found = read(tmp_path / "my_catalogue.parquet", tmp_path, settings)
    assert found["observed"].sum(axis=0).tolist() == [30, 30, 30, 30, 29]
    # 40 microjansky are magnitude 19.9, 19.8 without the dust
    assert -2.5 * np.log10(found["flux"][0, 0]) == pytest.approx(19.79, abs=0.01)


def default_source():
    return sources.find(population("sdss_galex_2mass")["ingest"], "")


def test_the_galaxies_of_the_default_run_are_real(tmp_path):
    settings = population("sdss_galex_2mass")
    output, found = read(default_source(), tmp_path, settings)
    assert len(found["index"]) == 10000
    judged = check.check(output, settings)["checks"]
    assert checks.failed(judged) == []
    by_name = {one["name"]: one for one in judged}
    assert by_name["colours know redshifts"]["value"] > 0.75
    # the units of all bands, GALEX too: fluxes lie on fits of spectra
    assert max(map(abs, by_name["bands against templates"]["value"].values())) < 0.9
    assert found["observed"].mean(axis=0)[:2] == pytest.approx([0.053, 0.0774])
    assert np.median(found["redshift"]) == pytest.approx(0.099, abs=0.001)
    # r of the main sample (Strauss et al. 2002); model magnitudes scatter about it
    bright = -2.5 * np.log10(found["flux"][:, 4])
    assert np.percentile(bright, 99) == pytest.approx(17.9, abs=0.1)


def test_galex_fluxes_as_the_name_says_would_be_magnitudes_off(tmp_path):
    settings = population("sdss_galex_2mass")
    for name in ("galex_FUV", "galex_NUV"):
        wrong = {**settings["bands"][name], "unit": "microjansky"}
        settings["bands"] = {**settings["bands"], name: wrong}
    output, _ = read(default_source(), tmp_path, settings)
    judged = check.check(output, settings)["checks"]
    assert any("mag off what templates expect" in sentence for sentence in checks.failed(judged))


@pytest.mark.parametrize(
    "name, rows, folder",
    [
        ("sdss_annz", 6000, "photoz_sdss_annz/galaxies.fits"),
        ("dc2", 10225, "photoz_dc2/galaxies.fits"),
        ("cosmos", 50, "photoz_cosmos_100/galaxies.fits"),
        ("hdfn", 57, "photoz_hdfn/galaxies_specz.ecsv"),
    ],
)
def test_surveys_are_read_and_their_colours_know_the_redshifts(
    shared_data, tmp_path, name, rows, folder
):
    settings = population(name)
    output, found = read(shared_data / folder, tmp_path, settings)
    assert len(found["index"]) == rows and found["redshift_known"].all()
    judged = check.check(output, settings)["checks"]
    assert checks.failed(judged) == []
    by_name = {one["name"]: one for one in judged}
    assert by_name["colours know redshifts"]["value"] > 0.7
    off = by_name["bands against templates"]["value"]
    # of the seven bands of hdfn three have a curve: none can be told from the others
    assert (off is None) == (name == "hdfn")
    assert max(map(abs, (off or {"none": 0}).values())) < 0.4


def test_the_half_of_the_default_galaxies_that_is_kept_elsewhere_is_the_same(shared_data, tmp_path):
    settings = population("sdss_galex_2mass")
    _, ours = read(default_source(), tmp_path, settings)
    half = Table.read(shared_data / "photoz_sdss_galex_2mass/galaxies.fits")
    at = {z: i for i, z in enumerate(ours["redshift"].astype("f4").tolist())}
    rows = [at[z] for z in half["z"].astype("f4").tolist() if z in at]
    assert len(rows) == len(half)
    flux = 1e-9 * np.array(half["modelflux_r"]) * 10 ** (0.4 * np.array(half["extinction_r"]))
    assert np.median(np.abs(ours["flux"][rows, 4] / flux - 1)) < 1e-5


def test_detections_of_the_surveys_are_told_from_what_was_not_seen(shared_data, tmp_path):
    _, found = read(shared_data / "photoz_dc2/galaxies.fits", tmp_path, population("dc2"))
    stored = Table.read(shared_data / "photoz_dc2/galaxies.fits")
    assert (found["observed"][:, 0] == 0).sum() == (stored["mag_u_lsst"] == 99).sum() == 714
    _, found = read(shared_data / "photoz_cosmos_100/galaxies.fits", tmp_path, population("cosmos"))
    assert not found["observed"][:, -2:].any()  # no galaxy has the two reddest bands of IRAC
    source = shared_data / "photoz_sdss_annz/galaxies.fits"
    _, found = read(source, tmp_path, population("sdss_annz"))
    # beyond magnitude 24.63 an asinh magnitude in u is a negative flux
    u = np.array(Table.read(source)["u"])
    seen = found["observed"][:, 2] == 1
    assert ((found["flux"][:, 2] < 0) == (u > 24.635))[seen].all()
    assert (found["flux"] / np.where(found["observed"], found["flux_error"], 1)).min() > -5
