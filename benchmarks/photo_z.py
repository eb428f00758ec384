"""All methods of photo_z against a random forest of 100 trees, same galaxies, split and inputs.

Four tables: the 10,000 galaxies of SDSS and 2MASS in the wheel of kcorrect (five bands, and all
ten), SDSS as in the example of ANNz, and LSST DC2 (both in ../shared/data). Each is split into
training, validation and test part by the pipeline; every method is trained once on each set of
features, and the one with the smallest sigma NMAD on the **validation** part is chosen. It is then
compared, on the test part, with the forest that has the same inputs: the ratio of the NMADs, with
the bootstrap error of galaxies drawn for both. One thread, processor time.

    PYTHONPATH=src python benchmarks/photo_z.py [FOLDER] [--table NAME]

FOLDER (a new one without an argument) keeps the tables that were ingested.
"""

import argparse
import os
import re
import tempfile
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import yaml  # noqa: E402

from lensmill import experiments  # noqa: E402
from lensmill.experiments.photo_z import ingest, judging, network  # noqa: E402
from lensmill.pipeline import settings as checked  # noqa: E402
from lensmill.pipeline import sources, splits, store  # noqa: E402

ROOT = Path(__file__).parents[1]
SURVEYS = ROOT / "configs/photo_z_surveys.yaml"
BLOCKS = (6, 1, 3)
FIVE = [f"sdss_{band}" for band in "ugriz"]
# Name of the row: population, bands (None: all), sets of features.
TABLES = {
    "SDSS-ANNz, ugriz": ("sdss_annz", FIVE, ("colours", "all")),
    "SDSS-GALEX-2MASS, ugriz": ("sdss_galex_2mass", FIVE, ("colours", "all")),
    "SDSS-GALEX-2MASS, all ten": ("sdss_galex_2mass", None, ("all",)),
    "LSST DC2, ugrizy": ("dc2", None, ("colours", "all")),
}
METHODS = {
    "forest": {"trees": 100, "target": "redshift"},
    "forest, random thresholds, median": {
        "trees": 300,
        "thresholds": "random",
        "answer": "median",
    },
    "boosting": {},
    "svr": {},
    "blend of svr and mlp": {"parts": ["svr", "mlp"], "networks": 8},
    "mixture": {},
}
BOOTSTRAPS = 500


def population(name: str) -> dict:
    """Return the settings of a population of the defaults or of the further surveys."""
    chosen = experiments.choices("photo_z")
    more = yaml.safe_load(SURVEYS.read_text())["experiments"]["photo_z"]
    for key in ("observations", "populations"):
        chosen[key] |= more[key]
    return checked.population(experiments.check("photo_z", chosen), name)


def table(name: str, folder: Path) -> tuple[str, str]:
    """Ingest a population and split it; return both files."""
    dataset, split = folder / f"{name}.h5", folder / f"{name}_split.h5"
    if not dataset.exists():
        of = population(name)
        ingest.ingest(sources.find(of["ingest"], ROOT), str(dataset), name, "photo_z", of)
    splits.write(str(dataset), str(split), "redshift_known", BLOCKS)
    return str(dataset), str(split)


def run(files: tuple[str, str], folder: Path, bands: list | None, **chosen) -> dict:
    """Train one method and return its validation NMAD, its errors on the test part and its cost."""
    given = {"train_on": "x", "test_on": ["x"], **chosen}
    whole = experiments.network_settings("photo_z", given | ({"bands": bands} if bands else {}))
    whole = {k: v for k, v in whole.items() if k not in ("train_on", "test_on", "seeds")}
    whole["tensorboard"] = False
    kind = chosen["architecture"]
    model = folder / f"model{'.keras' if kind == 'mixture' else '.skops'}"
    paths = (str(model), str(folder / "history.csv"), str(folder / "training.json"))
    begun = time.process_time()
    network.train(*files, whole, 1, 1, *paths, str(folder / "checkpoints"))
    spent = time.process_time() - begun
    net = network.load(paths[0], paths[2])
    output = str(folder / "predictions.h5")
    evaluation = {"draws": 20, "judged": 20, "permutations": 0, "neighbours": 1}
    evaluation["magnitudes"] = ["sdss_r", "lsst_i"]
    network.predict(net, *files, evaluation, 1, output, kind, "x")
    systems = store.read(output, "systems")
    error = judging.relative_error(systems["answer"], systems["redshift"])
    return {"validation": net.training["val_nmad"], "error": error, "seconds": spent}


def main() -> None:
    """Print a row for each method, and what was chosen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--table", choices=TABLES, action="append", help="only this one")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    print("| table | features | method | validation | test | over forest | sigma | CPU s |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in given.table or TABLES:
        source, bands, sets = TABLES[name]
        files = table(source, folder)
        found = {}
        for features in sets:
            for kind, more in METHODS.items():
                chosen = {"architecture": re.match("[a-z]+", kind)[0], "features": features, **more}
                found[features, kind] = one = run(files, folder, bands, **chosen)
                compared = compare(one, found[features, "forest"])
                numbers = f"{one['validation']:.4f} | {judging.scatter(one['error']):.4f}"
                row = f"| {name} | {features} | {kind} | {numbers} | {compared}"
                print(f"{row} | {one['seconds']:.0f} |", flush=True)
        best = min(found, key=lambda key: found[key]["validation"])
        forest = found[best[0], "forest"]
        # The forest that is best on the validation part, whatever it is given.
        other = min((k for k in found if k[1] == "forest"), key=lambda k: found[k]["validation"])
        value = judging.scatter(found[best]["error"])
        print(
            f"| **{name}** | {best[0]} | **{best[1]}**, chosen | "
            f"{found[best]['validation']:.4f} | {value:.4f} | {compare(found[best], forest)} | |"
        )
        print(
            f"| {name} | {other[0]} | the same over the best forest | | "
            f"{judging.scatter(found[other]['error']):.4f} | "
            f"{compare(found[best], found[other])} | |",
            flush=True,
        )


def compare(one: dict, forest: dict) -> str:
    """Return the ratio of two NMADs with its error, and the difference in sigma."""
    rng = np.random.Generator(np.random.Philox(1))
    found = judging.paired(one["error"], forest["error"], BOOTSTRAPS, rng)
    return f"{found['ratio']:.3f} +- {found['error']:.3f} | {found['sigma']:+.1f}"


if __name__ == "__main__":
    main()
