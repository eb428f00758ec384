"""A lens of one's own: from a user's table to draws, a verdict, a text and figures."""

import json

import numpy as np
import pytest
from astropy.table import Table
from matplotlib.colors import to_hex

from lensmill import experiments, plotting
from lensmill.experiments.time_delay import hubble, lens, verdicts
from lensmill.experiments.time_delay import settings as lookups
from lensmill.inference.point_images import distance_prior, log_marginal
from lensmill.pipeline import settings, store

PRIOR = settings.population(experiments.defaults("time_delay"), "survey")["prior"]
H0 = ["uniform", 50.0, 100.0]
HEADER = "name,z_lens,z_source,lens_x,lens_y,lens_error,x,y,position_error,delay,delay_error"
QUAD = """\
quad A,0.45,1.80,0.0,0.0,0.01,-0.526,1.004,0.003,,
quad A,,,,,,1.010,-0.518,0.003,,
quad A,,,,,,0.812,0.642,0.003,6.3,1.0
quad A,,,,,,-0.621,-0.619,0.003,18.7,0.9
"""
DOUBLE = """\
double/B,0.5,2.0,0.0,0.0,0.02,1.3,0.1,0.005,,
double/B,,,,,,-0.7,0.05,0.005,40.0,2.0
"""
TRIPLE = """\
triple,0.5,2.0,,,,1.3,0.1,0.005,,
triple,,,,,,-0.7,0.05,0.005,20.0,2.0
triple,,,,,,0.1,0.8,0.005,40.0,2.0
"""
# ten times as large as any lens of the prior
HUGE = """\
huge,0.45,1.80,0.0,0.0,0.01,-5.26,10.04,0.003,,
huge,,,,,,10.10,-5.18,0.003,,
huge,,,,,,8.12,6.42,0.003,6.3,1.0
huge,,,,,,-6.21,-6.19,0.003,18.7,0.9
"""


def calibration(**changes):
    """Return what mocks might have said of the tests."""
    whole = {
        "mocks": 100,
        "threshold": 0.004,
        "false_alarms": 0.01,
        "power": 0.8,
        "edge": 0.5,
        "outside": 1.0,
        "at_edge": 0.01,
        "beyond": 0.0,
        "prior_power": 0.5,
        "errors": {
            "position_error": [0.001, 0.02],
            "delay_error": [0.3, 10.0],
            "delay_error_fraction": [0.01, 1.0],
            "lens_error": [0.001, 0.03],
        },
    }
    return verdicts.Calibration(**whole | changes)


@pytest.fixture
def infer(tmp_path):
    """Return a function that infers the systems of a table: the rows, the text and the folder."""

    def run(table, ess=100):
        source = tmp_path / "my lenses.csv"
        source.write_text(table)
        family = tmp_path / "family.json"
        images = {"2": calibration(power=0.05)._asdict(), "4": calibration()._asdict()}
        family.write_text(json.dumps({"images": images}))
        files = [
            str(tmp_path / name) for name in ("posterior.h5", "lens.ecsv", "lens.txt", "corner")
        ]
        chosen = {"ess": ess, "draws": 300}
        lens.infer_lens(str(source), str(family), *files, PRIOR, H0, chosen, seed=1)
        rows = Table.read(files[1], format="ascii.ecsv")
        return rows, (tmp_path / "lens.txt").read_text(), tmp_path

    return run


