"""H0 of mocks by positions and delays, with and without what a network sees in their images.

Sets of systems are moved to one universe by their true distances; H0 is inferred with the
population of the lenses, as `benchmarks/population.py` does; with images that of the shears is held
at the prior's. Run as

    python benchmarks/joint.py FILE ... [--sizes 10 40] [--json PATH]

with files ``results/lens_parameters/joint/NETWORK/POPULATION/systems.h5``.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"})

import numpy as np

from lensmill import experiments
from lensmill.experiments.time_delay import populations
from lensmill.inference import population
from lensmill.pipeline import store
from lensmill.pipeline.streams import generator

STUDY = experiments.defaults("time_delay")
FAMILY, HUBBLE = STUDY["priors"]["survey"], STUDY["hubble"]


def measure(path: str, size: int, image: bool) -> dict:
    """Infer H0 over truth of all sets of so many systems of a file."""
    draws = list(populations.read(path, "draws" if image else "delays").values())
    systems = store.read(path, "systems")
    answer_prior = {"h0": HUBBLE["h0"]}
    interim = {name: FAMILY[name] for name in populations.SHAPES}
    priors = HUBBLE["population"]["hyperpriors"] | populations.cosmology(answer_prior, True)
    if image:
        # No shear is next to impossible by the prior, which a network smooths over: divided by it,
        # images seem to ask for such shears, and a population of shears would follow.
        _, median, scatter = FAMILY["shear"]
        priors |= {"shear_median": ["fixed", median], "shear_scatter": ["fixed", scatter]}
    found = []
    for first in range(0, len(draws) - size + 1, size):
        rows = slice(first, first + size)
        gathered = populations.gather(
            draws[rows], {name: column[rows] for name, column in systems.items()}, True
        )
        # the sample is all lenses: a source within 0.6 theta_E has two images or four
        gathered = gathered._replace(group=None)
        model = population.prepare(gathered, interim, priors)
        answer = population.sample(model, generator(1, "benchmark", path, first))
        summary = populations.summarise(answer, True)
        found.append([summary[f"h0{end}_over_truth"] for end in ("_low68", "", "_high68")])
    low, middle, high = np.array(found).T
    return {
        "file": path,
        "size": size,
        "sets": len(found),
        "image": image,
        "mean": float(middle.mean()),
        "error": float(middle.std(ddof=1) / np.sqrt(len(found))) if len(found) > 1 else None,
        "half_width": float(np.median(high - low) / 2),
        "held": float(np.mean((low < 1) & (high > 1))),
    }


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 40])
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    rows = []
    for path in options.files:
        print(path)
        for size in options.sizes:
            for image in (False, True):
                rows.append(row := measure(path, size, image))
                error = "" if row["error"] is None else f" +- {100 * row['error']:.1f}"
                print(
                    f"  {row['sets']} sets of {size}, {'with' if image else 'without'} image: H0 "
                    f"over truth {row['mean']:.3f}{error} %, half width "
                    f"{100 * row['half_width']:.1f} %, held {row['held']:.0%}",
                    flush=True,
                )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
