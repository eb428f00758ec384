"""Scoring a lens finder: on made-up predictions, and with a small network from end to end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from network_settings import network_settings
from scipy import special

from lensmill import experiments
from lensmill.experiments.lens_finding import network, rotation, saliency, score, simulate
from lensmill.experiments.lens_finding.sky import KINDS, REAL
from lensmill.learning import classification
from lensmill.pipeline import splits, store

SETTINGS = {
    "bootstraps": 30,
    "prevalences": [1e-3, 1e-4],
    "calibration_bins": 10,
    "selection_bins": 8,
}
SIZE = 24


def _table(lenses, others, seed=1, known=True):
    """Make up systems and logits; the arcs' S/N decides how well a lens is found."""
    rng = np.random.default_rng(seed)
    n = lenses + others
    is_lens = (rng.permutation(n) < lenses).astype(np.uint8)
    lens = is_lens == 1
    snr = np.where(lens, rng.lognormal(1.5, 1.0, n), 0.0)
    images = np.where(lens, rng.choice([1, 2, 4], n), 0)
    logit = np.where(lens, snr / 2, -1.5) + rng.normal(size=n)
    return {
        "index": np.arange(n),
        "is_lens": is_lens,
        "label_known": np.full(n, known, np.uint8),
        "kind": np.where(lens, 0, 1 + rng.integers(0, 3, n)).astype(np.uint8),
        "logit": logit,
        "score": special.expit(logit),
        "theta_e": np.where(lens, rng.uniform(0.5, 2.0, n), 0.0),
        "slope": np.where(lens, 2.0, 0.0),
        "snr": rng.lognormal(4, 0.3, n),
        "arc_snr": snr,
        "arc_length": np.sqrt(snr),
        "n_images": images,
        "n_minima": (images + 1) // 2,
        "n_saddles": images // 2,
    }


def test_the_scores_are_those_of_the_metrics():
    table = _table(500, 1500)
    scores = score.measure(table, SETTINGS, 1)
    ours = table["is_lens"], table["logit"]
    assert scores["auroc"] == classification.auroc(*ours)
    assert scores["tpr0"] == classification.tpr0(*ours).value
    assert scores["tpr10"] == classification.tpr10(*ours).value
    assert scores["completeness"] == scores["tpr_fpr_1e-2"]
    assert scores["threshold_from"] == "own"
    assert scores["false_positive_rate"] == pytest.approx(0.01)
    low, high = scores["intervals"]["tpr_fpr_1e-2"]
    assert low < scores["tpr_fpr_1e-2"] < high
    assert (scores["systems"], scores["lenses"], scores["non_lenses"]) == (2000, 500, 1500)
    assert scores["undefined"] == {}
    json.dumps(scores, allow_nan=False)


def test_the_false_alarms_of_all_kinds_are_all_false_alarms():
    scores = score.measure(_table(200, 1000), SETTINGS, 1)
    kinds = scores["by_kind"]
    assert set(kinds) == set(KINDS[1:4])
    assert sum(kind["systems"] for kind in kinds.values()) == 1000
    alarms = sum(kind["false_alarms"] for kind in kinds.values())
    assert alarms == scores["confusion"]["threshold"]["false_alarms"] == 10


def test_lenses_in_bins_are_all_lenses_and_bright_arcs_are_found_more_often():
    scores = score.measure(_table(500, 1000), SETTINGS, 1)
    found = scores["confusion"]["threshold"]["found"]
    for name in ("theta_e", "arc_snr", "arc_length", "snr"):
        bins = scores["completeness_by"][name]
        assert sum(bins["lenses"]) == 500
        assert sum(bins["found"]) == found
    assert np.all(np.diff(scores["completeness_by"]["arc_snr"]["ideal"]) > 0)
    completeness = scores["completeness_by"]["arc_snr"]["completeness"]
    assert completeness[-1] == 1.0 > completeness[0]
    by_images = scores["by_images"]
    assert list(by_images) == ["1", "2", "4"]
    assert sum(images["lenses"] for images in by_images.values()) == 500


