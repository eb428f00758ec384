"""Networks that weigh clusters: what they are made of, their symmetry, a run of small images."""

import json

import numpy as np
import pytest
from cluster_mass_settings import population

from lensmill import experiments
from lensmill.experiments.cluster_mass import score, simulate
from lensmill.pipeline import shards, splits, store

keras = pytest.importorskip("keras")

from lensmill.experiments.cluster_mass import architectures, network, rotation, saliency  # noqa: E402

SIZE = 32
EVALUATION = {"bins": 3, "bootstraps": 10}


def chosen(**settings):
    settings = {"train_on": "flat", "test_on": ["flat"], "tensorboard": False} | settings
    return experiments.network_settings("cluster_mass", settings)


def small():
    """Return settings of a population whose images are few pixels of much sky."""
    settings = population("flat", views=2)
    settings["observation"] |= {"size": SIZE, "pixel_scale": 76.8}
    return settings


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("data") / "flat.h5")
    shards.simulate(f"{path}.0", simulate, "cluster_mass", "flat", 1, 0, 320, small(), "code")
    identity = {"experiment": "cluster_mass", "population": "flat", "seed": 1, "code": "code"}
    shards.merge([f"{path}.0"], path, 320, settings=small(), **identity)
    splits.write(path, f"{path}.split", "mass_bin", (5, 1, 2), stratify_groups=True)
    return path


def run(folder, dataset, **settings):
    """Train a network, ask it about the test part, and return it with what it says."""
    folder.mkdir(exist_ok=True)
    model, training = str(folder / "model.keras"), str(folder / "training.json")
    files = model, str(folder / "history.csv"), training, str(folder / "checkpoints")
    network.train(dataset, f"{dataset}.split", chosen(**settings), 1, 1, *files)
    loaded = network.load(model, training)
    raw, output = str(folder / "raw.h5"), str(folder / "predictions.h5")
    network.predict(loaded, dataset, f"{dataset}.split", EVALUATION, 1, raw, "net", "flat")
    found = score.score(raw, EVALUATION, 1, output)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return loaded, store.read(output, "systems"), found, (model, training, output)


P4M = {"architecture": "p4m", "width": 2, "binning": 1, "stages": 2, "hidden": [16]}


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("p4m")
    return run(folder, data, **P4M, epochs=30, batch_size=16, learning_rate=0.005)


def test_the_network_of_three_convolutions_has_the_weights_of_its_group():
    model = architectures.build(chosen(given=[]), (128, 128, 1), 0, seed=1)
    assert model.count_params() == 90_885
    told = architectures.build(chosen(), (128, 128, 1), 1, seed=1)
    assert told.count_params() == 90_885 + 200  # one number more into the first dense layer
    six = architectures.build(chosen(architecture="six_conv"), (128, 128, 1), 1, seed=1)
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in six.layers) == 6


def test_photons_that_are_added_up_stay_photons():
    settings = chosen(binning=4, given=[])
    model = architectures.build(settings, (64, 64, 1), 0, seed=1)
    seen = keras.Model(model.input, next(x for x in model.layers if "rescaling" in x.name).output)
    pixels = np.random.default_rng(0).poisson(2.0, (3, 64, 64, 1)).astype(np.float32)
    added = np.asarray(seen(pixels))
    assert added.shape == (3, 16, 16, 1)
    assert added.sum(axis=(1, 2, 3)) == pytest.approx(pixels.sum(axis=(1, 2, 3)), rel=1e-6)
    assert added[0, 1, 2, 0] == pytest.approx(pixels[0, 4:8, 8:12].sum())


@pytest.mark.parametrize("binning", [1, 2])
def test_p4m_says_the_same_of_an_image_that_is_turned_or_mirrored(binning):
    settings = chosen(**P4M | {"binning": binning})
    model = architectures.build(settings, (64, 64, 1), 1, seed=2)
    rng = np.random.default_rng(1)
    pixels = rng.poisson(rng.gamma(0.5, 4, (4, 64, 64, 1))).astype(np.float32)
    told = np.ones((4, 1), np.float32)
    upright = np.asarray(model((pixels, told)))
    assert upright.std() > 0
    for seen in (np.rot90(pixels, 1, (1, 2)), pixels[:, ::-1], pixels.transpose(0, 2, 1, 3)):
        assert np.asarray(model((seen.copy(), told))) == pytest.approx(upright, abs=2e-5)
    plain = architectures.build(chosen(), (64, 64, 1), 1, seed=2)
    turned = np.asarray(plain((np.rot90(pixels, 1, (1, 2)).copy(), told)))
    assert np.abs(turned - np.asarray(plain((pixels, told)))).max() > 1e-4


def test_under_flat_weights_all_bins_count_alike_but_the_rarest():
    mass_bin = np.repeat([3, 4, 5, 9], [600, 300, 99, 1])
    weights = network.flat_weights(mass_bin, np.arange(1000), "flat")
    of_bin = [weights[mass_bin == k].sum() for k in (3, 4, 5)]
    assert np.ptp(of_bin) < 1e-3 * of_bin[0] and weights.mean() == pytest.approx(1, rel=1e-5)
    assert weights[-1] < of_bin[0] / 5  # one cluster is not learned by heart
    assert network.flat_weights(mass_bin, np.arange(1000), "none") is None


