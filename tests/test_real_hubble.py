"""From distances to Hubble constants."""

import json

import numpy as np
import pandas as pd
import pytest
from astropy.cosmology import FlatLambdaCDM
from astropy.table import Table
from scipy.special import ndtri

from lensmill.experiments.time_delay import evaluate, hubble, predictive
from lensmill.pipeline import store
from lensmill.pipeline.ingest import ingest

FIXED = {"h0": ["uniform", 50.0, 100.0], "omega_m": ["fixed", 0.3]}
REDSHIFTS = [(0.3, 1.2), (0.6, 2.0), (0.5, 1.5), (0.7, 2.5)]


def d_dt(z_lens: float, z_source: float, h0: float = 73.0) -> float:
    """Time-delay distance [Mpc] by astropy."""
    cosmology = FlatLambdaCDM(H0=h0, Om0=0.3, Tcmb0=0)
    d_l, d_s = (cosmology.angular_diameter_distance(z) for z in (z_lens, z_source))
    d_ls = cosmology.angular_diameter_distance_z1z2(z_lens, z_source)
    return float(((1 + z_lens) * d_l * d_s / d_ls).to_value("Mpc"))


def posteriors(width: float, h0: float = 73.0) -> list[np.ndarray]:
    """Return samples of ln D_dt about the truth, as quantiles of a normal distribution."""
    fine = ndtri((np.arange(400) + 0.5) / 400)
    return [np.log(d_dt(*z, h0)) + width * fine for z in REDSHIFTS]


def systems(**known) -> dict[str, np.ndarray]:
    n = len(REDSHIFTS)
    z_lens, z_source = np.array(REDSHIFTS).T
    empty = {"h0": np.zeros(n), "h0_known": np.zeros(n), "d_dt": np.zeros(n)}
    return {"z_lens": z_lens, "z_source": z_source, **empty, "n_images": np.full(n, 4), **known}


def test_a_distance_of_a_known_universe_gives_its_hubble_constant():
    for z in REDSHIFTS:
        h0 = hubble.hubble_samples(np.log([d_dt(*z, 67.0)]), *z, FIXED["omega_m"])
        assert h0 == pytest.approx([67.0], rel=1e-3)


def test_a_larger_universe_expands_more_slowly():
    near, far = hubble.hubble_samples(np.log([2000.0, 4000.0]), 0.5, 1.5, FIXED["omega_m"])
    assert near / far == pytest.approx(2)


def test_an_unknown_matter_density_widens_hubble_a_little():
    ln_d_dt = np.full(500, np.log(d_dt(0.5, 1.5)))
    h0 = hubble.hubble_samples(ln_d_dt, 0.5, 1.5, ["uniform", 0.2, 0.4])
    assert h0.mean() == pytest.approx(73.0, rel=0.01)
    assert 0.002 < h0.std() / h0.mean() < 0.03


def test_four_systems_halve_the_error_and_keep_the_truth():
    samples = posteriors(0.1)
    one = hubble.combine(samples[:1], {c: v[:1] for c, v in systems().items()}, FIXED)
    four = hubble.combine(samples, systems(), FIXED)
    assert four["h0"] == pytest.approx(73.0, abs=1.5)
    width = [r["h0_high68"] - r["h0_low68"] for r in (one, four)]
    assert width[0] / width[1] == pytest.approx(2, abs=0.3)


def test_where_the_truth_is_known_the_ratio_is_reported():
    truth = {
        "h0": np.full(4, 73.0),
        "h0_known": np.ones(4),
        "d_dt": np.array([d_dt(*z) for z in REDSHIFTS]),
    }
    combined = hubble.combine(posteriors(0.05), systems(**truth), FIXED)
    assert combined["h0_over_truth"] == pytest.approx(1.0, abs=0.02)


def test_nothing_to_combine_is_said_and_not_hidden():
    nothing = {c: v[:0] for c, v in systems().items()}
    assert set(hubble.combine([], nothing, FIXED).values()) == {None}


def test_distances_too_large_are_a_hubble_constant_too_small():
    truth = np.array([d_dt(*z) for z in REDSHIFTS])
    samples = [s + 0.1 for s in posteriors(0.05)]
    result = hubble.accuracy(samples, systems(d_dt=truth))
    assert result["all"]["bias"] == pytest.approx(-0.1, abs=1e-3)
    assert result["4_images"]["coverage68"] == 0


