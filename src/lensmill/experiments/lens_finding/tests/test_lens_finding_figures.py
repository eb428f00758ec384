"""The figures of the lens finder, drawn from small made-up results."""

import inspect
import json
from importlib import import_module
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import special

from lensmill import experiments, plotting
from lensmill.experiments.lens_finding import network as networks
from lensmill.experiments.lens_finding import score
from lensmill.experiments.lens_finding.sky import KINDS, REAL
from lensmill.pipeline import provenance, store

FOLDER = experiments.FOLDER / "lens_finding" / "figures"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
NETWORKS = {"p4m": 3.0, "resnet": 2.0, "lastro": 1.0}
SIZE = 24


def _predictions(systems, skill, seed, kinds="both"):
    """Make up predictions: logits that grow with the S/N of the arc and with the skill."""
    rng = np.random.default_rng(seed)
    n = systems
    is_lens = {"both": np.arange(n) % 2, "lenses": np.ones(n, int), "others": np.zeros(n, int)}
    is_lens = is_lens.get(kinds, np.zeros(n, int)).astype(np.uint8)
    lens = is_lens == 1
    real = kinds in ("lenses", "unlabelled")
    kind = np.where(lens, 0, 1 + rng.integers(0, len(KINDS) - 1, n))
    snr = np.where(lens, rng.lognormal(3.0, 0.9, n), 0.0)
    images = np.where(lens, rng.choice([1, 2, 3, 4], n, p=[0.2, 0.5, 0.02, 0.28]), 0)
    signal = np.clip(np.log10(np.maximum(snr, 1)) * 2.2, 0, 4)
    columns = {
        "index": np.arange(n) * 3,
        "is_lens": is_lens,
        "label_known": np.full(n, kinds != "unlabelled", np.uint8),
        "kind": np.where(real, REAL, kind).astype(np.uint8),
        "theta_e": np.where(lens, rng.uniform(0.5, 2.2, n), 0.0),
        "slope": np.where(lens, rng.normal(2.08, 0.1, n), 0.0),
        "snr": rng.lognormal(4, 0.5, n),
        "arc_snr": 0 * snr if real else snr,
        "arc_length": 0 * snr if real else np.where(lens, 0.2 * np.sqrt(snr), 0.0),
        "n_images": 0 * images if real else images,
        "n_minima": 0 * images if real else (images + 1) // 2,
        "n_saddles": 0 * images if real else images // 2,
    }
    return columns, skill * np.where(lens, signal - 1, -1.5) + rng.normal(0, 1.5, n)


@pytest.fixture(scope="session")
def make(tmp_path_factory):
    """Return a function that writes made-up results of a whole run into a folder."""

    def results(systems, kinds="both"):
        folder = tmp_path_factory.mktemp(f"results_{systems}_{kinds}")
        return write_results(folder, systems, kinds)

    return results


def write_results(folder, systems, kinds="both"):
    """Write results and return the arguments of every figure."""
    settings = {"bootstraps": 20, "prevalences": [1e-3, 1e-4]}
    settings |= {"calibration_bins": 10, "selection_bins": 8}
    predictions, scores = [], []

    def judged(network, population, number, skill, seed, which, reference=None):
        path = folder / "scores" / network / population
        path.mkdir(parents=True)
        columns, logit = _predictions(number, skill, seed, which)
        facts = {
            "network": network,
            "population": population,
            "train_on": "euclid",
            "architecture": plotting.family(network),
            "network_seed": seed,
            "train_prevalence": 0.5,
            "parameters": int(10 ** (4 + skill / 2)),
            "train_seconds": 100.0,
            "train_cpu_seconds": 100.0 + 7 * seed,
            "seconds": 1.0,
        }
        columns |= {"logit": logit, "score": special.expit(logit)}
        columns = {name: columns[name] for name in networks.UNITS["systems"] if name in columns}
        predicted, output = (str(path / name) for name in ("predicted.h5", "predictions.h5"))
        facts = provenance.attributes({}, **facts, experiment="lens_finding", seed=1)
        facts["threads"] = "1"
        store.write(predicted, {"systems": columns}, networks.UNITS, facts)
        found = score.score(predicted, settings, 1, output, reference)
        (path / "scores.json").write_text(json.dumps(found, indent=1, allow_nan=False))
        return [output, str(path / "scores.json")]

    for name, skill in NETWORKS.items():
        files = judged(name, "euclid", systems, skill, 1, kinds)
        predictions.append(files[0])
        scores.append(files[1])
        scores.append(judged(name, "hst", systems, 0.7 * skill, 2, kinds, files[1])[1])
    own = scores[0]
    real = [
        judged("p4m", "slacs", 30, 2.0, 3, "lenses", own),
        judged("p4m", "cosmos", 60, 3.0, 4, "others", own),
        judged("p4m", "cutouts_of_mine", 60, 1.5, 5, "unlabelled", own),
    ]
    dataset = _dataset(folder, predictions[0])
    other = "scores/p4m/hst/predictions.h5"
    return {
        "gallery": {"dataset": dataset},
        "roc": {"predictions": predictions},
        "completeness_purity": {"predictions": predictions},
        "calibration": {"predictions": predictions},
        "confusion": {"predictions": [predictions[0], str(folder / other)]},
        "selection": {"predictions": predictions},
        "painted": {"painted": dataset, "real": [dataset]},
        "ablation": {"table": _ablation(folder)},
        "real_recovery": _recovered(folder, systems),
        "worst_mistakes": {"dataset": dataset, "predictions": predictions[0]},
        "population_gap": {"scores": scores + [files[1] for files in real]},
        "rotation": {"rotation": _rotations(folder)},
        "saliency": {"saliency": _saliency(folder, predictions[0])},
        "finder_history": {"histories": _histories(folder)},
        "survey_lenses": {"mocks": predictions[:1], "real": [files[0] for files in real]},
        "equal_cost": {"networks": _networks(folder)},
    }


