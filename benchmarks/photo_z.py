"""All methods of photo_z against a random forest of 100 trees, same galaxies, split and inputs.

Four tables: the 10,000 galaxies of SDSS and 2MASS in the wheel of kcorrect (five bands, and all
ten), SDSS as in the example of ANNz, and LSST DC2 (both in ../shared/data). Three galaxies of ten
are the test part, in every turn others. The others are cut into five folds: every method answers
for each fold what it has learned from the other four, and the one with the smallest sigma NMAD over
**all of these answers** is chosen, in every turn anew. All methods, the forest too, then learn from
19 of 20 of the same galaxies (the last tells a network when to stop), and are compared on the test
parts of all turns together: the ratio of the NMADs, with the bootstrap error of galaxies drawn for
both. All are given all features: magnitudes, colours, errors and further columns. One thread,
processor time.

    PYTHONPATH=src python benchmarks/photo_z.py [FOLDER] [--table NAME] [--turns 3]

FOLDER (a new one without an argument) keeps the tables that were ingested.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import yaml  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from lensmill import experiments  # noqa: E402
from lensmill.experiments.photo_z import densities, features, ingest, judging, network  # noqa: E402
from lensmill.learning import posteriors, tables  # noqa: E402
from lensmill.pipeline import settings as checked  # noqa: E402
from lensmill.pipeline import sources, splits, store  # noqa: E402

ROOT = Path(__file__).parents[1]
SURVEYS = ROOT / "configs/photo_z_surveys.yaml"
BLOCKS = (6, 1, 3)
FOLDS = 5
LAST = (1, 20)  # fold and folds of the training that is tested
FIVE = [f"sdss_{band}" for band in "ugriz"]
# Name of the row: population, bands (None: all).
TABLES = {
    "SDSS-ANNz, ugriz": ("sdss_annz", FIVE),
    "SDSS-GALEX-2MASS, ugriz": ("sdss_galex_2mass", FIVE),
    "SDSS-GALEX-2MASS, all ten": ("sdss_galex_2mass", None),
    "LSST DC2, ugrizy": ("dc2", None),
}
# What is trained.
LEARNERS = {
    "forest": {"architecture": "forest", "trees": 100, "target": "redshift"},
    "random trees": {
        "architecture": "forest",
        "trees": 300,
        "thresholds": "random",
        "answer": "median",
    },
    "svr": {"architecture": "svr"},
    "perceptrons": {"architecture": "blend", "parts": ["mlp"], "networks": 8},
    "mixture": {"architecture": "mixture"},
    "noisy mixture": {"architecture": "mixture", "noise": 0.5, "width": 128, "epochs": 100},
}
SEEDS = 5  # mixture networks of an ensemble
# What is chosen from: means, in ln(1 + z), of the answers of these.
METHODS = {
    "forest": ["forest"],
    "forest, random thresholds, median": ["random trees"],
    "svr": ["svr"],
    "svr, perceptrons": ["svr", "perceptrons"],
    "mixture": ["mixture"],
    "mixtures": ["mixtures"],
    "noisy mixtures": ["noisy mixtures"],
    "svr, perceptrons, mixtures": ["svr", "perceptrons", "mixtures"],
    "svr, noisy mixtures": ["svr", "noisy mixtures"],
    "random trees, noisy mixtures": ["random trees", "noisy mixtures"],
    "all": ["random trees", "svr", "perceptrons", "noisy mixtures"],
}
BOOTSTRAPS = 500


def population(name: str) -> dict:
    """Return the settings of a population of the defaults or of the further surveys."""
    chosen = experiments.choices("photo_z")
    more = yaml.safe_load(SURVEYS.read_text())["experiments"]["photo_z"]
    for key in ("observations", "populations"):
        chosen[key] |= more[key]
    return checked.population(experiments.check("photo_z", chosen), name)


def table(name: str, folder: Path, turn: int) -> tuple[str, str]:
    """Ingest a population and split it for a turn; return both files."""
    dataset, split = folder / f"{name}.h5", folder / f"{name}_split{turn}.h5"
    if not dataset.exists():
        of = population(name)
        ingest.ingest(sources.find(of["ingest"], ROOT), str(dataset), name, "photo_z", of)
    systems = store.read(str(dataset), "systems", ["index", "redshift_known"])
    part = splits.labels(name, systems["redshift_known"], BLOCKS, turn)
    found = {"index": systems["index"], "split": part}
    store.write(str(split), {"systems": found}, {"systems": dict.fromkeys(found, "")}, {})
    return str(dataset), str(split)


def learn(
    files: tuple[str, str], folder: Path, bands: list | None, rows: NDArray, **chosen
) -> network.Answers:
    """Train one method and return what it answers for some of the galaxies."""
    given = {"train_on": "x", "test_on": ["x"], "features": "all", **chosen}
    whole = experiments.network_settings("photo_z", given | ({"bands": bands} if bands else {}))
    whole = {k: v for k, v in whole.items() if k not in ("train_on", "test_on", "seeds")}
    whole["tensorboard"] = False
    model = folder / f"model{'.keras' if chosen['architecture'] == 'mixture' else '.skops'}"
    paths = (str(model), str(folder / "history.csv"), str(folder / "training.json"))
    network.train(*files, whole, 1, 1, *paths, str(folder / "checkpoints"))
    net = network.load(paths[0], paths[2])
    given = net.training["bands"], net.training["features"]["extra"]
    return network.ask(net, features.read(files[0], *given).select(rows))


def answers(
    files: tuple[str, str], folder: Path, bands: list | None, rows: NDArray, **chosen
) -> tuple[dict[str, NDArray], dict[str, float]]:
    """Train all methods once and return the redshifts they answer with, and processor seconds."""
    found, seconds = {}, {}
    for name, of in LEARNERS.items():
        begun = time.process_time()
        several = of["architecture"] == "mixture"
        seeds = range(SEEDS if several else 1)
        all_ = [learn(files, folder, bands, rows, **of, **chosen, seed=seed) for seed in seeds]
        found[name] = all_[0].redshift
        seconds[name] = (time.process_time() - begun) / len(all_)
        if several:
            joint = posteriors.join([one.density.mixture for one in all_])
            found[f"{name}s"] = densities.answer(densities.Gaussians(joint))[0]
            seconds[f"{name}s"] = time.process_time() - begun
    return (
        {
            name: np.expm1(np.mean([np.log1p(found[part]) for part in parts], axis=0))
            for name, parts in METHODS.items()
        },
        {name: sum(seconds[part] for part in parts) for name, parts in METHODS.items()},
    )


def compare_all(files: tuple[str, str], folder: Path, bands: list | None) -> dict:
    """Return of each method its errors over the folds and on the test part, and its cost."""
    truth = store.read(files[0], "systems", ["redshift", "redshift_known"])
    known, redshift = truth["redshift_known"] == 1, truth["redshift"]
    errors = {name: [] for name in METHODS}
    for fold in range(1, FOLDS + 1):
        rows = tables.parts(*files, fold, FOLDS, known)[1]
        found, _ = answers(files, folder, bands, rows, fold=fold, folds=FOLDS)
        for name, answer in found.items():
            errors[name].append(judging.relative_error(answer, redshift[rows]))
    rows = tables.test_rows(*files)
    found, seconds = answers(files, folder, bands, rows, fold=LAST[0], folds=LAST[1])
    return {
        name: {
            "folds": np.concatenate(errors[name]),
            "test": judging.relative_error(answer, redshift[rows]),
            "seconds": seconds[name],
        }
        for name, answer in found.items()
    }


def main() -> None:
    """Print a row for each method, and what was chosen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--table", choices=TABLES, action="append", help="only this one")
    parser.add_argument("--turns", type=int, choices=(1, 2, 3), default=3)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    print("| table | method | folds | test | over the forest | sigma | CPU s |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in given.table or TABLES:
        source, bands = TABLES[name]
        turns = []
        for turn in range(given.turns):
            found = compare_all(table(source, folder, turn), folder, bands)
            best = min(found, key=lambda kind, of=found: judging.scatter(of[kind]["folds"]))
            turns.append({**found, "**chosen**": found[best]})
            print(f"turn {turn + 1}: {best} is chosen")
            write_rows(f"{name}, turn {turn + 1}", turns[-1:])
        write_rows(name, turns)
        print(f"{time.process_time():.0f} s of processor time so far", flush=True)


def write_rows(title: str, turns: list[dict]) -> None:
    """Print a row for each method, of the galaxies of some turns together."""
    forest = np.concatenate([turn["forest"]["test"] for turn in turns])
    for kind in turns[0]:
        of = [turn[kind] for turn in turns]
        folds, test = (np.concatenate([one[key] for one in of]) for key in ("folds", "test"))
        numbers = f"{judging.scatter(folds):.4f} | {judging.scatter(test):.4f}"
        seconds = sum(one["seconds"] for one in of) / len(of)
        print(f"| {title} | {kind} | {numbers} | {compare(test, forest)} | {seconds:.0f} |")


def compare(one: NDArray, forest: NDArray) -> str:
    """Return the ratio of two NMADs with its error, and the difference in sigma."""
    rng = np.random.Generator(np.random.Philox(1))
    found = judging.paired(one, forest, BOOTSTRAPS, rng)
    return f"{found['ratio']:.3f} ± {found['error']:.3f} | {found['sigma']:+.1f}"


if __name__ == "__main__":
    main()
