"""A table of lensed quasars is taken in whole, or refused with every reason."""

import re
from pathlib import Path

import numpy as np
import pytest

from lensmill.experiments.time_delay import ingest as ingestion
from lensmill.experiments.time_delay.ingest import ingest
from lensmill.pipeline import store, text_tables

HEADER = "name,z_lens,z_source,lens_x,lens_y,lens_error,x,y,position_error,delay,delay_error\n"
DOUBLE = HEADER + "mine,0.5,1.5,0,0,0.01,1.2,0.1,0.003,0,\nmine,,,,,,-0.6,0.1,0.003,31.5,1.5\n"
QUAD = (
    HEADER + "four,0.5,1.5,,,,1.2,0.1,0.003,,\nfour,,,,,,-1.1,0.1,0.003,,\n"
    "four,,,,,,0.1,0.9,0.003,12,1\nfour,,,,,,0.1,-0.8,0.003,,\n"
)


# with the stars of the lens galaxy and the brightness of the images
FULL = HEADER.strip() + ",sigma_v,sigma_v_error,r_eff,aperture,seeing,anisotropy,flux,flux_error\n"
FULL += "mine,0.5,1.5,0,0,0.01,1.2,0.1,0.003,0,,250,15,1.8,0.75,0.6,1.5,30,3\n"
FULL += "mine,,,,,,-0.6,0.1,0.003,31.5,1.5,,,,,,,12,2\n"
STARS = "250,15,1.8,0.75,0.6,1.5"


def parse(text: str, where: str = "table") -> store.Tables:
    return ingestion.parse(text_tables.split(text), where)


def refusal(text: str) -> str:
    with pytest.raises(ValueError) as error:
        parse(text, "mine.csv")
    return str(error.value)


