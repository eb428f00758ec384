"""The table of networks: each seed a row, each definition a line with mean and deviation."""

import json

import pandas as pd
import pytest

from lensmill.experiments.lens_finding import comparison


def _score(folder, network, population, **scores):
    found = {"network": network, "population": population, "train_on": "euclid"}
    found |= {"architecture": "p4m", "parameters": 28000, "train_cpu_seconds": 150.0}
    found |= {"images_per_second": 4000.0, "lenses": 100, "non_lenses": 100, "tpr10": 0.4}
    found |= {"tpr_fpr_1e-2": 0.5, "tpr_fpr_1e-3": None, "auroc": None, "tpr0": None} | scores
    path = folder / "scores" / network / population / "scores.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(found))
    return str(path)


def _history(folder, network):
    path = folder / "networks" / network / "history.csv"
    path.parent.mkdir(parents=True)
    path.write_text("epoch,images_per_second\n1,900\n2,1000\n3,1100\n")
    return str(path)


def _cells(lines):
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def test_seeds_are_one_line_and_other_populations_stand_apart(tmp_path):
    scores = [
        _score(tmp_path, "p4m_seed1", "euclid", auroc=0.94, tpr0=0.1),
        _score(tmp_path, "p4m_seed2", "euclid", auroc=0.96),
        _score(tmp_path, "resnet", "euclid", auroc=0.91, tpr0=0.2),
        _score(tmp_path, "p4m_seed1", "hst", completeness_reference=0.2, non_lenses=0),
        _score(tmp_path, "p4m_seed2", "hst", completeness_reference=0.4, non_lenses=0),
    ]
    histories = [_history(tmp_path, name) for name in ("resnet", "p4m_seed1", "p4m_seed2")]
    comparison.compare(scores, histories, tmp_path / "networks.csv", tmp_path / "networks.md")

    table = pd.read_csv(tmp_path / "networks.csv")
    assert list(table["family"]) == ["p4m", "p4m", "resnet", "p4m", "p4m"]
    assert list(table["own"]) == [True, True, True, False, False]
    assert set(table["trained_images_per_second"]) == {1000.0}
    _, own, _, others = (tmp_path / "networks.md").read_text().split("\n\n")
    p4m, resnet = _cells(own.splitlines())
    assert p4m["AUROC"] == "0.950 ± 0.014"  # the deviation of 0.94 and 0.96
    assert p4m["TPR0"] == "0.10"  # of the one seed that has it
    assert p4m["weights"] == "28,000" and p4m["seeds"] == "2"
    assert resnet["AUROC"] == "0.910"
    (elsewhere,) = _cells(others.splitlines())
    assert elsewhere["population"] == "HST" and elsewhere["found"] == "0.30 ± 0.14"
    assert elsewhere["taken for lenses"] == "–"  # no non-lenses


def test_a_network_without_its_history_is_refused(tmp_path):
    score = _score(tmp_path, "p4m", "euclid", auroc=0.94)
    with pytest.raises(KeyError, match="p4m"):
        comparison.compare([score], [], tmp_path / "a.csv", tmp_path / "a.md")
