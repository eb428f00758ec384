"""Published numbers stand beside ours, and networks are asked what they can answer."""

import json

import pytest

from lensmill import experiments
from lensmill.experiments.substructure import published


def scores(**more):
    found = {"network": "n", "population": "p", "known": 300, "train_systems": 1400}
    found |= {name: 0.9 for name in published.NAMES}
    found |= {f"{name}_error": 0.01 for name in published.NAMES if name != "accuracy"}
    return found | {"accuracy_low": 0.88, "accuracy_high": 0.92} | more


def test_every_published_number_has_ours_beside_it(tmp_path):
    rows = published.rows(scores(auroc=0.8))
    assert {row["quantity"] for row in rows} <= set(published.NAMES)
    assert all(0.5 < row["value"] < 1 and row["reference"] for row in rows)
    assert {row["ours"] for row in rows if row["quantity"] == "auroc"} == {0.8}
    (error,) = {row["error"] for row in rows if row["quantity"] == "accuracy"}
    assert error == pytest.approx(0.02)


def test_the_page_says_that_the_images_are_not_theirs(tmp_path):
    form = {"auroc": 0.91234, "bytes": 1000, "images_per_second": {"64": 7.0}}
    (tmp_path / "net").mkdir()
    export, found = tmp_path / "net" / "export.json", tmp_path / "scores.json"
    export.write_text(json.dumps(dict.fromkeys(("keras", "onnx", "int8"), form)))
    found.write_text(json.dumps(scores()))
    table, page = tmp_path / "t.csv", tmp_path / "t.md"
    published.compare_published(str(found), [str(export)], str(table), str(page))
    text = page.read_text()
    assert "images are not theirs" in text and "| net | int8 | 0.9123 | 1,000 | 7 |" in text
    assert table.read_text().count("\n") == 1 + len(published.rows(scores()))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"answers": "anomaly"}, "cannot answer 'anomaly'"),
        ({"architecture": "autoencoder"}, "cannot answer 'class'"),
        ({"answers": "numbers"}, "needs `targets`"),
        ({"targets": ["f_sub"]}, "needs `targets`, and no other has them"),
        ({"answers": "numbers", "targets": ["f_sub", "vortex_mass"]}, "subhalos and vortex"),
    ],
)
def test_networks_that_cannot_answer_are_refused(network, message):
    chosen = experiments.choices("substructure")
    chosen["networks"]["mine"] = {"train_on": "free", "test_on": ["free"]} | network
    with pytest.raises(ValueError, match=message):
        experiments.check("substructure", chosen)


def test_only_networks_that_name_classes_are_set_beside_published_ones():
    chosen = experiments.choices("substructure")
    chosen["published"]["network"] = "smooth"
    with pytest.raises(ValueError, match="'smooth' answers 'anomaly'"):
        experiments.check("substructure", chosen)
