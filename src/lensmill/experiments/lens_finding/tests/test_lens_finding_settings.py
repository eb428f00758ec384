"""What settings of the lens finder are refused before the first job."""

import pytest

from lensmill import experiments
from lensmill.experiments.lens_finding.settings import (
    ablation_predictions,
    first_stage,
    first_stage_inputs,
    scored_beside,
    training_inputs,
)
from lensmill.pipeline import settings as shared

KEPT = {"ingest": "images", "observation": "euclid_vis", "label": 1, "test_only": True}
P4M = {"architecture": "p4m", "test_on": ["euclid"]}


def check(networks=None, populations=None, **sections):
    chosen = experiments.choices("lens_finding")
    chosen["populations"] |= {"kept": KEPT} | (populations or {})
    chosen["networks"] |= {name: P4M | given for name, given in (networks or {}).items()}
    return experiments.check("lens_finding", chosen | sections)


def thresholds(*negatives, fpr=0.01):
    return {"evaluation": {"thresholds": {"strict": {"negatives": [*negatives], "fpr": fpr}}}}


@pytest.mark.parametrize("train_on", ["kept", {"euclid": 1, "kept": 0.1}])
def test_nothing_is_learned_from_what_is_only_for_tests(train_on):
    with pytest.raises(ValueError, match=r"networks.n.train_on: 'kept' is test_only"):
        check({"n": {"train_on": train_on}})
    assert check({"n": {"train_on": "euclid", "test_on": ["kept"]}})


def test_what_is_only_for_tests_sets_no_threshold():
    with pytest.raises(ValueError, match=r"thresholds.strict.negatives: 'kept' is test_only"):
        check(**thresholds("euclid", "kept"))
    assert check(**thresholds("euclid", "hst"))["evaluation"]["thresholds"]["strict"]["fpr"] == 0.01


def test_what_is_only_for_tests_is_laid_under_no_mock():
    mocks = {"family": "epl_shear", "prior": "galaxies", "observation": "euclid_vis", "systems": 9}
    with pytest.raises(ValueError, match=r"populations.upon.background: 'kept' is test_only"):
        check(populations={"upon": mocks | {"background": "kept"}})


def test_an_ablation_takes_its_non_lenses_from_elsewhere():
    steps = {"steps": {"one": ["p4m"]}, "lenses": ["kept"], "strict": "strict", "loose": "strict"}
    with pytest.raises(ValueError, match=r"ablation.negatives: 'kept' is test_only"):
        check(ablation=steps | {"negatives": "kept"}, **thresholds("euclid"))
    whole = check(ablation=steps | {"negatives": "hst"}, **thresholds("euclid"))
    assert ablation_predictions(whole) == {
        "one": {"alone": [[f"scores/p4m/{p}/predictions.h5" for p in ("kept", "hst")]]}
    }


def test_turns_of_a_step_have_as_many_seeds():
    networks = {"a": {"train_on": "euclid", "seeds": 2}, "b": {"train_on": "euclid", "seeds": 3}}
    steps = {"steps": {"one": ["a", "b"]}, "lenses": ["kept"], "negatives": "hst"}
    with pytest.raises(ValueError, match=r"unlike numbers of seeds \(a 2, b 3\)"):
        check(
            networks,
            ablation=steps | dict.fromkeys(("strict", "loose"), "strict"),
            **thresholds("hst"),
        )


@pytest.mark.parametrize(
    ("blocks", "turn", "message"),
    [([16, 2, 2], 10, "take 0 to 9"), ([16, 3, 2], 1, "multiple of the last")],
)
def test_a_turn_that_is_none_is_refused(blocks, turn, message):
    split = {"stratify_by": "kind", "blocks": blocks}
    with pytest.raises(ValueError, match=message):
        check({"n": {"train_on": "euclid", "turn": turn}}, split=split)
    assert check({"n": {"train_on": "euclid", "turn": 0}}, split=split)


@pytest.mark.parametrize("key", ["folds", "hard_negatives"])
def test_several_populations_are_not_shown_in_other_shares_as_well(key):
    with pytest.raises(ValueError, match=rf"networks.n.{key} is 1.* several populations"):
        check({"n": {"train_on": {"euclid": 1, "hst": 1}, key: 1}})


def test_several_populations_must_be_alike_in_size_and_bands():
    lsst = {"family": "epl_shear", "prior": "galaxies", "observation": "lsst_gri", "systems": 9}
    with pytest.raises(
        ValueError, match=r"networks.n.train_on: the images of 'colour' have the bands"
    ):
        check({"n": {"train_on": {"euclid": 1, "colour": 1}}}, {"colour": lsst})


def test_the_first_population_is_the_network_s_own_and_shares_sum_to_one():
    network = {"train_on": {"euclid": 3, "hst": 1}}
    assert shared.own(network) == "euclid"
    assert shared.shares(network) == {"euclid": 0.75, "hst": 0.25}
    assert shared.shares({"train_on": "hst"}) == {"hst": 1.0}