def _ablation(folder):
    """Write the table of two steps: three seeds with their committee, and one network."""
    numbers = {"completeness": 0.2, "wide": 5, "n_wide": 22, "auroc": 0.6, "matched": 0.55}
    numbers |= {"completeness_low": 0.17, "completeness_high": 0.23}
    members = [("mocks", f"seed{i}") for i in (1, 2, 3)] + [("mocks", "ensemble3")]
    rows = [{"step": step, "member": m} | numbers for step, m in (*members, ("hosts", "seed1"))]
    pd.DataFrame(rows).to_csv(path := folder / "ablation.csv", index=False)
    return str(path)


def _recovered(folder, systems):
    """Write predictions of painted and real lenses, and what observers find of others."""
    rng = np.random.default_rng(6)
    columns = {
        "label_known": np.ones(systems, int),
        "is_lens": np.arange(systems) % 2,
        "logit": rng.normal(size=systems),
        "theta_e_over_seeing": rng.uniform(0.3, 2.0, systems),
        "host_magnitude": rng.normal(19.0, 1.0, systems),
    }
    observers = ("found_known", "found_one_colour", "found_any_colour")
    columns |= {name: rng.integers(0, 2, systems) for name in observers}
    units = {"systems": dict.fromkeys(columns, "")}
    facts = {"thresholds": json.dumps({"unpainted": 0.5})}
    store.write(path := str(folder / "recovered.h5"), {"systems": columns}, units, facts)
    return {"painted": [path], "real": [path, path], "resolvable": path}


def _networks(folder):
    """Write the table of two networks with three seeds each, one of 28 thousand weights."""
    rows = [
        {"family": family, "parameters": 28000 * k, "train_cpu_seconds": 150.0 * k + seed}
        | {"auroc": 0.9 + 0.01 * seed, "own": True}
        for k, family in enumerate(("p4m", "lastro"), start=1)
        for seed in (1, 2, 3)
    ]
    pd.DataFrame(rows).to_csv(path := folder / "networks.csv", index=False)
    return str(path)


def _images(table):
    """Draw a galaxy, with an arc where there is a lens."""
    rng = np.random.default_rng(1)
    x, y = np.meshgrid(np.arange(SIZE) - (SIZE - 1) / 2, np.arange(SIZE) - (SIZE - 1) / 2)
    radius = np.hypot(x, y)
    galaxy = 60 * np.exp(-radius / 2)
    arc = np.exp(-((radius - 7) ** 2) / 2) * (x > 2)
    images = galaxy + table["arc_snr"][:, None, None] * arc / 5
    noise = rng.normal(size=(len(images), SIZE, SIZE, 3))
    return (images[..., None] * [0.4, 0.7, 1.0] + noise).astype(np.float32)


def _dataset(folder, predictions):
    table = store.read(predictions, "systems")
    table = {k: v for k, v in table.items() if k not in ("logit", "score")}
    path = folder / "data" / "euclid" / "dataset.h5"
    tables = {
        "systems": table,
        "cutouts": {"system": table["index"], "pixels": _images(table)},
    }
    units = {name: dict.fromkeys(columns, "") for name, columns in tables.items()}
    observation = {"observation": {"pixel_scale": 0.2, "size": SIZE}}
    store.write(path, tables, units, {"settings": json.dumps(observation)})
    return str(path)