def test_no_network_is_better_than_the_ideal_observer_on_lenses_and_their_twins():
    # the best score there is without knowing the S/N: the output of the matched filter itself
    rng = np.random.default_rng(2)
    table = _table(4000, 4000)
    table["logit"] = table["arc_snr"] + rng.normal(size=8000)
    scores = score.measure(table, SETTINGS, 1)
    assert scores["auroc"] == pytest.approx(scores["ideal_auroc"], abs=3 * scores["auroc_error"])
    assert scores["auroc"] < scores["ideal_auroc_bound"]
    assert scores["completeness"] == pytest.approx(scores["ideal_completeness"], abs=0.03)


def test_what_one_kind_of_systems_does_not_define_is_null_with_a_reason():
    lenses = score.measure(_table(50, 0), SETTINGS, 1)
    for name in ("auroc", "tpr0", "tpr10", "tpr_fpr_1e-2", "calibration_error", "threshold"):
        assert lenses[name] is None
        assert len(lenses["undefined"][name]) > 20
    assert lenses["by_kind"] == {}
    others = score.measure(_table(0, 200), SETTINGS, 1)
    assert others["auroc"] is None
    assert others["completeness"] is None
    assert others["false_positive_rate"] == 0.01
    unlabelled = score.measure(_table(20, 20, known=False), SETTINGS, 1)
    assert (unlabelled["unlabelled"], unlabelled["lenses"], unlabelled["auroc"]) == (40, 0, None)
    for scores in (lenses, others, unlabelled):
        json.dumps(scores, allow_nan=False)


def test_lenses_alone_are_counted_above_the_threshold_of_the_mocks():
    mocks = score.measure(_table(500, 1000), SETTINGS, 1)
    real = _table(50, 0, seed=2)
    scores = score.measure(real, SETTINGS, 1, mocks)
    assert scores["threshold"] == mocks["threshold_fpr_1e-2"]
    assert scores["threshold_from"] == "reference"
    assert scores["completeness"] == (real["logit"] > scores["threshold"]).mean()
    assert scores["completeness_reference"] == scores["completeness"]
    # a population with non-lenses of its own has its own threshold, and is judged by both
    scores = score.measure(_table(500, 1000, seed=3), SETTINGS, 1, mocks)
    assert scores["threshold_from"] == "own"
    assert scores["false_positive_rate"] == 0.01
    assert 0.0 < scores["false_positive_rate_reference"] < 0.03


def test_intervals_hold_the_scatter_of_the_threshold_whoever_has_set_it():
    mocks = score.measure(_table(500, 1000), SETTINGS, 1)
    survey = _table(20_000, 20_000, seed=2)
    found = score.measure(survey, SETTINGS, 1, mocks)["intervals"]
    limit, possible = mocks["threshold_fpr_1e-2"], mocks["thresholds_fpr_1e-2"]
    ours = survey["is_lens"], survey["logit"], limit
    for name, metric in (
        ("completeness_reference", classification.tpr_above),
        ("false_positive_rate_reference", classification.fpr_above),
    ):
        assert found[name] == [*metric(*ours, possible)[1:]]
        assert np.ptp(found[name]) > 2 * np.ptp(metric(*ours)[1:])
    # systems that set their own threshold do not scatter twice
    found = mocks["intervals"]
    assert found["completeness"] == found["tpr_fpr_1e-2"]
    alarms = classification.binomial(10, 1000)
    assert found["false_positive_rate"] == [alarms.low, alarms.high]


def test_the_purity_of_few_lenses_is_not_known_better_than_their_number():
    for lenses, few in ((8, True), (8000, False)):
        rare = score.measure(_table(lenses, 100_000), SETTINGS, 1)["survey"]["1e-03"]
        low, high = rare["interval"]
        assert low < rare["purity"] < high
        assert ((high - low) / rare["purity"] > 0.2) == few