def test_every_system_of_a_table_has_its_row_its_figure_and_its_words(infer):
    rows, text, folder = infer(f"{HEADER}\n{QUAD}{DOUBLE}{TRIPLE}{HUGE}")
    assert list(rows["name"]) == ["quad A", "double/B", "triple", "huge"]
    assert list(rows["verdict"]) == [
        verdicts.INSIDE,
        verdicts.UNTESTABLE,
        verdicts.NOT_JUDGED,
        verdicts.OUTSIDE,
    ]
    for row in rows:
        assert f"{row['name']}, {row['n_images']} images: {row['verdict'].upper()}" in text
    quad = rows[0]
    assert quad["d_dt_low95"] < quad["d_dt_low68"] < quad["d_dt"] < quad["d_dt_high68"]
    assert 50 < quad["h0_low68"] < quad["h0"] < quad["h0_high68"] < 100
    assert rows["d_dt"].unit == "Mpc"
    assert np.ma.is_masked(rows["d_dt"][2]) and np.ma.is_masked(rows["d_dt"][3])
    assert "no lens of the family makes these images" in rows["sampling"][3]

    names = sorted(path.name for path in (folder / "corner").iterdir())
    assert names == ["double_B.pdf", "double_B.png", "quad_A.pdf", "quad_A.png"]

    stored = store.read(folder / "posterior.h5", "systems")
    by_name = dict(zip(stored["name"], stored["n_draws"], strict=True))
    assert by_name == {"quad A": 300, "double/B": 300, "huge": 0}


def test_a_table_without_a_system_that_can_be_judged_says_so(infer):
    rows, text, folder = infer(f"{HEADER}\n{TRIPLE}")
    assert list(rows["verdict"]) == [verdicts.NOT_JUDGED]
    assert list((folder / "corner").iterdir()) == []
    assert "two or four images" in text.lower()


def test_two_images_that_every_lens_makes_further_ones_of_are_no_double(infer):
    rows, _, _ = infer(f"{HEADER}\n{DOUBLE.replace('-0.7,0.05', '1.1,0.6')}")
    assert list(rows["verdict"]) == [verdicts.OUTSIDE]
    assert "none" in rows["sampling"][0]


def test_a_table_is_refused_with_all_its_mistakes(infer):
    reversed_order = QUAD.replace("6.3,1.0", "36.3,1.0")
    swapped = DOUBLE.replace("0.5,2.0,", "2.0,0.5,", 1)
    unknown = TRIPLE.replace("40.0,2.0", "nan,2.0")
    with pytest.raises(ValueError, match="refused, 3 problems") as refused:
        infer(f"{HEADER}\n{reversed_order}{swapped}{unknown}")
    for said in ("line 5, column 'delay': 18.7 d is before line 4", "swapped?", "line 10"):
        assert said in str(refused.value)


def test_errors_that_no_mock_has_are_named(infer):
    rows, text, _ = infer(f"{HEADER}\n{QUAD.replace('0.003', '0.0001')}")
    assert "position_error 0.0001, of the mocks 0.001 to 0.02 arcsec" in rows["beyond"][0]
    assert rows["beyond"][0] in text


def test_velocity_dispersion_and_fluxes_take_part(infer):
    # the same lens, with stars much faster than its median lens has
    stars = "sigma_v,sigma_v_error,r_eff,aperture,seeing"
    lines = QUAD.splitlines()
    plain = infer(f"{HEADER}\n{QUAD}", ess=400)[0][0]
    fast = [f"{lines[0]},330,15,0.8,1.0,0.7", *(f"{line},,,,," for line in lines[1:])]
    fast = infer("\n".join([f"{HEADER},{stars}", *fast]), ess=400)[0][0]
    assert fast["slope"] > plain["slope"] + 0.05

    fluxes = [1.0, 0.9, 0.5, 0.4]
    bright = [f"{line},{flux},0.01" for line, flux in zip(lines, fluxes, strict=True)]
    bright = infer("\n".join([f"{HEADER},flux,flux_error", *bright]))[0][0]
    assert bright["p_value"] < plain["p_value"]


