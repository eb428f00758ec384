"""Methods on toy galaxies: what they see, learn, answer, and what is refused."""

import json
import pickle

import h5py
import numpy as np
import photo_z_toy as toy
import pytest

from lensmill import experiments
from lensmill.experiments.photo_z import features, methods, network, score
from lensmill.learning import runs, search
from lensmill.pipeline import store

METHODS = {
    "forest": {},
    "boosting": {"trees": 60},
    "mlp": {"width": 16, "penalty": 1e-3, "epochs": 40},
    "svr": {},
    "blend": {"networks": 1},
    "mixture": {"width": 16, "blocks": 1, "components": 2, "epochs": 60},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy.galaxies(tmp_path_factory.mktemp("toy"))


def train(folder, data, **chosen):
    """Train a method on toy galaxies; return the folder with its model."""
    kind = chosen.get("architecture", "forest")
    model = folder / f"model{'.keras' if kind == 'mixture' else '.skops'}"
    history = str(folder / "history.csv") if kind == "mixture" else None
    files = (str(model), history, str(folder / "training.json"), str(folder / "checkpoints"))
    network.train(*data, toy.settings(**chosen), 1, 1, *files)
    return network.load(str(model), files[2])


def predict(folder, net, dataset, split, population="toy", **more):
    output = str(folder / f"{population}.predictions.h5")
    network.predict(net, dataset, split, toy.EVALUATION, 1, output, "mine", population, **more)
    return output


@pytest.fixture(scope="module", params=METHODS)
def answered(request, tmp_path_factory, data):
    """Return a method's name, its network, its predictions and its scores."""
    folder = tmp_path_factory.mktemp(request.param)
    net = train(folder, data, architecture=request.param, **METHODS[request.param])
    output = predict(folder, net, *data)
    scored = str(folder / "scored.h5")
    return request.param, net, output, score.score(output, toy.EVALUATION, 1, scored)


def test_every_method_learns_what_the_colours_say(answered):
    # g - r = 3 z with 0.028 mag of noise: 0.0094 / (1 + z)
    _, _, output, found = answered
    systems = store.read(output, "systems")
    assert len(systems["index"]) == found["systems"] == 180
    assert found["nmad"] < 0.03
    assert found["val_nmad"] < 0.03
    assert np.isfinite(systems["answer"]).all()


def test_the_band_that_tells_most_is_the_most_important(answered):
    _, _, output, found = answered
    table = store.read(output, "importance")
    increase = dict(zip(table["name"], table["increase"], strict=True))
    assert increase["sdss_g"] > 3 * found["nmad"]
    assert abs(increase["sdss_i"]) < found["nmad"]


def test_methods_with_densities_are_judged_by_them(answered):
    kind, _, output, found = answered
    tables = store.units(output)
    claims = experiments.look_up("photo_z", "claims_errors")({"architecture": kind})
    assert claims == ("calibration" in tables) == ("cde_loss" in found) == ("calibration" in found)
    assert claims == (kind in network.CLAIMING)
    if claims:
        assert found["cde_loss"] < -5  # that of the prior is about -1.8
        assert found["coverage_error"] < 0.35
        error = store.read(output, "systems")["error"]
        assert 0.003 < np.median(error) < 0.05


def test_a_model_is_no_pickle_and_says_the_same_when_it_is_read_again(tmp_path, data):
    net = train(tmp_path, data, trees=5)
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads((tmp_path / "model.skops").read_bytes())
    again = runs.load(str(tmp_path / "model.skops"), str(tmp_path / "training.json"))
    sample = features.read(data[0], net.training["bands"])
    first, second = (network.ask(one, sample).redshift for one in (net, again))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("thresholds", ["best", "random"])
def test_a_forest_answers_with_the_middle_of_its_trees(tmp_path, data, thresholds):
    net = train(tmp_path, data, trees=9, thresholds=thresholds, answer="median")
    sample = features.read(data[0], net.training["bands"])
    found = network.ask(net, sample)
    assert found.draws.shape == (600, 9)
    assert found.redshift == pytest.approx(np.median(found.draws, axis=1))
    # without a bootstrap sample every tree knows what it has learned from
    known = store.read(data[1], "systems")["split"] == 0
    truth = store.read(data[0], "systems")["redshift"][known]
    exact = np.isclose(found.redshift[known], truth).all()
    assert exact == (thresholds == "random")


def test_training_sees_nothing_of_the_test_part(tmp_path, data):
    net = train(tmp_path, data, architecture="boosting", trees=5)
    other = tmp_path / "other"
    other.mkdir()
    dataset, split = toy.galaxies(other)
    part = store.read(split, "systems")["split"]
    with h5py.File(dataset, "r+") as file:
        flux = file["systems/flux"][:]
        flux[part == 2] *= 7
        file["systems/flux"][:] = flux
    same = train(other, (dataset, split), architecture="boosting", trees=5)
    assert same.training["features"] == net.training["features"]
    assert same.training["val_nmad"] == net.training["val_nmad"]


def test_fluxes_of_every_epoch_have_new_noise_as_large_as_is_asked_for(data):
    def drawn(noise, epoch):
        chosen = toy.settings(architecture="mixture", features="bands", noise=noise)
        return network.prepare(*data, chosen, 1, runs.Keys(1, 2)).epochs(epoch)

    (still, target), (noisy, same) = drawn(0.0, 3), drawn(0.5, 3)
    np.testing.assert_array_equal(same, target)
    np.testing.assert_array_equal(drawn(0.5, 3)[0], noisy)
    np.testing.assert_array_equal(drawn(0.0, 4)[0], still)
    assert (drawn(0.5, 4)[0] != noisy).any()
    # half of the toy's 0.02, in magnitudes; the third band lacks in every fifth galaxy
    added = noisy - still
    assert added[:, :2].std() == pytest.approx(0.5 * 0.02 * features.POGSON, rel=0.1)
    unseen = still[:, 3] == 0
    assert unseen.any()
    assert (added[unseen, 2] == 0).all()


def test_magnitudes_are_those_of_bright_fluxes_and_finite_for_negative_ones():
    bright = np.array([[1e-7]])
    assert features.asinh_magnitudes(bright, np.array([1e-11])) == pytest.approx(17.5, abs=1e-6)
    dark = features.asinh_magnitudes(np.array([[-1e-10]]), np.array([1e-11]))
    assert np.isfinite(dark).all()
    assert dark > features.asinh_magnitudes(np.array([[0.0]]), np.array([1e-11]))
    # of a flux far above its softening, d m = 1.0857 d f / f
    error = features.magnitude_errors(bright, bright / 100, np.array([1e-11]))
    assert error == pytest.approx(0.010857, rel=1e-3)


def test_what_is_not_observed_is_said_by_a_column(data):
    sample = features.read(data[0], list(toy.BANDS), ["size"])
    known = features.learn(sample, toy.BANDS, ["size"], "all")
    names = features.names(known)
    x = features.make(sample, known)
    assert x.shape == (600, len(names))
    mask = x[:, names.index("sdss_i observed")]
    assert np.array_equal(mask, sample.observed[:, 2])
    column = x[:, names.index("sdss_i")]
    assert np.unique(column[mask == 0]).size == 1
    colour = x[:, names.index("sdss_g - sdss_r")]
    # but for the few ends that are brought to the limits of each column
    assert np.isclose(colour, x[:, 0] - x[:, 1]).mean() > 0.98
    beyond = features.make(sample._replace(flux=1e9 * sample.flux), known)
    assert (beyond >= np.array(known["low"])).all()
    assert (beyond <= np.array(known["high"])).all()
    assert len(features.names({**known, "set": "bands", "extra": []})) == 4


def test_a_band_that_a_population_lacks_is_refused(tmp_path, data):
    net = train(tmp_path, data, trees=5)
    dataset, _ = toy.galaxies(tmp_path, 50, name="other", bands=("sdss_g", "sdss_r", "lsst_y"))
    with pytest.raises(ValueError, match=r"has no band sdss_i .*`bands`"):
        predict(tmp_path, net, dataset, None, "other")


def test_galaxies_of_unknown_redshift_are_answered_and_not_judged(tmp_path, data):
    net = train(tmp_path, data, trees=20)
    family = str(tmp_path / "own.h5")
    score.score(predict(tmp_path, net, *data), toy.EVALUATION, 1, family)
    for unknown in (40, 100):
        dataset, _ = toy.galaxies(tmp_path, 100, 5, name=f"part{unknown}", unknown=unknown)
        output = predict(tmp_path, net, dataset, None, f"part{unknown}")
        found = score.score(output, toy.EVALUATION, 1, str(tmp_path / "s.h5"), family)
        assert (found["systems"], found["known"]) == (100, 100 - unknown)
        assert ("nmad" in found) == (unknown < 100)
        assert found["calibration"]["systems"] == 100 - unknown
        json.dumps(found, allow_nan=False)


def test_weights_make_the_bright_sample_the_faint_one(tmp_path, data):
    net = train(tmp_path, data, trees=5)
    faint, _ = toy.galaxies(tmp_path, 400, 6, name="faint", faint=1.0)
    output = predict(tmp_path, net, *data, photometric=faint)
    found = score.score(output, toy.EVALUATION, 1, str(tmp_path / "s.h5"))["reweighted"]
    systems = store.read(output, "systems")
    mean = np.average(systems["magnitude"], weights=systems["weight"])
    # 17 to 18 is where both are; the faint ones are at 17 to 19
    assert 17.3 < mean < 17.7
    assert found["reweight_to"] == "faint"
    assert found["effective_systems"] < 0.7 * 180
    assert 0.2 < found["unrepresented"] < 0.7


def test_one_piece_and_many_give_the_same(tmp_path, data, monkeypatch):
    net = train(tmp_path, data, trees=5)
    whole = store.read(predict(tmp_path, net, *data), "systems")
    monkeypatch.setattr(network, "GALAXIES_AT_A_TIME", 37)
    pieces = store.read(predict(tmp_path, net, *data, population="toy"), "systems")
    for name, column in whole.items():
        assert np.array_equal(column, pieces[name]), name


def test_an_ensemble_is_the_mean_of_its_members(tmp_path, data):
    files = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        net = train(folder, data, architecture="boosting", trees=150, seed=seed)
        files.append(predict(folder, net, *data))
    joint = tmp_path / "joint.h5"
    score.combine(files, str(joint), "mine_ensemble2")
    one, two, both = (store.read(f, "systems")["answer"] for f in (*files, joint))
    assert both == pytest.approx((one + two) / 2)
    assert score.score(str(joint), toy.EVALUATION, 1, str(tmp_path / "s.h5"))["nmad"] < 0.03


def test_an_ensemble_of_mixtures_has_the_mean_of_their_densities(tmp_path, data):
    files = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        given = {**METHODS["mixture"], "epochs": 3}
        net = train(folder, data, architecture="mixture", seed=seed, **given)
        files.append(predict(folder, net, *data))
    joint = tmp_path / "joint.h5"
    score.combine(files, str(joint), "mine_ensemble2")
    one, two, both = (store.read(f, "densities")["pit"] for f in (*files, joint))
    assert np.abs(one - two).max() > 0.01
    assert both == pytest.approx((one + two) / 2, abs=1e-5)


def test_members_that_say_the_same_are_that_together(answered, tmp_path):
    kind, _, output, found = answered
    joint = str(tmp_path / "joint.h5")
    if kind == "forest":
        with pytest.raises(ValueError, match="not made better by seeds"):
            score.combine([output, output], joint, "mine_ensemble2")
        return
    score.combine([output, output], joint, "mine_ensemble2")
    again = score.score(joint, toy.EVALUATION, 1, str(tmp_path / "s.h5"))
    assert again["nmad"] == pytest.approx(found["nmad"], rel=1e-3)
    if "cde_loss" in found:
        assert again["cde_loss"] == pytest.approx(found["cde_loss"], rel=0.05)


def test_a_fit_without_epochs_is_one_trial_of_a_search(tmp_path, data):
    space = {"shrinkage": ["log_uniform", 0.001, 0.3], "leaves": ["choice", 4, 16]}
    study, output = tmp_path / "study.db", tmp_path / "0.json"
    search.search_worker(
        study=study,
        dataset=data[0],
        split=data[1],
        experiment="photo_z",
        settings=toy.settings(architecture="boosting", trees=20),
        search={"trials": 4, "workers": 1, "epochs": 1, "space": space},
        worker=0,
        seed=1,
        threads=1,
        folder=tmp_path / "worker0",
        output=output,
    )
    table, best = tmp_path / "trials.csv", tmp_path / "best.yaml"
    search.summarise_search(study, [str(output)], "photo_z", "boosting", table, best)
    head, *rows = table.read_text().splitlines()
    assert "val_nmad" in head.split(",")
    assert len(rows) == 4
    values = [float(row.split(",")[2]) for row in rows]
    assert min(values) == pytest.approx(
        float(best.read_text().split("val_nmad ")[1].split(",")[0]), abs=1e-5
    )


@pytest.mark.parametrize(
    ("network_", "message"),
    [
        ({"bands": ["sdss_q", "sdss_r"]}, r"mine.train_on: .* has no sdss_q; give the network"),
        ({"seeds": 3}, r"mine.seeds: a forest is not made better by seeds"),
        ({"reweight_to": "nothing"}, r"mine.reweight_to: 'nothing' does not exist"),
        ({"features": "all", "test_on": ["sdss_galex_2mass", "mock"]}, r"'mock' has no column"),
    ],
)
def test_what_a_method_cannot_be_asked_is_refused(network_, message):
    chosen = experiments.choices("photo_z")
    base = {"train_on": "sdss_galex_2mass", "test_on": ["sdss_galex_2mass"]}
    chosen["networks"] = {"mine": {**base, **network_}}
    with pytest.raises(ValueError, match=message):
        experiments.check("photo_z", chosen)


def test_a_search_of_a_network_that_says_nothing_of_its_validation_is_refused():
    with pytest.raises(ValueError, match=r"nothing to compare trials by: .*val_nmad"):
        search.merit({"loss": 1.0})


@pytest.mark.parametrize("part", methods.BLENDED)
def test_parts_of_a_blend_are_as_they_are_alone(part):
    properties = experiments.schema("photo_z")["$defs"]["network"]["properties"]
    by = {key: of.get("default_by", {}).get("architecture", {}) for key, of in properties.items()}
    # what the blend says for all its parts is not theirs
    own = {key: values for key, values in by.items() if "blend" not in values}
    alone = {key: values[part] for key, values in own.items() if part in values}
    assert alone and alone.items() <= methods.BLENDED[part].items()