def test_mocks_too_few_for_a_threshold_say_so():
    few = score.measure(_table(20, 20), SETTINGS, 1)
    assert few["threshold"] is None
    assert "at least 100 are needed" in few["undefined"]["threshold"]
    scores = score.measure(_table(20, 0), SETTINGS, 1, few)
    assert scores["completeness_reference"] is None
    assert "at least 100 are needed" in scores["undefined"]["completeness_reference"]


def test_purity_in_a_survey_follows_from_the_rates():
    scores = score.measure(_table(1000, 2000), SETTINGS, 1)
    tpr, fpr = scores["completeness"], scores["false_positive_rate"]
    rare, rarer = scores["survey"]["1e-03"], scores["survey"]["1e-04"]
    assert rare["purity"] == pytest.approx(1e-3 * tpr / (1e-3 * tpr + 0.999 * fpr))
    assert rarer["purity"] < rare["purity"]
    assert rare["interval"][0] < rare["purity"] < rare["interval"][1]
    # 2000 non-lenses show no rate below 1 / 2000: half of the candidates of a survey with one lens
    # in 10^4 are out of reach
    assert rarer["completeness_at_half_purity"] is None


def test_visible_images_obey_the_sum_rule_unless_one_is_missing():
    columns = {
        # double, quad, single, naked cusp, steep single with a faint saddle, a quad that lost one
        "n_images": np.array([2, 4, 1, 3, 1, 3, 0]),
        "n_minima": np.array([1, 2, 1, 2, 1, 1, 0]),
        "n_saddles": np.array([1, 2, 0, 1, 0, 2, 0]),
        "slope": np.array([2.0, 2.0, 2.0, 1.9, 2.2, 2.0, 2.0]),
    }
    found = score.visible_images(columns)
    assert found == {"lenses": 6, "obey": 4, "fraction": 4 / 6, "steep_without_saddle": 1}