def _saliency(folder, predictions):
    table = store.read(predictions, "systems")
    chosen = np.arange(0, min(16, table["index"].size))
    names = ("index", "kind", "theta_e", "arc_snr", "logit")
    systems = {name: table[name][chosen] for name in names}
    systems["group"] = (chosen % 4).astype(np.uint8)
    pixels = _images(systems)
    maps = {
        "pixels": pixels,
        "gradient": np.abs(pixels[..., 0]),
        "attention": np.clip(pixels[..., 1] / 40, 0, 1),
    }
    tables = {"systems": systems, "maps": maps}
    units = {name: dict.fromkeys(columns, "") for name, columns in tables.items()}
    store.write(folder / "scores" / "p4m" / "euclid" / "saliency.h5", tables, units, {})
    return str(folder / "scores" / "p4m" / "euclid" / "saliency.h5")


def _rotations(folder):
    angle = np.linspace(0, 360, 25)
    paths = []
    for name, size in (("p4m", 0.05), ("resnet", 0.3), ("resnet_augmented", 0.6)):
        change = size * np.sin(np.radians(2 * angle)) ** 2
        if name != "p4m":
            change = change + 0.5 * size * (angle % 360 > 0)
        found = {
            "angle": angle.tolist(),
            "logit_change": {"mean": change.tolist(), "most": (3 * change).tolist()},
            "score_change": {
                "mean": (-0.1 * change).tolist(),
                "low": (-0.3 * change).tolist(),
                "high": (0.1 * change).tolist(),
            },
            "auroc": (0.95 - 0.02 * change).tolist(),
            "examples": [],
        }
        path = folder / "scores" / name / "euclid" / "rotation.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found))
        paths.append(str(path))
    return paths


def _histories(folder):
    paths = []
    for i, name in enumerate(NETWORKS):
        epoch = np.arange(12)
        loss = 0.2 + 0.5 * np.exp(-epoch / (3 + i))
        path = folder / "networks" / name / "history.csv"
        path.parent.mkdir(parents=True)
        columns = {"epoch": epoch, "loss": loss, "val_loss": loss + 0.03 + 0.002 * epoch}
        pd.DataFrame({**columns, "val_auroc": 1 - 0.3 * loss}).to_csv(path, index=False)
        paths.append(str(path))
    return paths


@pytest.fixture(scope="session")
def whole(make):
    return make(600)


@pytest.fixture(scope="session")
def tiny(make):
    return make(40)


@pytest.fixture(scope="session")
def lenses_only(make):
    return make(40, "lenses")


def _plot(name):
    return import_module(f"lensmill.experiments.lens_finding.figures.{name}").plot


def _draw(name, arguments, tmp_path, suffixes):
    plot = _plot(name)
    files = [str(tmp_path / f"{name}.{suffix}") for suffix in suffixes]
    plotting.save(plot, arguments[name], files)
    return [Path(file).read_bytes() for file in files]


def _lay_out(name, arguments):
    with plt.style.context(["default", plotting.STYLE]):
        figure = _plot(name)(**arguments[name])
        figure.draw_without_rendering()
    plt.close(figure)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_takes_the_results_made_here(name, whole):
    plot = _plot(name)
    assert set(inspect.signature(plot).parameters) == set(whole[name])


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_drawn_and_fits_the_page(name, whole, tmp_path):
    (png,) = _draw(name, whole, tmp_path, ["png"])
    width, height = (int.from_bytes(png[i : i + 4], "big") / 250 for i in (16, 20))
    assert width <= plotting.PAGE + 0.01
    assert height <= 9.5


@pytest.mark.parametrize("name", NAMES)
def test_a_run_with_forty_systems_has_all_figures(name, tiny):
    _lay_out(name, tiny)


@pytest.mark.parametrize("name", NAMES)
def test_a_population_without_non_lenses_has_all_figures(name, lenses_only):
    _lay_out(name, lenses_only)


@pytest.mark.parametrize("name", ["selection", "saliency"])
def test_equal_results_give_equal_bytes(name, tiny, tmp_path):
    first, second = (_draw(name, tiny, tmp_path, ["pdf"]) for _ in range(2))
    assert first == second


def test_members_of_a_network_share_its_colour_and_carry_its_name():
    with plotting.use_names(experiments.load("lens_finding", "figures").NAMES):
        assert plotting.family("p4m_seed3") == plotting.family("p4m_ensemble5") == "p4m"
        assert plotting.family("p4m_seed3_fold2of5") == "p4m"
        assert plotting.family("my_net") == "my_net"
        assert plotting.colour("p4m_seed3") == plotting.colour("p4m")
        assert plotting.label("lastro_seed3") == "LASTRO EPFL, seed 3"
        assert plotting.label("resnet_ensemble5") == "ResNet, ensemble of 5"
        assert plotting.label("resnet_fold2of5") == "ResNet, fold 2 of 5"


def test_networks_of_one_colour_have_different_lines():
    styles = plotting.styles(["p4m", "p4m_seed1", "p4m_seed2", "resnet"])
    assert len({tuple(style.values()) for style in styles.values()}) == 4