def test_a_network_learns_mass_and_is_judged_beside_simple_estimators(trained, data):
    _, systems, found, _ = trained
    # no cluster that it learned from is judged
    part = splits.read(data, f"{data}.split")
    group = splits.groups(data)
    assert not {*systems["group"]} & {*group[part == splits.TRAIN]}
    assert found["clusters"] == len({*systems["group"]}) == found["systems"] // 2
    assert found["scatter"] < 0.6 * systems["ln_m500"].std()
    answers = found["answers"]
    assert answers["gas_mass"]["scatter"] < answers["counts_excised"]["scatter"]
    assert answers["network"]["scatter"] == found["scatter"]
    error = systems["ln_m500_network"] - systems["ln_m500"]
    assert found["scatter"] == pytest.approx(error.std(), rel=1e-9)
    assert len(answers["network"]["by_mass"]["bias"]) == EVALUATION["bins"]


def test_images_of_another_size_are_refused(trained, tmp_path):
    settings = small()
    settings["observation"] |= {"size": 16}
    other = str(tmp_path / "other.h5")
    shards.simulate(other, simulate, "cluster_mass", "flat", 1, 0, 4, settings, "code")
    with pytest.raises(ValueError, match="16 x 16 pixels"):
        network.predict(trained[0], other, None, EVALUATION, 1, str(tmp_path / "p"), "net", "flat")


def test_the_gradient_is_that_of_the_mass_by_a_photon(trained, data):
    loaded = trained[0]
    pixels = np.array(store.pixels(data)[:3])
    systems = {name: values[:3] for name, values in store.read(data, "systems").items()}
    found = saliency.gradient(loaded, pixels, systems)
    for row, column in ((16, 16), (20, 9)):
        more, less = (pixels.copy() for _ in range(2))
        more[:, row, column] += 0.05
        less[:, row, column] -= 0.05
        up, down = (network.answer(loaded, x, systems) for x in (more, less))
        assert found[:, row, column, 0] == pytest.approx((up - down) / 0.1, abs=2e-4)


def test_rings_share_out_the_photons_and_what_the_stretch_leaves_of_them(trained, data, tmp_path):
    *_, (model, training, predictions) = trained
    output = str(tmp_path / "photons.h5")
    saliency.saliency(model, training, data, predictions, 20, 2, 1, output)
    rings, maps = store.read(output, "rings"), store.read(output, "maps")
    kinds = [kind for kind in ("cool", "other") if rings[f"images_{kind}"][0]]
    for kind in kinds:
        for name in ("photons", "stretched"):
            assert rings[f"{name}_{kind}"].sum() == pytest.approx(1.0)
        # the core is bright, so the stretch takes weight from it
        assert rings[f"stretched_{kind}"][0] < rings[f"photons_{kind}"][0]
    assert sum(rings[f"images_{kind}"][0] for kind in kinds) == 20
    assert maps["pixels"].shape == maps["gradient"].shape == (2, SIZE, SIZE)


def test_the_stretch_weighs_a_pixel_by_its_derivative():
    counts = np.random.default_rng(0).poisson(3.0, (1, 4, 4)).astype(float)
    found = saliency.by_stretch(counts, {"binning": 2, "softening": 1.5})

    def mean(pixels):
        return np.arcsinh(pixels.reshape(1, 2, 2, 2, 2).sum(axis=(2, 4)) / 1.5).sum()

    step = np.zeros((1, 4, 4))
    step[0, 1, 2] = 1e-5
    slope = (mean(counts + step) - mean(counts - step)) / 2e-5
    assert found[0, 1, 2] == pytest.approx(counts[0, 1, 2] * slope, rel=1e-6)


def test_the_sky_turned_by_quarters_weighs_the_same_to_p4m(trained, tmp_path):
    *_, (model, training, _) = trained
    output = tmp_path / "rotation.json"
    rotation.rotation(model, training, small(), 1, "cluster_mass", "flat", 8, 3, 1, str(output))
    found = json.loads(output.read_text())
    assert found["angle"] == list(np.linspace(0, 360, 9))
    for way in ("sky", "pixels"):
        change = np.array(found[way]["change"])
        assert change[0] == 0 and change[::2].max() < 1e-4, way
        assert change[1::2].min() > 1e-4, way  # other pixels, other photons


def test_pixels_turned_as_a_picture_go_counter_clockwise_and_lose_the_corners():
    pixels = np.ones((1, 32, 32, 1), np.float32)
    pixels[0, 16, 26] = 9.0  # to the right
    up = rotation.turn_pixels(pixels, 90.0)[0, ..., 0]
    assert np.unravel_index(up.argmax(), up.shape) == (26, 15)
    slanted = rotation.turn_pixels(pixels, 45.0)[0, ..., 0]
    assert slanted[0, 0] == 0 and up.min() == pytest.approx(1.0)