# From here on with a network: small, hardly trained, but real.


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train a small network on made-up images and return the files."""
    pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("run")
    files = {"dataset": str(folder / "dataset.h5"), "split": str(folder / "split.h5")}
    files |= {"model": str(folder / "model.keras"), "training": str(folder / "training.json")}
    _images(files["dataset"], 400)
    splits.write(files["dataset"], files["split"], "is_lens", (6, 1, 3))
    quick = {"architecture": "p4m", "width": 2, "stages": 1, "epochs": 2, "tensorboard": False}
    network.train(
        dataset=files["dataset"],
        split=files["split"],
        settings=network_settings(
            "lens_finding", {**quick, "batch_size": 32, "learning_rate": 0.01}
        ),
        seed=1,
        threads=1,
        model=files["model"],
        history=str(folder / "history.csv"),
        training=files["training"],
        checkpoints=str(folder / "checkpoints"),
    )
    return files


def _images(path, n, kind="both", noise=3):
    """Write galaxies, half of them with an arc."""
    table = _table(n // 2, n - n // 2) if kind == "both" else _table(n, 0, seed=5)
    rng = np.random.default_rng(noise)
    x, y = np.meshgrid(*[np.arange(SIZE) - (SIZE - 1) / 2] * 2)
    radius = np.hypot(x, y)
    arc = np.exp(-((radius - 6) ** 2) / 2) * (np.abs(np.arctan2(y, x)) < 1.2)
    images = 20 * np.exp(-radius / 2) + 5.0 * table["is_lens"][:, None, None] * arc
    images = images + rng.normal(size=images.shape)
    systems = {k: v for k, v in table.items() if k not in ("logit", "score")}
    if kind != "both":  # ingested: hardly anything is known
        systems = {k: systems[k] for k in ("index", "is_lens", "label_known", "kind", "snr")}
        systems["kind"][:] = REAL
    systems["index"] = 7 + 2 * systems["index"]
    cutouts = {
        "system": systems["index"],
        "pixels": images[..., None].astype(np.float32),
    }
    tables = {"systems": systems, "cutouts": cutouts}
    units = {name: dict.fromkeys(columns, "") for name, columns in tables.items()}
    facts = {"experiment": "lens_finding", "population": "toy", "seed": 1}
    observation = {"observation": {"pixel_scale": 0.2, "size": SIZE}}
    store.write(path, tables, units, {**facts, "settings": json.dumps(observation)})


def _evaluate(run, folder, reference=None, **changes):
    """Predict and score a population; return the table of predictions and the scores."""
    inputs = {name: changes.pop(name) for name in ("learned", "learned_split") if name in changes}
    files = {"dataset": run["dataset"], "split": run["split"], "population": "toy", **changes}
    predicted, output = (str(folder / name) for name in ("predicted.h5", "predictions.h5"))
    trained = network.load(run["model"], run["training"])
    network.predict(
        trained, settings=SETTINGS, seed=1, output=predicted, name="p4m", **files, **inputs
    )
    found = score.score(predicted, SETTINGS, 1, output, reference=reference)
    (folder / "scores.json").write_text(json.dumps(found, allow_nan=False))
    return store.read(output, "systems"), json.loads((folder / "scores.json").read_text())


def test_a_network_is_judged_on_the_test_part_and_nothing_else(run, tmp_path):
    table, scores = _evaluate(run, tmp_path)
    labels = store.read(run["split"], "systems")
    assert table["index"].tolist() == labels["index"][labels["split"] == 2].tolist()
    assert scores["systems"] == len(table["index"]) == 120
    assert scores["auroc"] > 0.8
    assert scores["auroc"] == classification.auroc(table["is_lens"], table["logit"])
    assert table["score"] == pytest.approx(special.expit(table["logit"]))
    for name in ("parameters", "images_per_second", "train_cpu_seconds"):
        assert scores[name] > 0
    assert (scores["architecture"], scores["train_on"]) == ("p4m", "toy")
    assert scores["train_prevalence"] == pytest.approx(0.5, abs=0.02)
    units = store.units(tmp_path / "predictions.h5")["systems"]
    assert (units["theta_e"], units["logit"]) == ("arcsec", "")


def test_every_logit_belongs_to_the_image_with_its_index(run, tmp_path):
    table, _ = _evaluate(run, tmp_path)
    trained = network.load(run["model"], run["training"])
    pixels = store.memmap(run["dataset"], "cutouts", "pixels")
    index = store.read(run["dataset"], "systems", ["index"])["index"]
    for row in (0, 50, 119):
        place = np.flatnonzero(index == table["index"][row])
        assert network.logits(trained, pixels, place) == pytest.approx(
            table["logit"][row : row + 1], abs=1e-4
        )


def test_ingested_lenses_are_judged_by_the_threshold_of_the_mocks(run, tmp_path):
    mocks = tmp_path / "mocks"
    mocks.mkdir()
    _, reference = _evaluate(run, mocks)
    # 60 non-lenses set no threshold of 1 %: put one there, as a larger test set would
    reference |= {"threshold_fpr_1e-2": 0.5, "thresholds_fpr_1e-2": [0.6, 0.5, 0.4]}
    (mocks / "scores.json").write_text(json.dumps(reference))
    _images(tmp_path / "real.h5", 40, "lenses")
    table, scores = _evaluate(
        run,
        tmp_path,
        dataset=str(tmp_path / "real.h5"),
        split=None,
        population="real",
        reference=str(mocks / "scores.json"),
    )
    assert len(table["index"]) == 40
    assert np.all(table["theta_e"] == 0)
    assert scores["auroc"] is None
    assert scores["completeness"] == (table["logit"] > 0.5).mean()
    assert store.attributes(tmp_path / "predictions.h5")["threshold"] == 0.5
    assert list(scores["completeness_by"]) == ["snr"]


def test_images_in_another_order_than_their_systems_are_refused(run, tmp_path):
    import h5py

    path = tmp_path / "shifted.h5"
    path.write_bytes(Path(run["dataset"]).read_bytes())
    with h5py.File(path, "r+") as file:
        file["cutouts/system"][:] = np.roll(file["cutouts/system"][:], 1)
    with pytest.raises(ValueError, match="cutouts/system does not follow systems/index"):
        _evaluate(run, tmp_path, dataset=str(path))


def test_the_split_of_other_data_is_refused(run, tmp_path):
    _images(tmp_path / "other.h5", 90)
    with pytest.raises(ValueError, match=r"the split of .* has 400 rows where .* has 90"):
        _evaluate(run, tmp_path, dataset=str(tmp_path / "other.h5"))


def test_an_ensemble_says_the_mean_of_its_members(run, tmp_path):
    members = []
    for i, shift in enumerate((0.0, 1.0)):
        folder = tmp_path / str(i)
        folder.mkdir()
        table, _ = _evaluate(run, folder)
        columns = {**table, "logit": table["logit"] + shift * table["is_lens"]}
        facts = store.attributes(folder / "predicted.h5")
        facts.pop("content_digest")
        path = folder / "member.h5"
        store.write(path, {"systems": columns}, network.UNITS, facts)
        members.append(str(path))
    files = [str(tmp_path / name) for name in ("predicted.h5", "predictions.h5")]
    score.combine(members, files[0], "p4m_ensemble2")
    scores = score.score(files[0], SETTINGS, 1, files[1])
    found = store.read(files[1], "systems")
    assert found["logit"] == pytest.approx(table["logit"] + 0.5 * table["is_lens"])
    assert found["score"] == pytest.approx(special.expit(found["logit"]))
    assert (scores["network"], scores["members"]) == ("p4m_ensemble2", 2)
    one = json.loads((tmp_path / "0" / "scores.json").read_text())
    assert scores["parameters"] == 2 * one["parameters"]
    assert scores["auroc"] >= one["auroc"]


def test_members_that_scored_other_systems_are_not_combined(run, tmp_path):
    _evaluate(run, tmp_path)
    whole = store.read(tmp_path / "predicted.h5", "systems")
    facts = store.attributes(tmp_path / "predicted.h5")
    part = {name: column[1:] for name, column in whole.items()}
    store.write(tmp_path / "part.h5", {"systems": part}, network.UNITS, facts)
    members = [str(tmp_path / name) for name in ("predicted.h5", "part.h5")]
    with pytest.raises(ValueError, match="are not predictions of the same systems"):
        score.combine(members, str(tmp_path / "both.h5"), "p4m_ensemble2")


def test_scoring_loads_no_deep_learning_library(run, tmp_path):
    _evaluate(run, tmp_path)
    lines = """
