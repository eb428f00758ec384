"""Images of an experiment that asks for numbers and not for labels."""

import numpy as np
import pytest
from astropy.table import Table
from ingested import complete
from test_cutouts import OBSERVATION, galaxy, write

from lensmill.cutouts import checks
from lensmill.cutouts import ingest as cutouts
from lensmill.pipeline import store

COLUMNS = {"theta_e": "arcsec", "q": "", "gamma1": ""}
ROWS = """\
name,VIS,theta_e,label,z
a,0.fits,1.25,yes,0.5
b,1.fits,,no,0.6
c,2.fits,1.1?,no,0.7
d,3.fits,"1,3",no,0.8
e,4.fits,1e999,no,0.9
f,5.fits,nan,no,1.0
"""


def settings(**given):
    """Return settings as an experiment has them whose schema knows no label."""
    whole = complete({"observation": OBSERVATION, "format": "table", **given})
    del whole["label"], whole["labels"]
    return whole


@pytest.fixture
def survey(tmp_path):
    for i in range(6):
        write(tmp_path / f"{i}.fits", galaxy(i))
    (tmp_path / "mine.csv").write_text(ROWS)
    return tmp_path


def ingest(source, folder, columns=COLUMNS, **given):
    output = folder / "dataset.h5"
    cutouts.ingest(source, output, "mine", "other", settings(**given), columns)
    refused = store.read(output, "refused")
    return output, dict(zip(refused["file"], refused["reason"], strict=True))


def test_what_is_known_of_a_system_is_a_number_and_a_flag(survey):
    output, refused = ingest(survey / "mine.csv", survey)
    systems = store.read(output, "systems")
    assert systems["name"].tolist() == ["a", "b", "f"]
    assert systems["theta_e"].tolist() == [1.25, 0.0, 0.0]
    assert systems["theta_e_known"].tolist() == [1, 0, 0]
    # the table has no such columns: nothing is known of them
    for name in ("q", "gamma1"):
        assert systems[name].dtype == np.float64
        assert not systems[name].any() and not systems[f"{name}_known"].any()
    assert store.units(output)["systems"]["theta_e"] == "arcsec"
    assert refused == {
        "2.fits": "its theta_e is no number: '1.1?'",
        "3.fits": "its theta_e is no number: '1,3'; write decimals with a point and thousands "
        "without a mark (1234.5)",
        "4.fits": "its theta_e is no number: '1e999'",
    }


def test_there_is_no_word_of_labels(survey):
    output, _ = ingest(survey / "mine.csv", survey)
    systems = store.read(output, "systems")
    assert not {"is_lens", "label_known", "kind"} & {*systems}
    assert systems["label"].tolist() == ["yes", "no", "no"]  # a column like any other
    assert systems["z"].tolist() == [0.5, 0.6, 1.0]


def test_a_folder_needs_neither_table_nor_label(survey):
    (survey / "mine.csv").unlink()
    output, refused = ingest(survey, survey, format="classes")
    systems = store.read(output, "systems")
    assert len(systems["index"]) == 6 and not refused
    assert not systems["theta_e_known"].any()


def test_a_table_in_another_unit_is_refused(survey):
    table = Table({"name": ["a"], "VIS": ["0.fits"], "theta_e": [1250.0]})
    table["theta_e"].unit = "mas"
    table.write(survey / "mine.ecsv")
    with pytest.raises(ValueError, match="column 'theta_e' is in 'mas', but has to be in 'arcsec'"):
        ingest(survey / "mine.ecsv", survey)


def test_their_checks_are_about_images_alone(survey):
    output, _ = ingest(survey / "mine.csv", survey)
    report = checks.check(str(output), settings(ingest="mine.csv"))
    assert [c["sentence"] for c in report["checks"] if c["passed"] is False] == []
    names = {c["name"] for c in report["checks"]}
    assert "no duplicates" in names
    assert not {"one label per image", "class balance", "labels not shifted"} & names


def test_copies_are_found_without_labels(survey):
    (survey / "copy.fits").write_bytes((survey / "0.fits").read_bytes())
    (survey / "mine.csv").write_text(ROWS + "g,copy.fits,1.0,no,1.1\n")
    output, _ = ingest(survey / "mine.csv", survey)
    report = checks.check(str(output), settings(ingest="mine.csv"))
    assert [c["name"] for c in report["checks"] if c["passed"] is False] == ["no duplicates"]
