"""Figures and the table of comparisons, of predictions that are made up."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lensmill import experiments, plotting
from lensmill.experiments.cluster_mass import comparison, score
from lensmill.experiments.cluster_mass.network import ANSWERS, UNITS
from lensmill.pipeline import scores, store

PUBLISHED = str(experiments.FOLDER / "cluster_mass" / "data" / "published.ecsv")
SPREAD = dict(zip(ANSWERS, (0.1, 0.12, 0.4, 0.2, 0.08), strict=True))


def made_up(folder, network, population="flat", seed=0, clusters=100, scatter=0.1, **facts):
    """Write predictions and scores of a network, two images of every cluster; return both paths."""
    rng = np.random.default_rng([seed, 1])  # the clusters are the same for all networks
    n = 2 * clusters
    truth = np.repeat(rng.uniform(31.3, 34.6, clusters), 2)
    cool = np.repeat(rng.random(clusters) < 0.4, 2)
    rng = np.random.default_rng([seed, *network.encode()])
    spread = SPREAD | {"network": scatter}
    columns = {f"ln_m500_{name}": truth + spread[name] * rng.normal(size=n) for name in ANSWERS}
    columns["ln_m500_counts"] += 0.5 * cool
    columns |= {"index": np.arange(n), "ln_m500": truth, "known": np.ones(n, np.uint8)}
    columns["group"] = np.array([f"{population}/{seed}_{i // 2}" for i in range(n)], object)
    columns["cool_core"] = cool.astype(np.uint8)
    columns |= {name: np.ones(n) for name in UNITS["systems"] if name not in columns}
    about = {"network": network, "population": population, "train_on": "flat", "weights": "none"}
    about |= {"architecture": "p4m", "turn": 0, "parameters": 9, "train_systems": 280}
    about |= {"train_groups": 140, "train_seconds": 1.0, "train_cpu_seconds": 1.0, "seconds": 0.1}
    about |= {"span": [31.0, 35.0]} | facts
    where = folder / "scores" / network / population
    where.mkdir(parents=True)
    paths = [str(where / name) for name in ("raw.h5", "predictions.h5", "scores.json")]
    store.write(paths[0], {"systems": columns}, UNITS, about)
    scores.write(paths[2], score.score(paths[0], {"bins": 5, "bootstraps": 20}, 1, paths[1]))
    return paths[1], paths[2]


def draw(name, **files):
    """Return the figure of a name, as the rule draws it."""
    with plotting.use_names(experiments.load("cluster_mass", "figures").NAMES):
        with plt.style.context(plotting.STYLE):
            return experiments.load("cluster_mass", f"figures.{name}").plot(**files)


def texts(figure):
    legends = [*figure.legends, *(axis.get_legend() for axis in figure.axes)]
    return " ".join(text.get_text() for one in legends if one for text in one.get_texts())


def test_the_scores_of_simple_estimators_stand_beside_those_of_the_network(tmp_path):
    _, path = made_up(tmp_path, "p4m")
    found = json.loads(Path(path).read_text())
    for name, spread in SPREAD.items():
        if name != "counts":
            assert found["answers"][name]["scatter"] == pytest.approx(spread, rel=0.25)
    assert found["answers"]["counts"]["cool_core"]["offset"] == pytest.approx(0.5, abs=0.25)
    assert found["mse_normalised"] == pytest.approx(found["mse"] / 16)
    assert found["clusters"] == 100 and found["systems"] == 200


def test_bias_and_scatter_are_drawn_for_every_population_and_estimator(tmp_path):
    paths = [
        made_up(tmp_path, network, population)[1]
        for network in ("p4m", "three_conv")
        for population in ("flat", "mass_function")
    ]
    figure = draw("mass_bias", scores=paths)
    assert len(figure.axes) == 6
    assert "core-excised counts" in texts(figure) and "3 convolutions" in texts(figure)
    assert len(figure.axes[1].lines) == 3 + 2  # simple estimators and networks, scatter
    plt.close(figure)


def test_samples_that_were_learned_from_are_told_apart(tmp_path):
    natural = {"train_on": "mass_function"}
    paths = [
        made_up(tmp_path, "p4m")[1],
        made_up(tmp_path, "p4m_natural", **natural)[1],
        made_up(tmp_path, "p4m_weighted", **natural, weights="flat")[1],
    ]
    figure = draw("priors", scores=paths)
    assert "mass function, weighted: slope" in texts(figure)
    plt.close(figure)


def test_a_method_that_is_worse_is_drawn_so_and_published_ones_beside_it(tmp_path):
    paths = [made_up(tmp_path, "p4m")[1], made_up(tmp_path, "three_conv", scatter=0.3)[1]]
    figure = draw("scatter", scores=paths)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[:4] == ["all counts", "core-excised counts", "true gas mass", "p4m"]
    assert "Ntampaka" in texts(figure)
    plt.close(figure)
    figure = draw("estimates", predictions=made_up(tmp_path, "six_conv")[0])
    assert figure.axes[0].texts[0].get_text().endswith("%)")
    plt.close(figure)


def test_folds_are_drawn_in_pairs_and_sizes_in_order(tmp_path):
    one, other = (
        [made_up(tmp_path, name + end, seed=turn)[1] for turn, end in enumerate(("", "_turn1"))]
        for name in ("p4m", "three_conv_augmented")
    )
    figure = draw("folds", one=one, other=other)
    assert figure.axes[0].get_xticklabels()[0].get_text() == "p4m"
    plt.close(figure)
    sizes = {"p4m_of_300": 300, "p4m_of_100": 100}
    paths = [made_up(tmp_path, k, scatter=10 / n, train_groups=n)[1] for k, n in sizes.items()]
    figure = draw("learning_curve", scores=paths)
    x = figure.axes[0].lines[0].get_xdata()
    assert [*x] == [100, 300]
    plt.close(figure)


def test_a_table_says_what_differs_and_pairs_only_what_saw_the_same(tmp_path):
    names = {
        "p4m/flat": [made_up(tmp_path, f"p4m_turn{k}", seed=k) for k in (0, 1, 2)],
        "three_conv/flat": [
            made_up(tmp_path, f"three_conv_turn{k}", seed=k, scatter=0.3) for k in (0, 1, 2)
        ],
        "p4m/mass_function": [made_up(tmp_path, "p4m", "mass_function")],
    }
    table, page = tmp_path / "comparison.json", tmp_path / "comparison.md"
    comparison.compare(
        {name: [b for _, b in several] for name, several in names.items()},
        {name: [a for a, _ in several] for name, several in names.items()},
        PUBLISHED,
        1,
        str(table),
        str(page),
    )
    found = json.loads(table.read_text())
    assert [(x["one"], x["other"]) for x in found["pairs"]] == [("p4m/flat", "three_conv/flat")]
    pair = found["pairs"][0]
    assert pair["clusters"] == 300 and pair["folds"] == 3
    assert pair["difference"] == pytest.approx(0.01 - 0.09, abs=0.02)
    assert pair["p"] < 1e-3 and pair["p_folds"] < 0.05
    assert found["networks"]["p4m/flat"]["scatter"]["spread"] > 0
    text = page.read_text()
    assert "Ntampaka et al. 2019: CNN, mean of folds" in text and "| true gas mass" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines[: lines.index(lines[-3])]}) == 1