def test_a_double_becomes_two_rows_of_one_system(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("# my lens\n" + DOUBLE)
    ingest(path, tmp_path / "dataset.h5", "mine", "time_delay")
    systems = store.read(tmp_path / "dataset.h5", "systems")
    images = store.read(tmp_path / "dataset.h5", "images")
    assert systems["name"][0] == "mine"
    assert systems["n_images"][0] == 2
    assert systems["lens_known"][0] == 1
    assert systems["d_dt_known"][0] == 0
    assert images["x"].tolist() == [1.2, -0.6]
    assert images["delay"].tolist() == [0, 31.5]
    assert images["delay_error"].tolist() == [0, 1.5]
    assert store.attributes(tmp_path / "dataset.h5")["population"] == "mine"


@pytest.mark.parametrize(("errors", "said"), [("100,100", True), ("0,0", False), (",", True)])
def test_a_hubble_constant_is_the_truth_only_beside_an_exact_distance(errors, said, caplog):
    first, *rest = DOUBLE.splitlines()[1:]
    header = HEADER.strip() + ",h0,d_dt_minus,d_dt_plus,d_dt"
    distance = "" if errors == "," else "3000"
    parse("\n".join([header, f"{first},73.8,{errors},{distance}", *(r + ",,,," for r in rest)]))
    assert ("h0 = 73.8 of mine is taken for what a publication says" in caplog.text) == said


def test_a_delay_that_was_not_measured_stays_empty():
    tables = parse(QUAD)
    assert tables["images"]["delay_measured"].tolist() == [1, 0, 1, 0]
    assert np.isfinite(tables["images"]["delay"]).all()
    assert tables["systems"]["lens_known"][0] == 0


def test_units_of_an_ecsv_header_are_converted():
    datatype = "".join(
        f"# - {{name: {name}, {'unit: mas, ' if name in ('x', 'y') else ''}datatype: string}}\n"
        for name in HEADER.strip().split(",")
    )
    rows = DOUBLE.replace("1.2,0.1", "1200,100").replace("-0.6,0.1", "-600,100")
    header = f"# %ECSV 1.0\n# ---\n# datatype:\n{datatype}# delimiter: ','\n# schema: astropy-2.0\n"
    images = parse(header + rows)["images"]
    assert images["x"] == pytest.approx([1.2, -0.6])
    assert images["y"] == pytest.approx([0.1, 0.1])
    assert images["position_error"] == pytest.approx([0.003, 0.003])


def test_an_angle_in_days_is_refused():
    header = "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: x, unit: d, datatype: float64}\n"
    message = refusal(header + "# delimiter: ','\n# schema: astropy-2.0\n" + DOUBLE)
    assert "column 'x': unit 'd' is not one of arcsec" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DOUBLE.replace("0.5,1.5", "1.5,0.5"), r"line 2, column 'z_source': 0.5 must be above"),
        (DOUBLE.replace("0.5,1.5", "0.5,25"), r"line 2, column 'z_source': 25 (permitted:"),
        (DOUBLE.replace("0.5,1.5", "0.5,"), r"line 2, column 'z_source': empty"),
        (DOUBLE.replace("31.5,1.5", "31.5,0"), r"line 3, column 'delay_error': 0; a delay needs"),
        (DOUBLE.replace("31.5,1.5", "31.5,"), r"line 3, column 'delay_error': empty"),
        (DOUBLE.replace("31.5,1.5", "31.5,-1"), r"line 3, column 'delay_error': -1 (permitted:"),
        (DOUBLE.replace("31.5,1.5", ",1.5"), r"line 3, column 'delay': empty beside"),
        (DOUBLE.replace("31.5,1.5", "-31.5,1.5"), "must be in order of arrival"),
        (DOUBLE.replace("0.003,0,\n", "0.003,5,1\n"), r"line 2, column 'delay': 5 d; delays are"),
        (DOUBLE.replace("1.2,0.1", "east,0.1"), r"line 2, column 'x': 'east' is not a number"),
        (
            DOUBLE.replace("1.2,0.1", "nan,0.1"),
            "line 2, column 'x': nan (permitted: -60 ... 60 arcsec); leave the cell empty",
        ),
        (DOUBLE.replace("1.2,0.1", "1_2,0.1"), "column 'x': '1_2' is not a number"),
        (DOUBLE.replace("1.2,0.1", '"1,2",0.1'), "write decimals with a point"),
        (DOUBLE.replace("31.5,1.5", '"1,031.5",1.5'), "thousands without a mark"),
        (DOUBLE.replace("31.5,1.5", "1 031.5,1.5"), "thousands without a mark"),
        (DOUBLE.replace(",", ";").replace(".", ","), "line 1: the columns are separated by semic"),
        ("# " + DOUBLE, "line 1: the names of the columns stand behind a '#'"),
        (DOUBLE.replace("1.2,0.1", "-0.6,0.1"), "the same place as that of line 2"),
        (DOUBLE.replace(",0,0,0.01,", ",0,0,,"), "has lens_x, lens_y but not lens_error"),
        (HEADER + DOUBLE.splitlines()[1], "'mine' has one image; a delay needs two"),
        (DOUBLE + QUAD.split("\n", 1)[1] + DOUBLE.split("\n", 1)[1], "'mine' has stood in line 2"),
        (DOUBLE.replace("mine,,,", "mine,0.6,,"), r"line 3, column 'z_lens': 0.6 differs from"),
        (DOUBLE.replace("mine,,,", ",,,"), r"line 3, column 'name': empty"),
        (DOUBLE.replace("31.5,1.5", "31.5"), "line 3: 10 cells, but the header names 11 columns"),
        (DOUBLE.replace("z_source", "zsource"), "'zsource' is not a column; did you mean 'z_s"),
        (DOUBLE.replace("z_source", "z_lens"), "column 'z_lens' occurs twice"),
        (HEADER, "it has no rows"),
        ("", "it has no rows"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_remedy(text, expected):
    assert expected in refusal(text)


def test_stars_and_fluxes_are_taken_in_beside_their_flags(tmp_path):
    two = FULL + "".join(
        DOUBLE.replace("mine", "other").replace("\n", ",,,,,,,,\n").splitlines(True)[1:]
    )
    (tmp_path / "mine.csv").write_text(two)
    ingest(tmp_path / "mine.csv", tmp_path / "dataset.h5", "mine", "time_delay")
    systems = store.read(tmp_path / "dataset.h5", "systems")
    images = store.read(tmp_path / "dataset.h5", "images")
    for name, value in zip(ingestion.STARS, (250, 15, 1.8, 0.75, 0.6), strict=True):
        assert systems[name].tolist() == [value, 0], name
    assert systems["sigma_v_known"].tolist() == [1, 0]
    assert systems["anisotropy"].tolist() == [1.5, 0]
    assert systems["anisotropy_known"].tolist() == [1, 0]
    assert images["flux"].tolist() == [30, 12, 0, 0]
    assert images["flux_error"].tolist() == [3, 2, 0, 0]
    assert images["flux_known"].tolist() == [1, 1, 0, 0]


def test_orbits_that_are_not_stated_are_unknown():
    systems = parse(FULL.replace(STARS, "250,15,1.8,0.75,0.6,"))["systems"]
    assert systems["sigma_v_known"].tolist() == [1]
    assert systems["anisotropy_known"].tolist() == [0]


def test_a_table_without_stars_and_fluxes_has_no_columns_of_them():
    empty = FULL.replace(STARS, ",,,,,").replace("30,3", ",").replace("12,2", ",")
    tables, plain = parse(empty), parse(DOUBLE.replace("0.003,0,", "0.003,,"))
    for table, columns in plain.items():
        assert tables[table].keys() == columns.keys()
        for name, values in columns.items():
            assert tables[table][name].tolist() == values.tolist(), name
    assert not {"sigma_v", "flux"} & {*plain["systems"], *plain["images"]}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (STARS, "250,,1.8,,0.6,", "has sigma_v, r_eff, seeing but not sigma_v_error, aperture"),
        (STARS, ",,1.8,,,", "has r_eff but not sigma_v, sigma_v_error, aperture, seeing"),
        (STARS, ",,,,,1.5", "line 2, column 'anisotropy': 1.5 without a sigma_v; give sigma_v,"),
        ("250,15", "250000,15", "line 2, column 'sigma_v': 250000 (permitted: 10 ... 1000 km / s)"),
        ("250,15", "250,0", "line 2, column 'sigma_v_error': 0 (permitted: 1e-06 ... 1000 km / s)"),
        ("0.75,0.6", "0.75,0", "line 2, column 'seeing': 0 (permitted: 1e-06 ... 10 arcsec)"),
        ("0.6,1.5,", "0.6,0,", "line 2, column 'anisotropy': 0 (permitted: 0.1 ... 100); the rad"),
        ("30,3", "-30,3", "line 2, column 'flux': -30 (permitted: 1e-40 ... 1e+40); a flux is lin"),
        ("30,3", "30,", "line 2, column 'flux_error': empty; a flux needs a positive error"),
        ("12,2", "12,0", "line 3, column 'flux_error': 0 (permitted: 1e-40 ... 1e+40); an error"),
        ("12,2", ",2", "line 3, column 'flux': empty beside flux_error = 2; leave both empty"),
        ("12,2", ",", "line 2, column 'flux': the only one of 'mine', but a ratio needs two"),
        (",,,,,,,12", ",300,,,,,,12", "line 3, column 'sigma_v': 300.0 differs from the first row"),
    ],
)
def test_a_mistake_in_stars_or_fluxes_is_named_once(old, new, expected):
    message = refusal(FULL.replace(old, new))
    assert expected in message
    assert message.startswith("mine.csv refused, 1 problem:")


