"""Template fits against kcorrect and scipy: the same galaxies, one core.

Real galaxies, the 10,000 of the SDSS main sample in kcorrect's wheel: ugriz, corrected for
extinction, with kcorrect's floors of the errors. First their coefficients at known redshift, with
kcorrect's five templates, by ours and by kcorrect's own fit, which both get the fluxes of the
templates on one grid of redshift; the making of that grid is timed too. Then chi2 on a grid of
redshift, with the eight templates of CWW and SB, by ours and by `scipy.optimize.nnls`. Results are
compared first. The codes take turns within one run; given is the median over the repeats, in
processor time of the process, so that other work on the machine counts little. Run as
``python benchmarks/galaxies.py [--json PATH]``.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"})
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import numpy as np
from astropy.table import Table
from kcorrect.kcorrect import KcorrectSDSS
from kcorrect.utils import error_floor, sdss_ab_correct
from numpy.typing import NDArray
from scipy.optimize import nnls

from lensmill.galaxies import filters, fits, maggies, packages, templates

BANDS = [f"sdss_{band}" for band in "ugriz"]
FLOOR = [0.05, 0.02, 0.02, 0.02, 0.03]  # of kcorrect's own calibration of SDSS
FARTHEST = 0.6
REDSHIFTS = np.linspace(0.0, FARTHEST, 241)  # of the template fits: 0.0025 apart
# galaxies / s
AIMS = {"coefficients": 20_000, "redshifts": 1_500}


def read() -> tuple[NDArray, NDArray, NDArray]:
    """Fluxes and errors [AB maggies] and redshifts of the galaxies with five fluxes."""
    path = packages.folder("kcorrect") / "data/test/gst_tests_small.fits"
    table = Table.read(path)
    bright = 10 ** (0.4 * np.asarray(table["EXTINCTION"], float))
    flux = 1e-9 * np.asarray(table["MODELFLUX"], float) * bright
    ivar = 1e18 * np.asarray(table["MODELFLUX_IVAR"], float) / bright**2
    flux, ivar = sdss_ab_correct(maggies=flux, ivar=ivar)
    ivar = error_floor(floor=FLOOR, maggies=flux, ivar=ivar).astype(float)
    redshift = np.asarray(table["Z"], float)
    good = (ivar > 0).all(axis=1) & (redshift > 0.003) & (redshift < FARTHEST)
    return flux[good].astype(float), 1 / np.sqrt(ivar[good]), redshift[good]


def rate(run: Callable[[], object], galaxies: int) -> float:
    """Galaxies per second of processor time."""
    start = time.process_time()
    run()
    return galaxies / (time.process_time() - start)


def take_turns(ours: Callable, theirs: Callable, n: int, n_theirs: int, repeats: int) -> dict:
    """Time both, in turns."""
    pairs = [(rate(ours, n), rate(theirs, n_theirs)) for _ in range(repeats)]
    ratios = [a / b for a, b in pairs]
    mine, peer = np.median(pairs, axis=0)
    return {
        "lensmill": float(mine),
        "peer": float(peer),
        "ratio": float(np.median(ratios)),
        "ratio_range": [min(ratios), max(ratios)],
    }


def measure_coefficients(n_theirs: int, repeats: int, nodes: int) -> dict:
    """Coefficients at known redshift, against kcorrect's fit."""
    flux, error, redshift = read()
    observed = np.ones(flux.shape, bool)
    at = np.float32(np.linspace(0, FARTHEST, nodes))
    start = time.process_time()
    their = KcorrectSDSS(redshift_range=[0.0, FARTHEST], nredshift=nodes, abcorrect=False)
    theirs_set_up = time.process_time() - start
    maggies.model(templates.read("kcorrect"), BANDS, [0.0])  # compiles
    start = time.process_time()
    grid = maggies.grid(templates.read("kcorrect"), BANDS, at.astype(float))
    ours_set_up = time.process_time() - start
    gap = np.abs(grid.maggies.transpose(0, 2, 1) / their.Amatrix.y - 1).max()

    some = slice(0, n_theirs)
    ivar = 1 / error**2

    def run_ours() -> NDArray:
        return fits.coefficients(flux, error, observed, redshift, grid)

    def run_theirs() -> NDArray:
        return their.fit_coeffs(redshift=redshift[some], maggies=flux[some], ivar=ivar[some])

    mine, peers = run_ours()[some], run_theirs()
    chi2 = [
        (((fits.model(c, redshift[some], grid) - flux[some]) / error[some]) ** 2).sum(axis=1)
        for c in (mine, np.asarray(peers, float))
    ]
    return {
        "what": "coefficients",
        "galaxies": len(flux),
        "bands": len(BANDS),
        "templates": 5,
        "redshifts": nodes,
        **take_turns(run_ours, run_theirs, len(flux), n_theirs, repeats),
        "set_up": {"lensmill": ours_set_up, "peer": theirs_set_up},
        "model_difference": float(gap),
        # by how much ours is worse at worst; theirs is in single precision
        "chi2_excess": float((chi2[0] - chi2[1]).max()),
        "aim": AIMS["coefficients"],
    }


