"""Networks that measure lenses, and how their posteriors turn with the image."""

import json

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from lensmill import experiments  # noqa: E402
from lensmill.experiments.lens_parameters import architectures, network, rotation  # noqa: E402
from lensmill.experiments.lens_parameters.parameters import PARAMETERS, SPINS  # noqa: E402
from lensmill.learning import posteriors, steerable  # noqa: E402
from lensmill.learning.equivariant import ORDER, transform  # noqa: E402
from lensmill.pipeline import settings  # noqa: E402

SIZE = 32


def built(architecture, dense_blocks=0, **more):
    """Return a network with random weights, biases too, and its settings."""
    small = {"width": 2, "stages": 2, "neurons": 8, "components": 2, "dense_blocks": dense_blocks}
    chosen = {"architecture": architecture, "train_on": "lsst_quasars", "test_on": ["lsst_quasars"]}
    whole = experiments.network_settings("lens_parameters", {**chosen, **small, **more})
    model = architectures.build(whole, (SIZE, SIZE, 1), network.head(whole), seed=3)
    rng = np.random.default_rng(4)
    for weight in model.weights:
        # of the second layer of a residual block all weights begin as zeros
        if "bias" in weight.name or "beta" in weight.name or not np.any(weight):
            weight.assign(0.1 * rng.standard_normal(weight.shape))
    return model, whole


def images(n=4):
    return np.random.default_rng(5).normal(size=(n, SIZE, SIZE, 1)).astype("float32") + 1.0


def posterior(model, whole, pixels):
    """Return mean and covariance of every posterior, and the features."""
    outputs, features = architectures.answer(model, pixels)
    mixture = network.head(whole).unpack(outputs)
    width = [0.7, 1.2, 1.2, 0.8, 1.4, 1.4, 0.9, 0.9, 1.6, 1.6]  # one for what turns together
    scales = posteriors.Scales(np.array([0.3, 0.7]), np.array([width, len(width) * [1.0]]))
    mixture = posteriors.scale_mixture(mixture, scales)
    # what turns has one scale for both components, and no mean
    scale = np.array([0.3, 0.2, 0.2, 0.1, 0.05, 0.05, 0.1, 0.1, 0.4, 0.4])
    mean = np.array([0.1, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    mixture = posteriors.rescale(mixture, mean, scale)
    spread = np.linalg.inv(mixture.factor)
    return mixture.weight, mixture.mean, spread @ spread.transpose(0, 1, 3, 2), features


@pytest.mark.parametrize("dense_blocks", [0, 2])
@pytest.mark.parametrize("element", range(ORDER))
def test_posteriors_of_p4m_turn_with_the_image(element, dense_blocks):
    model, whole = built("p4m", dense_blocks)
    pixels = images()
    view = np.stack([transform(image, element) for image in pixels])
    weight, mean, covariance, features = posterior(model, whole, pixels)
    turned = posterior(model, whole, view)
    matrix = steerable.representation(SPINS)[element]
    assert turned[0] == pytest.approx(weight, abs=1e-5)
    assert turned[1] == pytest.approx(mean @ matrix.T, abs=1e-5)
    expected = matrix @ covariance @ matrix.T
    assert turned[2] == pytest.approx(expected, rel=1e-4, abs=1e-5 * expected.max())
    assert turned[3] == pytest.approx(features, abs=1e-5)  # as strange from every side
    if element:
        assert turned[1] != pytest.approx(mean, abs=1e-3)


@pytest.mark.parametrize("architecture", ["p4m", "resnet"])
def test_dense_blocks_are_saved_and_read_and_change_the_answer(architecture, tmp_path):
    pixels = images()
    answers = []
    for blocks in (0, 2):
        model, _ = built(architecture, blocks)
        model.save(tmp_path / f"{blocks}.keras")
        read = keras.models.load_model(tmp_path / f"{blocks}.keras")
        answers.append(architectures.answer(model, pixels)[0])
        assert architectures.answer(read, pixels)[0] == pytest.approx(answers[-1], abs=1e-5)
    assert answers[0] != pytest.approx(answers[1], abs=1e-2)


def test_a_network_sees_the_image_in_polar_coordinates():
    model, whole = built("resnet", coordinates="polar", angles=48, radii=16)
    assert (whole["angles"], whole["radii"]) == (48, 16)
    assert model.get_layer("polar").output.shape == (None, 48 + 2 * 8, 16, 1)
    outputs, _ = architectures.answer(model, images())
    assert outputs.shape == (len(images()), network.head(whole).outputs)
    assert np.isfinite(outputs).all()
    with pytest.raises(ValueError, match="angles would be ignored with coordinates 'pixels'"):
        settings.check_networks(
            {"networks": {"one": {"architecture": "resnet", "angles": 48}}},
            experiments.schema("lens_parameters"),
            "lens_parameters",
        )


def test_posteriors_of_a_plain_network_do_not():
    model, whole = built("resnet")
    pixels = images()
    view = np.stack([transform(image, 1) for image in pixels])
    _, mean, _, _ = posterior(model, whole, pixels)
    _, turned, _, _ = posterior(model, whole, view)
    assert turned != pytest.approx(mean @ steerable.representation(SPINS)[1].T, abs=1e-3)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Return what `rotation` finds of networks with random weights."""
    folder = tmp_path_factory.mktemp("rotation")
    found = {}
    for architecture in ("p4m", "resnet"):
        model, whole = built(architecture)
        model.save(folder / "model.keras")
        size = len(PARAMETERS)
        standard = {"mean": size * [0.0], "scale": size * [1.0]}
        scales = {"weight": [1.0], "width": [size * [1.0]]}
        record = {"settings": whole, "standardisation": standard, "scales": scales}
        (folder / "training.json").write_text(json.dumps(record))
        rotation.rotation(
            model=str(folder / "model.keras"),
            training=str(folder / "training.json"),
            population_settings=settings.population(
                experiments.defaults("lens_parameters"), "lsst_quasars"
            ),
            seed=1,
            experiment="lens_parameters",
            population="lsst_quasars",
            angles=8,
            systems=3,
            threads=1,
            output=str(folder / "rotation.json"),
        )
        found[architecture] = json.loads((folder / "rotation.json").read_text())
    return found


def test_the_same_sky_is_answered_alike_at_quarter_turns_by_p4m_alone(measured):
    quarters = slice(0, None, 2)
    for group in rotation.GROUPS:
        p4m, resnet = (np.array(measured[of]["change"][group]["most"]) for of in ("p4m", "resnet"))
        assert p4m[quarters].max() < 1e-4, group
        assert p4m[1] > 1e-4, group  # between them the pixels are others
        assert resnet[2] > 1e-3, group
        assert p4m[0] == resnet[0] == 0.0


def test_the_example_has_the_truth_at_every_angle(measured):
    found = measured["p4m"]
    assert found["angle"] == pytest.approx(np.linspace(0, 360, 9))
    example = found["example"]
    e1, e2 = (np.array(example[f"ellipticity_{i}"]["truth"]) for i in (1, 2))
    assert np.hypot(e1, e2) == pytest.approx(np.full(9, np.hypot(e1[0], e2[0])))
    assert e1[2] == pytest.approx(-e1[0])  # twice a quarter turn
    assert example["theta_e"]["truth"] == pytest.approx(9 * [example["theta_e"]["truth"][0]])
    assert example["source_x"]["truth"][4] == pytest.approx(-example["source_x"]["truth"][0])
