"""Images of real lenses, and what is published of some of them."""

import numpy as np
import pytest
from astropy.io import fits

from lensmill import experiments
from lensmill.experiments.lens_parameters import check, ingest, parameters
from lensmill.experiments.lens_parameters.parameters import PARAMETERS
from lensmill.pipeline import store

OBSERVATION = {"pixel_scale": 0.2, "size": 32, "bands": {"i": {}}}


def write_survey(folder, table):
    """Write two images of a blob and a table that names them."""
    for number, name in enumerate(("one", "two")):
        rng = np.random.default_rng(number)
        y, x = np.indices((32, 32)) - 15.5
        pixels = 20 * np.exp(-(x**2 + y**2) / 30) + rng.normal(size=(32, 32))
        header = fits.Header([("PIXSCALE", 0.2)])
        fits.PrimaryHDU(pixels.astype(np.float32), header).writeto(folder / f"{name}.fits")
    path = folder / "lenses.csv"
    path.write_text(table)
    return path


def ingested(path, folder):
    chosen = {"ingest": "", "format": "table", "observation": "lsst_i"}
    whole = experiments.population_settings("lens_parameters", chosen)
    whole["observation"] = OBSERVATION
    output = str(folder / "dataset.h5")
    ingest.ingest(str(path), output, "mine", "lens_parameters", whole)
    return output, whole


TABLE = """\
name,i,theta_e,q,phi,slope,gamma1,gamma2,lens_x,lens_y,source_x,source_y
full,one.fits,1.1,0.8,0.5,2.05,0.01,-0.02,0.0,0.1,0.2,-0.1
half,two.fits,0.9,,,,0.03,,,,,
"""


def test_what_is_published_is_known_and_the_rest_is_not(tmp_path):
    output, chosen = ingested(write_survey(tmp_path, TABLE), tmp_path)
    systems = store.read(output, "systems")
    truth = parameters.from_systems(systems)
    e = 0.2 * np.array([np.cos(1.0), np.sin(1.0)])
    assert truth[0] == pytest.approx([1.1, *e, 2.05, 0.01, -0.02, 0.0, 0.1, 0.2, -0.1])
    known = [name for name, x in zip(PARAMETERS, truth[1], strict=True) if np.isfinite(x)]
    assert known == ["theta_e", "gamma1"]
    # an unknown value is a number beside its flag: no data set has NaN
    assert systems["slope"].tolist() == [2.05, 0.0] and systems["slope_known"].tolist() == [1, 0]
    assert store.pixels(output).shape == (2, 32, 32, 1)
    report = check.check(output, chosen)
    assert [c for c in report["checks"] if c["passed"] is False] == []


def test_images_of_which_nothing_is_published_can_be_measured_too(tmp_path):
    table = "name,i\nfull,one.fits\nhalf,two.fits\n"
    output, _ = ingested(write_survey(tmp_path, table), tmp_path)
    assert np.isnan(parameters.from_systems(store.read(output, "systems"))).all()


def test_a_published_value_that_is_no_number_is_refused_with_its_file(tmp_path):
    path = write_survey(tmp_path, TABLE.replace("0.9,,", "wide,,"))
    output, _ = ingested(path, tmp_path)
    refused = store.read(output, "refused")
    assert len(refused["file"]) == 1 and "two.fits" in refused["file"][0]
    assert "theta_e" in refused["reason"][0]