def test_fluxes_are_in_any_unit_but_one_and_no_magnitudes():
    def table(flux, error):
        unit = {"flux": flux, "flux_error": error, "sigma_v": "m / s", "sigma_v_error": "m / s"}
        names = FULL.split("\n")[0].split(",")
        datatype = "".join(
            f"# - {{name: {n}, {f'unit: {unit[n]}, ' if n in unit else ''}datatype: string}}\n"
            for n in names
        )
        end = "# delimiter: ','\n# schema: astropy-2.0\n"
        rows = FULL.replace("250,15", "250000,15000")
        return f"# %ECSV 1.0\n# ---\n# datatype:\n{datatype}{end}{rows}"

    tables = parse(table("mJy", "mJy"))
    assert tables["images"]["flux"].tolist() == [30, 12]
    assert tables["systems"]["sigma_v"].tolist() == [250]
    assert "unit 'uJy' is not 'mJy', the unit of 'flux'" in refusal(table("mJy", "uJy"))
    assert "column 'flux': unit 'mag'; a flux is linear" in refusal(table("mag", "mag"))


def test_mistakes_of_every_kind_are_reported_together():
    text = FULL.replace("0.5,1.5,0", "0.5,0.3,0").replace("15,1.8", ",1.8").replace("12,2", "12,")
    message = refusal(text)
    assert message.startswith("mine.csv refused, 3 problems:")
    for part in ("'z_source': 0.3", "but not sigma_v_error", "line 3, column 'flux_error': empty"):
        assert part in message


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_lines():
    message = refusal(DOUBLE.replace("0.5,1.5", "0.5,0.3").replace("31.5,1.5", "31.5,"))
    assert message.startswith("mine.csv refused, 2 problems:")
    assert message.index("line 2") < message.index("line 3")


