"""Model cards: what stands on them, and that nothing on them is made up."""

import json
from pathlib import Path

import pytest
import yaml

from lensmill.learning import model_card

ROOT = Path(__file__).parents[1]
TRAINING = {
    "experiment": "time_delay",
    "population": "survey",
    "architecture": "canonical",
    "parameters": 1234,
    "systems": 5000,
    "epochs": 20,
    "best_epoch": 17,
    "seed": 1,
    "versions": {"keras": "3.15.0", "python": "3.11.7"},
    "observation": {"position_error": ["fixed", 0.003]},
}
PRIOR = {
    "z_lens": ["uniform", 0.2, 0.5],
    "shear": ["fixed", 0.0],
    "source": ["disc", 0.6],
    "rings": [1, 2],
    "redshift_gap": 0.1,
}
SIMULATED = {"family": "sis", "prior": PRIOR}
FAMILY = {"threshold": 4.117, "wanted": 0.01, "set_on": 403, "of": 805}
FAMILY |= {"rate": 0.005, "low": 0.0031, "high": 0.0081}
SCORES = {
    "network": "quad",
    "systems": 805,
    "mse_standardised": 0.00123456,
    "targets": {"ln_d_dt": {"bias": -0.01, "coverage68": None}, "potential": None},
    "calibration": {
        "systems": 805,
        "targets": {"ln_d_dt": {"excess": -0.021}},
        "density": None,
        "tarp": None,
        "worst": {"error": 0.021, "excess": -0.021, "limit": 0.048, "level": 0.3, "of": "ln_d_dt"},
        "strangeness": {
            "family": FAMILY,
            "own": True,
            "strange": {"rate": 0.005, "low": 0.0031, "high": 0.0081, "of": 805},
            "trusted": True,
        },
    },
}


def card(scores=SCORES, population=SIMULATED):
    return model_card.card("quad", TRAINING, scores, {"quad": population}, "Somebody: *It*.")


def test_a_card_says_what_the_model_was_trained_on_and_where_it_is_valid():
    text = card()
    assert text.startswith("# quad: model card\n")
    assert "| population | `survey`: family `sis` |" in text
    assert "| systems that it learned from | 5000 |" in text
    assert "keras 3.15.0, python 3.11.7" in text
    assert '| `z_lens` | 0.2 | 0.5 | `["uniform", 0.2, 0.5]` |' in text
    assert "| `shear` | 0 | 0 |" in text
    for name in ("source", "rings", "redshift_gap"):  # no range that could be read off
        assert f"| `{name}` |  |  | `" in text


def test_a_card_has_the_threshold_with_its_measured_rate_and_the_scores():
    text = card()
    assert "strangeness of a system is above **4.117**: do not trust." in text
    assert "1 % of false alarms on 403 test systems of the family. Of 805 others" in text
    assert "0.50 % (68 %: 0.31 to 0.81 %)" in text
    assert "the largest coverage error is 2.1 points (ln_d_dt, errors too small)" in text
    assert "| `mse_standardised` | 0.001235 |" in text
    assert "| `ln_d_dt` | -0.01 |" in text
    assert "`potential`" not in text
    assert "Somebody: *It*." in text


def test_a_network_without_a_test_of_its_family_says_so():
    reliability = {"calibration": {"claimed": [0.1], "fraction": [0.2]}}  # of classes
    text = card({"network": "quad", "auroc": 0.95} | reliability)
    assert "There is no threshold" in text
    assert "that is not judged" in text
    assert "| `auroc` | 0.95 |" in text


def test_a_network_of_real_systems_names_where_they_come_from():
    text = card(population={"ingest": "table.csv"})
    assert "real systems from `table.csv`" in text
    assert "Real data" not in text
    assert "`checks.json` and `dataset.h5`" in text


def test_cards_lie_where_they_are_asked_for_and_cite_what_the_project_says(tmp_path):
    names = ["quad", "double"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "training.json").write_text(json.dumps(TRAINING))
        (tmp_path / name / "scores.json").write_text(json.dumps(SCORES))
    outputs = [tmp_path / name / "model_card.md" for name in names]
    model_card.write(
        *(
            [str(tmp_path / name / file) for name in names]
            for file in ("training.json", "scores.json")
        ),
        {name: SIMULATED for name in names},
        str(ROOT / "CITATION.cff"),
        [str(output) for output in outputs],
    )
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    for name, output in zip(names, outputs, strict=True):
        text = output.read_text()
        assert text.startswith(f"# {name}: model card")
        assert said["title"] in text and str(said["version"]) in text


@pytest.mark.parametrize(
    ("author", "named"),
    [({"name": "A group"}, "A group"), ({"family-names": "Kim", "given-names": "A."}, "Kim, A.")],
)
def test_authors_are_persons_or_groups(author, named):
    cited = {"title": "It", "version": "1.0", "authors": [author], "doi": "10.1/x"}
    assert model_card.cite(cited) == f"{named}: *It*, version 1.0, 10.1/x"