TABLE = """name,z_lens,z_source,x,y,position_error,delay,delay_error,d_dt,d_dt_minus,d_dt_plus,\
complex
near,0.3,1.2,1.0,0.1,0.003,0,,{near},100,100,
near,,,-0.7,0.1,0.003,30,1,,,,
far,0.6,2.0,1.0,0.1,0.003,0,,,,,in a cluster
far,,,-0.7,0.1,0.003,60,1,,,,
"""


def test_the_table_sets_networks_beside_publications(tmp_path):
    paths = {n: str(tmp_path / n) for n in ("data.h5", "family", "pred.h5", "table", "summary")}
    (tmp_path / "mine.csv").write_text(TABLE.format(near=d_dt(0.3, 1.2)))
    ingest(tmp_path / "mine.csv", paths["data.h5"], "mine", "time_delay")
    verdicts = {
        "name": np.array(["near", "far"]),
        "verdict": np.array([predictive.UNTESTABLE, predictive.OUTSIDE]),
        **{c: np.full(2, np.nan) for c in ("p_value", "power", "fit_d_dt", "fit_error", "fit_h0")},
    }
    predictive.write_table(paths["family"], verdicts, {}, {})

    rng = np.random.default_rng(2)
    truth = np.log([d_dt(0.3, 1.2), d_dt(0.6, 2.0)])
    columns = {
        "ln_d_dt": truth[:, None] + rng.normal(0.1, 0.05, (2, 2000)),
        **{c: rng.normal(1, 0.1, (4, 2000)) for c in ("potential", "deflection_x", "deflection_y")},
    }
    tables = {"systems": {"index": np.array([0, 1]), "n_images": np.array([2, 2])}}
    with store.create(paths["pred.h5"]) as file:
        for table, values in {**tables, "samples": columns}.items():
            for name, column in values.items():
                store.add_column(file, table, name, [column], evaluate.UNITS[table][name])

    hubble.infer_hubble(
        paths["data.h5"],
        paths["family"],
        [paths["pred.h5"]],
        paths["table"],
        paths["summary"],
        FIXED,
    )
    table = Table.read(paths["table"], format="ascii.ecsv")
    assert table["name"].tolist() == ["near", "far"]
    assert table["d_dt"].unit == "Mpc"
    assert table["h0"][0] == pytest.approx(73 * np.exp(-0.1), rel=0.01)
    expected = 0.1 / np.hypot(0.05, 100 / d_dt(0.3, 1.2))
    assert table["difference_sigma"][0] == pytest.approx(expected, rel=0.05)
    assert table["difference_sigma"].mask.tolist() == [False, True]
    combined = json.loads((tmp_path / "summary").read_text())["combined"]
    assert combined["all"]["systems"] == ["near", "far"]
    assert combined["without_complex_and_outside"]["systems"] == ["near"]


def test_predictions_for_other_systems_are_refused(tmp_path):
    (tmp_path / "mine.csv").write_text(TABLE.format(near=2000))
    ingest(tmp_path / "mine.csv", tmp_path / "data.h5", "mine", "time_delay")
    tables = {
        "systems": {"index": np.array([0, 5]), "n_images": np.array([2, 2])},
        "samples": {"ln_d_dt": np.zeros((2, 3))},
    }
    store.write(tmp_path / "pred.h5", tables, evaluate.UNITS, {})
    with pytest.raises(ValueError, match="is not about the systems of"):
        hubble.read_posteriors(str(tmp_path / "pred.h5"), str(tmp_path / "data.h5"))


def test_what_a_table_does_not_know_is_masked_for_astropy_and_missing_for_pandas(tmp_path):
    columns = {
        "name": np.array(["000120", "b"]),
        "complex": np.array(["", "a cluster"]),
        "h0": np.array([np.nan, 73.0]),
        "n_images": np.array([2, 4]),
    }
    path = tmp_path / "systems.ecsv"
    predictive.write_table(path, columns, {"h0": "km / (Mpc s)"}, {"includes": "noise"})
    table = Table.read(path, format="ascii.ecsv")
    assert table["name"].tolist() == ["000120", "b"]
    assert np.ma.is_masked(table["h0"][0])
    assert table["h0"][1] == 73.0
    assert table["n_images"].tolist() == [2, 4]
    assert pd.read_csv(path, comment="#")["h0"].isna().tolist() == [True, False]