import json, sys
from lensmill.experiments.lens_finding import score
files = sys.argv[1:4]
score.combine([files[0]], files[1], "p4m_ensemble1")
found = score.score(files[1], json.loads(sys.argv[4]), 1, files[2])
assert found["systems"] == 120
assert not {"keras", "tensorflow"} & sys.modules.keys()
"""
    files = [str(tmp_path / name) for name in ("predicted.h5", "both.h5", "predictions.h5")]
    command = [sys.executable, "-c", lines, *files, json.dumps(SETTINGS)]
    source = Path(experiments.__file__).parents[2]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(source)})


def test_a_symmetric_network_does_not_see_quarter_turns(run, tmp_path):
    chosen = experiments.defaults("lens_finding")
    observation = {**chosen["observations"]["euclid_vis"], "size": SIZE}
    population = {
        "family": "epl_shear",
        "prior": chosen["priors"]["galaxies"],
        "observation": observation,
    }
    output = tmp_path / "rotation.json"
    rotation.rotation(
        model=run["model"],
        training=run["training"],
        population_settings=population,
        seed=1,
        experiment="lens_finding",
        population="toy",
        angles=8,
        systems=24,
        threads=1,
        output=str(output),
    )
    found = json.loads(output.read_text())
    assert found["angle"] == [0, 45, 90, 135, 180, 225, 270, 315, 360]
    change = np.array(found["logit_change"]["most"])
    assert change[::2].max() < 1e-4
    assert change[1::2].min() > 1e-3
    for key in ("mean", "low", "high"):
        assert np.abs(np.array(found["score_change"][key])[::2]).max() < 1e-4
    assert np.array(found["auroc"])[::2] == pytest.approx(found["auroc"][0])
    assert all(len(example["score"]) == 9 for example in found["examples"])
    assert simulate.WIDTH % 4 == 0


def test_maps_of_what_speaks_for_a_lens_are_those_of_the_chosen_systems(run, tmp_path):
    table, _ = _evaluate(run, tmp_path)
    output = tmp_path / "saliency.h5"
    saliency.saliency(
        model=run["model"],
        training=run["training"],
        dataset=run["dataset"],
        predictions=str(tmp_path / "predictions.h5"),
        systems=3,
        threads=1,
        output=str(output),
    )
    systems, maps = store.read(output, "systems"), store.read(output, "maps")
    n = len(systems["index"])
    assert maps["gradient"].shape == maps["attention"].shape == (n, SIZE, SIZE)
    assert maps["pixels"].shape == (n, SIZE, SIZE, 1)
    rows = saliency.rows_of(run["dataset"], systems["index"])
    pixels = store.memmap(run["dataset"], "cutouts", "pixels")[rows]
    assert np.array_equal(maps["pixels"], pixels)
    found = systems["logit"][systems["group"] == 0]
    best = np.sort(table["logit"][table["is_lens"] == 1])[::-1][:3]
    assert found == pytest.approx(best[best > 0])
    assert np.all(systems["logit"][systems["group"] == 2] <= 0)
    assert 0 <= maps["attention"].min() and maps["attention"].max() == pytest.approx(1.0, abs=0.3)
    assert maps["gradient"].max() > 0


def test_the_gradient_is_how_the_logit_changes_with_a_stretched_pixel(run):
    from lensmill.learning import stretch

    trained = network.load(run["model"], run["training"])
    pixels = np.array(store.memmap(run["dataset"], "cutouts", "pixels")[:1])
    gradient, _ = saliency._explain(trained.model, pixels)
    # near the middle, where no pixel takes part in measuring the noise
    y, x = (8 + int(i) for i in np.unravel_index(gradient[0, 8:16, 8:16].argmax(), (8, 8)))
    scale = float(np.ravel(stretch.image_noise(pixels))[0])
    pair = np.repeat(pixels, 2, axis=0)
    pair[:, y, x, 0] += [0.02, -0.02]
    seen = np.arcsinh(pair[:, y, x, 0] / scale)
    slope = np.diff(network.logits(trained, pair))[0] / np.diff(seen)[0]
    assert abs(slope) == pytest.approx(gradient[0, y, x], rel=0.05)


def test_images_that_the_network_learned_from_are_no_test(run, tmp_path):
    with pytest.raises(ValueError, match=r"120 of 120 images .* from which p4m learned; take them"):
        _evaluate(run, tmp_path, learned=run["dataset"])
    _images(others := str(tmp_path / "others.h5"), 30, "lenses", noise=4)
    table, _ = _evaluate(run, tmp_path, dataset=others, split=None, learned=run["dataset"])
    assert len(table["index"]) == 30


# ---- thresholds that chosen non-lenses set


def _strict(negatives, fpr):
    return SETTINGS | {"thresholds": {"strict": {"negatives": negatives, "fpr": fpr}}}


def _at(systems, tables, negatives, fpr):
    chosen = {"negatives": negatives, "fpr": fpr}
    return score.at_threshold(systems, chosen, tables, SETTINGS, 1, "thresholds.strict")


def test_a_threshold_is_set_by_the_non_lenses_that_are_named():
    table, others = _table(300, 10), _table(40, 500, seed=2)
    found = _at(table, {"real": others}, ["real"], 0.1)
    logit = others["logit"][others["is_lens"] == 0]
    assert (found["objects"], found["above"]) == (500, 50)
    assert found["threshold"] == np.sort(logit)[::-1][50]
    assert found["false_positive_rate"] == pytest.approx(0.1)
    low, high = found["false_positive_interval"]
    assert low < 0.1 < high and high - low == pytest.approx(2 * np.sqrt(0.09 / 500), rel=0.05)
    lens = table["is_lens"] == 1
    assert found["found"] == (table["logit"][lens] > found["threshold"]).sum()
    assert found["completeness"] == found["found"] / 300
    both = np.concatenate([table["logit"][lens], logit])
    assert found["auroc"] == classification.auroc(np.arange(800) < 300, both)


def test_a_rate_that_too_few_objects_show_is_refused_with_their_number():
    table, others = _table(30, 5), _table(5, 97)
    with pytest.raises(ValueError, match=r"97 negatives .* 0.01; at least 100 are needed in real"):
        _at(table, {"real": others}, ["real"], 0.01)
    assert _at(table, {"real": others}, ["real"], 0.1)["above"] <= 9


def test_one_host_counts_once_however_often_it_was_drawn():
    others = _table(0, 400)
    others["host"] = np.arange(400) % 20
    assert len(score.objects(others)) == 20
    assert score.objects(others).max() == others["logit"].max()
    with pytest.raises(ValueError, match=r"20 negatives .* at least 100"):
        _at(_table(30, 5), {"painted": others}, ["painted"], 0.01)
    others["host"][100:] = -1  # the others are no hosts: each is an object
    found = _at(_table(30, 5), {"painted": others}, ["painted"], 0.01)
    assert found["objects"] == 320 and found["by_population"]["painted"]["above"] == 3


def test_two_populations_set_one_threshold_together_and_each_has_its_rate():
    tables = {"hosts": _table(0, 60, seed=3), "mocks": _table(0, 240, seed=4)}
    found = _at(_table(50, 5), tables, ["hosts", "mocks"], 0.01)
    assert found["objects"] == 300 and found["above"] == 3
    assert sum(rate["above"] for rate in found["by_population"].values()) == 3


def test_named_thresholds_stand_in_the_scores_and_in_the_predictions(tmp_path):
    facts = dict.fromkeys(("network", "train_on", "architecture"), "n")
    facts |= dict.fromkeys(("network_seed", "parameters", "threads", "turn"), 1)
    facts |= dict.fromkeys(
        ("train_prevalence", "train_seconds", "train_cpu_seconds", "seconds"), 1.0
    )
    paths = {}
    for name, table in (("lenses", _table(60, 0)), ("real", _table(0, 120, seed=6))):
        paths[name] = str(tmp_path / f"{name}.h5")
        units = {"systems": dict.fromkeys(table, "")}
        store.write(paths[name], {"systems": table}, units, facts | {"population": name})
    output = str(tmp_path / "scored.h5")
    settings = _strict(["real"], 0.05)
    found = score.score(paths["lenses"], settings, 1, output, beside={"real": paths["real"]})
    strict = found["thresholds"]["strict"]
    assert strict["lenses"] == 60 and strict["above"] == 6
    assert json.loads(store.attributes(output)["thresholds"]) == {"strict": strict["threshold"]}
    own = score.score(paths["real"], settings, 1, str(tmp_path / "own.h5"))
    assert own["thresholds"]["strict"]["threshold"] == strict["threshold"]
    assert own["thresholds"]["strict"]["completeness"] is None
    json.dumps(found, allow_nan=False)


def test_lenses_of_unknown_einstein_radius_are_in_no_bin_of_it():
    table = _table(200, 500)
    lens = np.flatnonzero(table["is_lens"] == 1)
    table["theta_e"][lens[40:]] = 0.0
    bins = score.measure(table, SETTINGS, 1)["completeness_by"]["theta_e"]
    assert sum(bins["lenses"]) == 40 and bins["edges"][0] > 0
