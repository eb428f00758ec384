"""Images per second from files to a data set and to a ranking, beside those of an earlier build.

python benchmarks/survey_scale.py ingest --old CHECKOUT [--files 20000] [--folder DIR]
python benchmarks/survey_scale.py plan --images 10000000 [--cores 100]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
SIZE = 101
REPEATS = 3
# Reads all images of a folder in a process of its own; both builds are asked the same way.
INGEST = """
import sys
sys.path.insert(0, sys.argv[1])
import json, resource, time
from lensmill import experiments
try:
    from lensmill.cutouts.ingest import ingest
except ImportError:  # of the earlier build
    from lensmill.pipeline.cutouts import ingest
observation = {"pixel_scale": 0.1, "size": int(sys.argv[4]), "bands": ["VIS"]}
settings = {"format": "classes", "label": 0, "observation": observation}
if hasattr(experiments, "population_settings"):
    settings = experiments.population_settings("lens_finding", {"ingest": "", **settings})
else:
    settings["labels"] = None
ingest(sys.argv[2], sys.argv[3], "mine", "lens_finding", settings)
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"seconds": used.ru_utime + used.ru_stime, "mb": used.ru_maxrss / 1024}))
"""


def write_images(folder: Path, count: int) -> None:
    """Write cut-outs of one band as a survey does: float32, a WCS, 2000 in a folder."""
    from astropy.io import fits

    axis = np.arange(SIZE) - (SIZE - 1) / 2
    light = np.exp(-(axis[:, None] ** 2 + axis**2) / 50)
    light /= light.sum()
    scale = 0.1 / 3600
    for i in range(count):
        rng = np.random.default_rng(i)
        pixels = rng.normal(0, 1, (SIZE, SIZE)) + rng.uniform(500, 5000) * light
        cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg"}
        cards |= {"CRPIX1": 51.0, "CRPIX2": 51.0, "CD1_1": -scale, "CD1_2": 0.0, "CD2_1": 0.0}
        cards |= {"CRVAL1": rng.uniform(0, 360), "CRVAL2": rng.uniform(-60, 60), "CD2_2": scale}
        cards |= {"RADESYS": "ICRS", "EQUINOX": 2000.0, "EXPTIME": 565.0, "OBJECT": f"o{i}"}
        path = folder / f"{i // 2000:04d}" / f"{i:07d}.fits"
        path.parent.mkdir(parents=True, exist_ok=True)
        header = fits.Header([*cards.items()])
        fits.PrimaryHDU(pixels.astype(np.float32), header).writeto(path)


def measured(checkout: Path, folder: Path, output: Path) -> dict[str, float]:
    """Ingest a folder with the build of a checkout; return its processor time and memory."""
    words = [sys.executable, "-c", INGEST, checkout / "src", folder, output, str(SIZE)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    output.unlink()
    return json.loads(done.stdout.splitlines()[-1])


def ingest(arguments: argparse.Namespace) -> None:
    """Read the same files with both builds, in turn, and print medians."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        images, output = Path(folder) / "images", Path(folder) / "data.h5"
        write_images(images, arguments.files)
        builds = {"this build": ROOT} | ({"earlier": arguments.old} if arguments.old else {})
        found: dict[str, list[dict[str, float]]] = {name: [] for name in builds}
        for _ in range(REPEATS):
            for name, checkout in builds.items():
                found[name].append(measured(checkout, images, output))
    rates = {n: [arguments.files / x["seconds"] for x in every] for n, every in found.items()}
    for name, values in rates.items():
        memory = max(x["mb"] for x in found[name])
        sys.stdout.write(
            f"{name}: {statistics.median(values):,.0f} files a second of processor time "
            f"({min(values):,.0f} to {max(values):,.0f}), {memory:,.0f} MB\n"
        )
    if arguments.old:
        ratios = [a / b for a, b in zip(rates["this build"], rates["earlier"], strict=True)]
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        sys.stdout.write(f"ratio: {statistics.median(ratios):.2f} (pairs: {shown})\n")


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("ingest", help=ingest.__doc__)
    command.add_argument("--old", type=Path, help="checkout of the earlier build")
    command.add_argument("--files", type=int, default=20000)
    command.add_argument("--folder", help="where the files go for a while: 2 GB for 20,000")
    command.set_defaults(run=ingest)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