def test_order_that_the_delays_cannot_tell_is_left_to_the_user():
    # saddles after minima, although the measurement has them 1.7 sigma the other way round
    close = QUAD.replace("-1.1,0.1,0.003,,", "-1.1,0.1,0.003,15,1.5")
    assert parse(close)["images"]["delay"].tolist() == [0, 15, 12, 0]


def test_a_refused_table_leaves_no_file(tmp_path):
    (tmp_path / "bad.csv").write_text(DOUBLE.replace("0.5,1.5", "0.5,0.3"))
    with pytest.raises(ValueError, match=r"bad\.csv refused, 1 problem"):
        ingest(tmp_path / "bad.csv", tmp_path / "dataset.h5", "bad", "time_delay")
    assert not (tmp_path / "dataset.h5").exists()


def test_text_that_is_not_utf8_is_refused_by_name(tmp_path):
    (tmp_path / "bad.csv").write_bytes(b"name,\xff\n")
    with pytest.raises(ValueError, match=r"bad\.csv refused, 1 problem:\n  it is not UTF-8 text"):
        ingest(tmp_path / "bad.csv", tmp_path / "dataset.h5", "bad", "time_delay")


@pytest.fixture(scope="module")
def guide() -> str:
    return (Path(__file__).parents[5] / "docs/own_lens.md").read_text()


def test_the_example_of_the_guide_is_accepted(guide):
    table = re.search(r"```csv\n(.*?)```", guide, re.DOTALL)[1]
    images = parse(table)["images"]
    assert images["delay"].tolist() == [0, 0, 6.3, 18.7]
    assert images["delay_measured"].tolist() == [1, 0, 1, 1]


def test_the_refusal_in_the_guide_is_what_the_program_says(guide):
    table = re.search(r"```csv\n(.*?)```", guide, re.DOTALL)[1]
    shown = re.search(r"```\n(my_lens.csv refused.*?)\n```", guide, re.DOTALL)[1]
    with pytest.raises(ValueError) as error:
        parse(table.replace("0.45,1.80", "0.45,0.3").replace("6.3,1.0", "6.3,"), "my_lens.csv")
    assert str(error.value) == shown


CASES = Path(__file__).parents[2] / "shared/cases/quasars_text/in"
SAID = {
    "semicolon.csv": "1 problem:\n  line 1: the columns are separated by semicolons",
    "nan_cells.csv": "line 2, column 'delay': nan (permitted: -10000 ... 10000 day); leave",
    "nan.ecsv": "line 14, column 'delay': nan (permitted: -10000 ... 10000 day); leave",
    "hash_header.csv": "1 problem:\n  line 1: the names of the columns stand behind a '#'",
}


@pytest.mark.skipif(not CASES.is_dir(), reason=f"no reduced inputs at {CASES}")
def test_tables_of_other_programs_are_read_or_refused_by_their_cause(tmp_path):
    for path in sorted(CASES.iterdir()):
        if path.name in SAID:
            with pytest.raises(ValueError) as error:
                ingest(path, tmp_path / "dataset.h5")
            assert SAID[path.name] in str(error.value)
        else:
            ingest(path, tmp_path / "dataset.h5")
            images = store.read(tmp_path / "dataset.h5", "images")
            assert images["x"] == pytest.approx([0.973002, -0.544929], abs=1e-6), path.name


def test_a_reason_of_nan_does_not_make_a_system_complex():
    text = DOUBLE.replace("delay_error\n", "delay_error,complex\n")
    text = text.replace("0,\n", "0,,nan\n").replace("1.5\n", "1.5,\n")
    assert "line 2, column 'complex': nan (text); leave the cell empty" in refusal(text)