def test_h0_from_draws_is_that_of_the_integral():
    z_lens, z_source, n = 0.5, 1.8, 20_000
    rng = np.random.default_rng(3)
    wide = distance_prior(z_lens, z_source, PRIOR["h0"], PRIOR["omega_m"])
    d_dt, error = rng.normal(3000, 250, n), np.full(n, 120.0)
    draws = {name: np.zeros(n) for name in ("ellipticity_1", "ellipticity_2", "gamma1", "gamma2")}
    draws |= {name: np.zeros(n) for name in ("theta_e", "slope", "kappa_ext", "mode", "ln_d_dt")}
    ln_marginal = np.array([log_marginal(d, e, *wide) for d, e in zip(d_dt, error, strict=True)])
    # draws of the posterior: the lens's distances times what the wide prior says of each
    keep = rng.random(n) < np.exp(ln_marginal - ln_marginal.max())
    draws |= {"d_dt": d_dt, "d_dt_error": error, "ln_marginal": ln_marginal}
    draws = {name: column[keep] for name, column in draws.items()}

    prior = {"h0": H0, "omega_m": PRIOR["omega_m"]}
    answer, left = lens.under_prior_of_h0(draws, z_lens, z_source, prior, rng)
    assert 0.3 * keep.sum() < left <= keep.sum()
    one = hubble.Draws(draws["d_dt"], draws["d_dt_error"], draws["ln_marginal"])
    systems = {"z_lens": [z_lens], "z_source": [z_source]}
    h0, cumulative = hubble.hubble_posterior([one], systems, {}, prior)
    for quantile in (0.05, 0.16, 0.5, 0.84, 0.95):
        expected = np.interp(quantile, cumulative, h0)
        assert np.quantile(answer["h0"], quantile) == pytest.approx(expected, abs=0.4)


def two_modes(n=2000):
    """Draws of a posterior with two modes, one draw in four in the second; kappa_ext fixed."""
    rng = np.random.default_rng(0)
    mode = (np.arange(n) % 4 == 3).astype(int)
    draws = {name: rng.normal(1 + mode, 0.1) for name in lens.LABELS}
    return draws | {"kappa_ext": np.zeros(n), "mode": mode}


def test_each_mode_has_its_colour_and_its_weight(tmp_path):
    made = []

    def plot():
        made.append(lens.plot_corner({"name": "a", "verdict": "b"}, two_modes(), H0))
        made.append(made[0].axes[0].get_position().x0)
        return made[0]

    plotting.save(plot, {}, [str(tmp_path / "a.pdf"), str(tmp_path / "a.png")])
    figure, left = made
    size = len(lens.LABELS) - 1  # the axis of a fixed parameter would be empty
    assert len(figure.axes) == size**2
    first = figure.axes[0].patches
    assert [to_hex(p.get_edgecolor()).upper() for p in first] == [plotting.BLUE, plotting.VERMILION]
    heights = [p.get_xy()[:, 1].sum() for p in first]
    assert heights[0] / heights[1] == pytest.approx(3, rel=0.05)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "75% of the draws",
        "25% of the draws",
    ]
    assert figure.axes[0].get_position().x0 == left  # both files show the same figure


@pytest.mark.parametrize(
    ("quantiles", "written"),
    [
        ((60.2, 71.26, 83.1), ("71", "12", "11")),
        ((0.0432, 0.0512, 0.0633), ("0.0512", "0.0121", "0.0080")),
        ((1.0, 1.0, 1.0), ("1.000", "0.000", "0.000")),
    ],
)
def test_numbers_have_two_digits_of_their_error(quantiles, written):
    assert lens.rounded(*quantiles) == written


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("my lens.csv", "my_lens"),
        ("../a b/J0001+0001.ecsv", "J0001+0001"),
        ("lens.csv.gz", "lens"),
        (".csv", "csv"),
    ],
)
def test_results_are_called_after_the_table(table, name):
    assert lookups.name_of_lens(table) == name


def test_systems_whose_names_are_one_file_have_two_figures(tmp_path):
    draws = two_modes()
    systems = [lens.System({"name": n, "verdict": ""}, draws) for n in ("a b", "A_b")]
    lens.draw_figures(systems, tmp_path, H0)
    assert sorted(p.name for p in tmp_path.glob("*.png")) == ["A_b_2.png", "a_b.png"]