def test_images_that_a_network_cannot_take_set_no_threshold_of_it():
    lsst = {"family": "epl_shear", "prior": "galaxies", "observation": "lsst_gri", "systems": 9}
    whole = check(
        {"n": {"train_on": "colour", "test_on": ["colour"]}}, {"colour": lsst}, **thresholds("hst")
    )
    assert scored_beside(whole, whole["networks"]["n"]) == []
    assert scored_beside(whole, whole["networks"]["p4m"]) == ["hst"]


SMALL = {"architecture": "resnet", "train_on": "euclid", "distil": "p4m", "test_on": ["euclid"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distil": "p4n"}, r"small.distil: 'p4n' does not exist; did you mean 'p4m'"),
        ({"distil": "small"}, r"small.distil: 'small' is distilled itself"),
        ({"distil": "tiny"}, r"small.distil: 'tiny' is distilled itself; name a network that"),
        ({"distil": "p4m_ensemble3"}, r"several trainings; name one .* 'p4m_seed1'"),
        ({"distil": "many"}, r"'many' stands for several trainings; name one .* 'many_seed1'"),
        ({"distil": "catalogue"}, r"distil: 'catalogue' is a logistic regression"),
        ({"architecture": "logistic"}, r"networks.small is a logistic regression"),
        ({"hard_negatives": 0.5}, r"small.hard_negatives is 0.5, but with `distil` no label"),
        ({"class_weight": "balanced"}, r"small.class_weight is balanced, but with `distil`"),
        ({"loss": "focal"}, r"small.loss is focal, but with `distil` no label"),
        ({"distil": "gri"}, r"small.train_on: the images of 'euclid' have the bands VIS"),
    ],
)
def test_what_cannot_be_distilled_is_refused(changes, message):
    gri = {"family": "epl_shear", "prior": "galaxies", "observation": "des_gri", "systems": 9}
    others = {
        "tiny": SMALL,
        "many": {"train_on": "euclid", "seeds": 2},
        "gri": {"train_on": "gri", "test_on": ["gri"]},
        "catalogue": {"architecture": "logistic", "train_on": "euclid"},
    }
    with pytest.raises(ValueError, match=message):
        check(others | {"small": SMALL | changes}, populations={"gri": gri})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_on": "hst30", "binning": 4}, r"binning is 4, but images of 30 x 30 pixels must"),
        ({"train_on": "hst30", "binning": 2}, r"leave 16 across for 'resnet'; take a smaller one"),
        ({"binning": 2, "stretch": "training"}, r"the scale of `stretch: training` is that of"),
    ],
)
def test_what_does_not_divide_is_not_binned(changes, message):
    small = {"family": "epl_shear", "prior": "galaxies", "observation": "hst_f814w_small"}
    network = {"architecture": "resnet", "train_on": "euclid", "test_on": ["hst30"]} | changes
    network["test_on"] = [network["train_on"]]
    with pytest.raises(ValueError, match=message):
        check({"n": network}, populations={"hst30": small | {"systems": 9}})
    assert check({"n": network | {"train_on": "euclid", "test_on": ["euclid"], "stretch": "image"}})


def test_a_search_does_not_distil():
    search = {"trials": 2, "workers": 1, "epochs": 1, "space": {"width": ["choice", 16, 32]}}
    with pytest.raises(ValueError, match=r"a search cannot distil; take 'small' out of searches"):
        check({"small": SMALL}, searches={"small": search})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smal", r"survey.first_stage: 'smal' does not exist; did you mean 'small'"),
        ("p4m", r"'p4m' is no first stage: it learned from labels; name a network with `distil:"),
        ("seeds", r"'seeds' stands for several trainings; name one of them, as in 'seeds_seed1'"),
    ],
)
def test_what_is_no_first_stage_is_refused(name, message):
    networks = {"small": SMALL, "seeds": SMALL | {"seeds": 2}}
    with pytest.raises(ValueError, match=message):
        check(networks, survey={"first_stage": name})
    assert check(networks, survey={"first_stage": "seeds_seed1"})


def test_only_the_network_that_it_was_distilled_from_has_a_first_stage():
    whole = check({"small": SMALL}, survey={"first_stage": "small"})
    assert first_stage(whole, "p4m") == {
        "first_model": "networks/small/model.onnx",
        "first_stage": "networks/small/first_stage.json",
    }
    assert first_stage(whole, "resnet") == first_stage(whole, "small") == {}
    assert first_stage(check({"small": SMALL}), "p4m") == {}
    assert training_inputs(whole, whole["networks"]["p4m"]) == {}
    given = {"teacher": "networks/p4m/logits/euclid.h5"}
    assert training_inputs(whole, whole["networks"]["small"]) == given
    with pytest.raises(ValueError, match="p4m is no first stage"):
        first_stage_inputs(whole, "p4m")
