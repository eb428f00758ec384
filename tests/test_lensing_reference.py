"""The solver against four published or independent sets of solved lenses."""

import csv
import json

import numpy as np
import pytest

from lensmill.lensing.distances import distances, time_delay
from lensmill.lensing.profiles import deflection, potential
from lensmill.lensing.solver import MAXIMUM, solve


def solve_one(*system, **options):
    return solve(*(np.array([float(v)]) for v in system), **options)


def partners(images, x, y):
    """Row of the nearest image of each position, and how far it is [arcsec]."""
    apart = np.hypot(images.x[None] - np.reshape(x, (-1, 1)), images.y - np.reshape(y, (-1, 1)))
    return apart.argmin(axis=1), apart.min(axis=1)


def rows(path):
    with path.open() as file:
        return [
            {
                key: float(v)
                if v and key not in ("rung", "code", "delay_images", "sim_sample")
                else v
                for key, v in row.items()
            }
            for row in csv.DictReader(file)
        ]


def test_the_reference_systems_of_lenstronomy_are_reproduced(shared_data):
    text = (shared_data / "lenstronomy_reference" / "lenstronomy_reference.json").read_text()
    systems = json.loads(text)
    assert len(systems) == 54
    for s in systems:
        lens = (s["theta_E_circularised"], s["q"], s["pa_rad"], s["gamma"])
        lens += (s["shear_gamma1"], s["shear_gamma2"], 0.0)
        images = solve_one(*lens, s["src_x"], s["src_y"], min_magnification=1e-3)
        assert (images.image_type != MAXIMUM).sum() == s["n_img"]
        row, apart = partners(images, s["img_x"], s["img_y"])
        assert apart.max() < 1e-8
        assert sorted(row) == sorted(set(row))
        assert images.magnification[row] == pytest.approx(s["mu"], rel=1e-6)
        assert images.potential[row] == pytest.approx(s["potential"], abs=1e-8)
        assert images.deflection_x[row] == pytest.approx(s["alpha_x"], abs=1e-8)
        assert images.deflection_y[row] == pytest.approx(s["alpha_y"], abs=1e-8)
        delay = time_delay(s["D_dt_Mpc"], images.fermat[row] - images.fermat[row[0]])
        assert delay == pytest.approx(s["dt_days"], rel=1e-8, abs=1e-6)


def test_the_systems_of_pygravlens_are_reproduced(shared_data):
    from astropy.cosmology import Planck18

    text = (shared_data / "pygravlens_reference" / "pygravlens_shear_ellip.json").read_text()
    systems = json.loads(text)
    assert len(systems) == 20
    for s in systems:
        e = np.hypot(s["ellipc"], s["ellips"])
        q, phi = 1 - e, 0.5 * np.arctan2(s["ellips"], s["ellipc"])
        lens = (s["einrad"] / np.sqrt(q), q, phi, 2.0, s["gammc"], s["gamms"], 0.0)
        images = solve_one(*lens, s["betaOne"], s["betaTwo"])
        x, y = np.transpose(s["img"])
        assert images.n_images[0] == len(x)
        row, apart = partners(images, x, y)
        # their images solve the lens equation to 2e-8 arcsec
        assert (apart / np.maximum(np.abs(s["mu"]), 1)).max() < 1e-7
        assert images.magnification[row] == pytest.approx(s["mu"], rel=1e-4)
        alpha = deflection(x, y, *lens)
        assert np.transpose(alpha) == pytest.approx(np.array(s["deflec"]), abs=1e-13)
        assert potential(x, y, *lens) == pytest.approx(s["potent"], abs=1e-13)
        near, far = (Planck18.comoving_distance(s[z]).value for z in ("zLens", "zSrc"))
        ratio = round(near / far, 4)  # so rounded by pygravlens; delays move by up to 3e-4
        delay = time_delay(far * ratio / (1 - ratio), images.fermat[row] - images.fermat[row[0]])
        assert delay == pytest.approx(s["time_days"], rel=1e-6, abs=1e-5)


