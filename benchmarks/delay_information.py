"""The least error of D_dt that positions and delays of SIS + shear quads allow.

The Fisher information of theta_E, the shear, the source and ln D_dt from four positions and three
delays with Gaussian errors, system by system. The scatter that an efficient estimator would have on
the whole population is printed beside the one that the network reached. Linear in the errors and
with a Gaussian for the prior of H0, so a guide to what can be reached, not a proof.

    python benchmarks/delay_information.py [--population sis_shear_h0] [--network h0_quad]
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from scipy.special import ndtri

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from lensmill.learning import calibration  # noqa: E402
from lensmill.lensing.distances import time_delay  # noqa: E402
from lensmill.lensing.profiles import hessian  # noqa: E402
from lensmill.pipeline import store  # noqa: E402

POSITION_ERROR, DELAY_ERROR, DELAY_FRACTION = 0.003, 0.5, 0.01  # arcsec, days: `laboratory`
PRIOR_LN_D_DT = 0.2  # spread of H0 ~ U(50, 100)
LENS = ("theta_e", "q", "phi", "slope", "gamma1", "gamma2", "kappa_ext")
TEST = 2  # the part of the split that networks are judged by


def bound(dataset: str, split: str, stretch: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest error of ln D_dt of each test quad, and its longest delay [day].

    ``stretch`` multiplies all delays, as a larger D_dt would.
    """
    systems, images = store.read(dataset, "systems"), store.read(dataset, "images")
    chosen = (systems["n_images"] == 4) & (store.read(split, "systems")["split"] == TEST)
    rows = systems["first_image"][chosen][:, None] + np.arange(4)
    x, y = images["x"][rows], images["y"][rows]
    delay = images["delay"][rows][:, 1:] * stretch
    lens = {name: np.broadcast_to(systems[name][chosen][:, None], x.shape) for name in LENS}
    d_dt = systems["d_dt"][chosen][:, None, None] * stretch
    away_x = x - systems["source_x"][chosen][:, None]
    away_y = y - systems["source_y"][chosen][:, None]

    xx, yy, xy = hessian(x, y, **lens)
    jacobian = np.moveaxis(np.array([[1 - xx, -xy], [-xy, 1 - yy]]), (0, 1), (-2, -1))
    radius, zero = np.hypot(x, y), np.zeros_like(x)
    # derivatives by theta_E, gamma1, gamma2, beta_x, beta_y
    deflection = np.array([[x / radius, x, y, zero + 1, zero], [y / radius, -y, x, zero, zero + 1]])
    position = np.linalg.solve(jacobian, np.moveaxis(deflection, (0, 1), (-2, -1)))
    fermat = -np.stack([radius, (x * x - y * y) / 2, x * y, away_x, away_y], -1)
    by_lens = time_delay(d_dt, fermat[:, 1:] - fermat[:, :1])

    n = len(x)
    of_position = np.concatenate([position.reshape(n, 8, 5), np.zeros((n, 8, 1))], -1)
    of_delay = np.concatenate([by_lens, delay[..., None]], -1)
    error = np.hypot(DELAY_ERROR, DELAY_FRACTION * delay)
    information = np.einsum("nia,nib->nab", of_position, of_position) / POSITION_ERROR**2
    information += np.einsum("nia,nib,ni->nab", of_delay, of_delay, error**-2)
    information[:, 5, 5] += PRIOR_LN_D_DT**-2
    return np.sqrt(np.linalg.inv(information)[:, 5, 5]), delay[:, -1]


def robust_scatter(error: np.ndarray) -> float:
    """Half the central 68 % of errors drawn with these standard deviations, as scores count it."""
    u = (np.random.default_rng(1).permutation(len(error)) + 0.5) / len(error)
    return calibration.robust_scatter(error * ndtri(u))


def main() -> None:
    """Print the bound for the delays as they are and for longer ones, and the network's score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", default=str(ROOT / "results/time_delay"))
    parser.add_argument("--population", default="sis_shear_h0")
    parser.add_argument("--network", default="h0_quad")
    arguments = parser.parse_args()

    folder = Path(arguments.results)
    data = folder / "data" / arguments.population
    for stretch in (1.0, 1.5, 2.0, 3.0):
        error, longest = bound(str(data / "dataset.h5"), str(data / "split.h5"), stretch)
        print(
            f"longest delay {np.median(longest):5.1f} d (median of {len(error)} quads): "
            f"robust scatter of ln D_dt at least {100 * robust_scatter(error):.2f} %"
        )
    path = folder / "scores" / arguments.network / arguments.population / "scores.json"
    if path.is_file():
        scatter = json.loads(path.read_text())["targets"]["ln_d_dt"]["robust_scatter"]
        print(f"{arguments.network} on {arguments.population}: {100 * scatter:.2f} %")


if __name__ == "__main__":
    main()