def measure_redshifts(n_theirs: int, repeats: int) -> dict:
    """Chi2 on the grid of redshift, against one call of scipy for each of its points."""
    flux, error, _ = read()
    observed = np.ones(flux.shape, bool)
    grid = maggies.grid(templates.read("cww_sb"), BANDS, REDSHIFTS)

    def run_ours() -> fits.Redshifts:
        return fits.redshifts(flux, error, observed, grid)

    def run_theirs() -> NDArray:
        chi2 = np.empty((n_theirs, REDSHIFTS.size))
        for i in range(n_theirs):
            data = flux[i] / error[i]
            for k in range(REDSHIFTS.size):
                columns = (grid.maggies[k] / error[i]).T
                # of length 1: scipy's own tolerance and limit of steps do not suit these units
                columns /= np.sqrt((columns**2).sum(axis=0))
                chi2[i, k] = nnls(columns, data, maxiter=100)[1] ** 2
        return chi2

    fits.redshifts(flux[:2], error[:2], observed[:2], grid)  # compiles
    mine, peers = run_ours(), run_theirs()
    best = peers.min(axis=1, keepdims=True) + fits.TIE
    theirs = REDSHIFTS[(peers <= best).argmax(axis=1)]
    apart = np.abs(mine.redshift[:n_theirs] - theirs) / (1 + theirs)
    return {
        "what": "redshifts",
        "galaxies": len(flux),
        "bands": len(BANDS),
        "templates": grid.maggies.shape[1],
        "redshifts": REDSHIFTS.size,
        **take_turns(run_ours, run_theirs, len(flux), n_theirs, repeats),
        "compared": n_theirs,
        "apart_by_more_than_0.001": int((apart > 1e-3).sum()),
        "chi2_difference": float(np.abs(mine.chi2[:n_theirs] - peers).max()),
        "aim": AIMS["redshifts"],
    }


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--peer-galaxies", type=int, default=1000, help="fitted by kcorrect, scipy")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=1000, help="redshifts of kcorrect's grid")
    options = parser.parse_args()
    print(f"{'galaxies per second, one core':40}{'lensmill':>12}{'peer':>10}{'ratio':>8}")
    rows = []
    for row, peer in (
        (measure_coefficients(options.peer_galaxies, options.repeats, options.nodes), "kcorrect"),
        (measure_redshifts(options.peer_galaxies, options.repeats), "scipy"),
    ):
        rows.append(row | {"peer_name": peer})
        verdict = "reached" if row["lensmill"] >= row["aim"] else "MISSED"
        label = f"{row['what']}, {row['templates']} templates, {row['bands']} bands"
        print(
            f"{label:40}{row['lensmill']:12,.0f}{row['peer']:10,.0f}{row['ratio']:8.0f}"
            f"   {peer}; aim {row['aim']:,}: {verdict}",
            flush=True,
        )
    first, second = rows
    print(
        f"fluxes of templates at {first['redshifts']} redshifts: "
        f"{first['set_up']['lensmill']:.2f} s, kcorrect {first['set_up']['peer']:.1f} s; "
        f"they differ by {first['model_difference']:.1e}"
    )
    print(f"chi2 above kcorrect's, at most: {first['chi2_excess']:.1e}")
    print(
        f"best of {second['redshifts']} redshifts apart by more than 0.001 (1 + z): "
        f"{second['apart_by_more_than_0.001']} of {second['compared']}; chi2 differs by "
        f"{second['chi2_difference']:.1e}"
    )
    if options.json:
        versions = {"machine": platform.machine(), "bands": [filters.BANDS[b][1] for b in BANDS]}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"measured": rows, **versions}, indent=1) + "\n")


if __name__ == "__main__":
    main()