def test_the_lensed_quasars_of_oguri_and_marshall_are_reproduced(shared_data):
    systems = rows(shared_data / "om10_catalog_subset" / "om10_subset.csv")
    assert len(systems) == 1000
    columns = {key: np.array([s[key] or 0.0 for s in systems], float) for key in systems[0]}
    q = 1 - columns["ellip"]
    turn = np.radians(2 * columns["shear_pa_deg"])
    images = solve(
        columns["b_fit_arcsec"] / np.sqrt(q),
        q,
        np.radians(columns["pa_deg"] + 90),
        2.0,
        columns["shear"] * np.cos(turn),
        columns["shear"] * np.sin(turn),
        0.0,
        columns["src_x"],
        columns["src_y"],
    )
    *_, d_dt = distances(columns["z_lens"], columns["z_src"], 72.0, 0.26)
    assert (images.n_images == columns["n_img"]).mean() > 0.99
    offsets, delays = [], []
    for i, s in enumerate(systems):
        mine = slice(images.first_image[i], images.first_image[i] + images.n_images[i])
        n = int(s["n_img"])
        if images.n_images[i] != n:
            continue
        x, y, mu, dt = (
            np.array([s[f"{name}{k + 1}"] for k in range(n)])
            for name in ("x", "y", "mu", "dt_days")
        )
        apart = np.hypot(images.x[mine] - x[:, None], images.y[mine] - y[:, None])
        offsets.append((apart.min(axis=1) / np.maximum(np.abs(mu), 1)).max())
        tau = images.fermat[mine][apart.argmin(axis=1)]
        delay = time_delay(d_dt[i], tau - tau.min())
        delays.append(np.abs(delay / np.where(dt > 0, dt, np.inf) - (dt > 0)).max())
    # positions are given to 1e-4 arcsec; the README states the agreement of the closed form
    assert np.median(offsets) < 1e-4
    assert np.percentile(offsets, 99) < 2e-3
    assert np.median(delays) < 2e-4
    assert np.percentile(delays, 95) < 3e-3


def test_the_challenge_systems_are_reproduced(shared_data):
    systems = rows(shared_data / "tdlmc" / "tdlmc_truth_rung0_rung1.csv")
    assert len(systems) == 18
    for s in systems:
        letters = [c for c in "ABCD" if s[f"x_{c}"] != ""]
        x, y = (np.array([s[f"{axis}_{c}"] for c in letters]) for axis in "xy")
        lens = (s["lens_theta_E"], s["lens_q"], s["lens_phi_G"], s["lens_gamma"])
        lens += (s["shear_e1"], s["shear_e2"], 0.0)
        alpha_x, alpha_y = deflection(x, y, *lens)
        # the table is rounded to 1e-3
        assert np.abs(x - alpha_x - s["src_x"]).max() < 2.5e-3
        assert np.abs(y - alpha_y - s["src_y"]).max() < 2.5e-3
        images = solve_one(*lens, s["src_x"], s["src_y"], min_magnification=1e-2)
        row, apart = partners(images, x, y)
        assert len(set(row)) == len(letters)
        assert (apart / np.maximum(np.abs(images.magnification[row]), 1)).max() < 5e-3
        delay = time_delay(s["D_dt_Mpc"], images.fermat[row] - images.fermat[row[0]])
        expected = [s[f"dt_{c}A_days"] for c in letters]
        assert delay == pytest.approx(expected, abs=0.08)
        z_lens, z_source = s["z_lens"], s["z_src"]  # rounded to three decimals, so bracket them
        half = np.array([-5e-4, 5e-4])
        *_, d_dt = distances(z_lens + half, z_source - half, s["H0"], s["omega_m"])
        assert d_dt[0] * (1 - 1e-5) < s["D_dt_Mpc"] < d_dt[1] * (1 + 1e-5)
