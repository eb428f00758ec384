"""Figures hold what they are given."""

import json

from lensmill.experiments.substructure.figures import ideal_observer


def test_a_network_worse_than_chance_and_a_great_significance_are_seen(tmp_path):
    point = {"median": 400.0, "auroc": 0.2, "error": 0.01}
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"train_on": "free", "by_chi": {"all": [point]}}))
    axis = ideal_observer.plot([str(path)], []).axes[0]
    assert axis.get_xlim()[1] > point["median"]
    assert axis.get_ylim()[0] < point["auroc"] - point["error"]
