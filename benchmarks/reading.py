"""Images per second that training can read: random batches by memory map, and by the HDF5 library.

python benchmarks/reading.py results/lens_finding/data/euclid/dataset.h5
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from lensmill.pipeline import store  # noqa: E402

BATCH, REPEATS = 64, 7


def rate(column, rows: list[np.ndarray]) -> float:
    """Return images per second of reading batches of sorted rows."""
    begun = time.perf_counter()
    for batch in rows:
        np.ascontiguousarray(column[batch])
    return sum(map(len, rows)) / (time.perf_counter() - begun)


def main() -> None:
    """Read the same batches both ways, in turn, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    path = parser.parse_args().dataset
    rng = np.random.default_rng(1)
    mapped = store.memmap(path, "cutouts", "pixels")
    order = rng.permutation(len(mapped))
    rows = [np.sort(order[i : i + BATCH]) for i in range(0, len(order) - BATCH + 1, BATCH)]
    rates: dict[str, list[float]] = {"memory map": [], "HDF5 library": []}
    with h5py.File(path) as file:
        for _ in range(REPEATS):
            rates["memory map"].append(rate(mapped, rows))
            rates["HDF5 library"].append(rate(file["cutouts/pixels"], rows[:20]))
    for name, values in rates.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        sys.stdout.write(f"{name}: {middle:,.0f} images/s (median; {low:,.0f} to {high:,.0f})\n")


if __name__ == "__main__":
    main()
