"""Networks for images: what they are made of, and what they must not be made of."""

import functools

import numpy as np
import pytest
from network_settings import architecture_settings

keras = pytest.importorskip("keras")

from lensmill import experiments  # noqa: E402
from lensmill.learning import image_models, stretch  # noqa: E402

SMALL = {"p4m": {"width": 2}, "resnet": {"width": 16}}
HEAVY = ("efficientnet_b0", "deeplens")  # seconds to build, tens to train


def names(also_heavy):
    marks = {name: pytest.mark.slow for name in HEAVY if not also_heavy}
    return [pytest.param(name, marks=marks.get(name, ()), id=name) for name in image_models.BODIES]


def build(name, shape=(32, 32, 1), **settings):
    chosen = architecture_settings(name, {**SMALL.get(name, {}), **settings})
    return image_models.build(name, shape, chosen, seed=3)


def pictures(n=16, shape=(32, 32, 1), seed=0):
    return np.random.default_rng(seed).normal(0, 2, (n, *shape)).astype(np.float32)


def layers_of(model):
    for layer in model._flatten_layers(include_self=False):
        if not isinstance(layer, keras.Model):
            yield layer


@functools.cache
def graph_of(name):
    """Operations of the forward pass, as TensorFlow runs them."""
    tensorflow = pytest.importorskip("tensorflow")
    model = build(name)
    spec = tensorflow.TensorSpec((16, *model.input_shape[1:]), "float32")
    traced = tensorflow.function(lambda x: model(x, training=True)).get_concrete_function(spec)
    return traced.graph.get_operations()


@pytest.mark.parametrize("name", names(also_heavy=False))
def test_a_network_trains_saves_and_loads_to_equal_logits(name, tmp_path):
    model, x = build(name), pictures()
    y = np.arange(16, dtype=np.float32)[:, None] % 2
    before = model.predict_on_batch(x)
    assert before.shape == (16, 1)
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    assert np.isfinite(model.train_on_batch(x, y))
    trained = model.predict_on_batch(x)
    assert np.isfinite(trained).all() and not np.array_equal(before, trained)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert np.array_equal(again.predict_on_batch(x), trained)


@pytest.mark.parametrize("name", names(also_heavy=False))
def test_weights_are_a_function_of_the_seed(name):
    one, same = build(name), build(name)
    other = image_models.build(
        name, (32, 32, 1), architecture_settings(name, SMALL.get(name, {})), seed=4
    )
    pairs = list(zip(one.get_weights(), same.get_weights(), strict=True))
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert not all(
        np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True)
    )


@pytest.mark.parametrize("name", names(also_heavy=True))
def test_no_convolution_of_one_pixel_strides(name):
    # R3: its weight gradient corrupts memory in the oneDNN of TensorFlow 2.19 to 2.21.
    checked = 0
    for operation in graph_of(name):
        if operation.type == "Conv2D":
            height, width = operation.inputs[1].shape[:2]
            checked += 1
            if (height, width) == (1, 1):
                assert set(operation.get_attr("strides")) == {1}, operation.name
    assert checked or name == "dense"


@pytest.mark.parametrize("name", names(also_heavy=True))
def test_matrix_products_take_two_axes(name):
    # R4: rank 4 times rank 2 gives wrong numbers there.
    for operation in graph_of(name):
        assert "BatchMatMul" not in operation.type and operation.type != "Einsum", operation.name
        if operation.type == "MatMul":
            assert all(len(given.shape) == 2 for given in operation.inputs)


@pytest.mark.parametrize("name", sorted(set(image_models.BODIES) - {"efficientnet_b0"}))
def test_channels_are_multiples_of_16(name):
    # R2; the bands of the image and the logit cannot be.
    for operation in graph_of(name):
        if operation.type == "Conv2D":
            into, out = operation.inputs[1].shape[2:]
            assert out % 16 == 0, operation.name
            assert into % 16 == 0 or into == BANDS_SEEN, operation.name


BANDS_SEEN = 1  # channels per band that the first convolution takes


def test_only_efficientnet_has_channels_of_its_own_and_never_where_a_pixel_strides():
    odd = [
        operation
        for operation in graph_of("efficientnet_b0")
        if operation.type == "Conv2D" and any(n % 16 for n in operation.inputs[1].shape[2:])
    ]
    assert odd
    assert all(
        set(operation.get_attr("strides")) == {1} or operation.inputs[1].shape[0] > 1
        for operation in odd
    )


def test_efficientnet_sees_the_stretched_pixels_and_not_a_255th_of_them():
    model = build("efficientnet_b0")
    scales = [
        layer.scale for layer in layers_of(model) if isinstance(layer, keras.layers.Rescaling)
    ]
    assert np.prod(scales) == pytest.approx(1.0)


def test_deeplens_has_46_layers_with_weights():
    # One convolution, then five stages of three blocks of three; shortcuts are not counted.
    model = build("deeplens")
    convolutions = [layer for layer in layers_of(model) if isinstance(layer, keras.layers.Conv2D)]
    shortcuts = 5 - 1  # the first stage has the channels it is given
    assert len(convolutions) - shortcuts == 46


def test_lastro_has_the_maps_of_its_paper_at_101_pixels():
    model = build("lastro", (101, 101, 1))
    flat = next(layer for layer in layers_of(model) if isinstance(layer, keras.layers.Flatten))
    assert flat.input.shape == (None, 5, 5, 128)


@pytest.mark.parametrize("name", ["p4m", "resnet", "one_conv"])
def test_pixels_in_another_unit_give_the_same_logits(name):
    # The stretch is in units of each image's own noise.
    model, x = build(name), pictures()
    assert np.asarray(model(x * 37)) == pytest.approx(np.asarray(model(x)), abs=1e-4)


def test_an_architecture_uses_its_own_settings_and_no_others():
    looked_at = set()

    class Looked(dict):
        def __getitem__(self, key):
            looked_at.add(key)
            return super().__getitem__(key)

    keys = experiments.schema("lens_finding")["$defs"]["network"]["properties"]
    sizes = {
        key: of["default_by"]["architecture"] for key, of in keys.items() if "default_by" in of
    }
    everything = architecture_settings("p4m")
    for name in image_models.BODIES:
        looked_at.clear()
        chosen = Looked(everything | architecture_settings(name))
        image_models.BODIES[name](keras.Input((32, 32, 1)), chosen, seed=0)
        assert looked_at == {key for key, of in sizes.items() if name in of}, name


def test_an_unknown_architecture_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"'vgg' is no architecture; there are deeplens, dense"):
        image_models.build("vgg", (32, 32, 1), {}, seed=0)


def test_images_that_are_too_small_are_refused():
    with pytest.raises(ValueError, match="12 x 12 pixels are too small"):
        image_models.build("resnet", (12, 12, 1), {}, seed=0)
    with pytest.raises(ValueError, match=r"30 x 30 pixels .* 'efficientnet_b0': 32 across"):
        image_models.build("efficientnet_b0", (30, 30, 1), {}, seed=0)


def test_the_small_preset_of_hst_fits_the_networks_of_the_field():
    for architecture in ("p4m", "resnet", "lastro", "deeplens"):
        model = image_models.build(
            architecture, (30, 30, 1), {**architecture_settings(architecture), "width": 2}, seed=0
        )
        assert model(np.zeros((1, 30, 30, 1), np.float32)).shape == (1, 1)


# The stretch


def test_the_stretch_is_linear_at_the_noise_and_logarithmic_above():
    layer = stretch.AsinhStretch(noise=[2.0])
    x = np.array([0.02, -0.02, 2.0, 2e4]).reshape(4, 1, 1, 1)
    expected = np.arcsinh(x / 2.0)
    assert np.asarray(layer(x)) == pytest.approx(expected, rel=1e-6)
    assert expected[0] == pytest.approx(0.01, rel=1e-4)


def test_the_stretch_by_logarithm_is_the_inverse_hyperbolic_sine():
    x = np.concatenate([-np.logspace(-6, 6, 200), [0.0], np.logspace(-6, 6, 200)])
    x = x.astype(np.float32)
    assert np.asarray(stretch.asinh(x)) == pytest.approx(np.arcsinh(x), rel=3e-6)


def test_the_noise_of_an_image_is_found_beside_a_galaxy_and_a_level_of_the_sky():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64] - 31.5
    galaxy = 3000 * np.exp(-np.hypot(x, y) / 3)
    sky = 12.0
    noise = rng.normal(0, 0.7, (200, 64, 64, 1))
    found = np.asarray(stretch.image_noise((noise + galaxy[..., None] + sky).astype(np.float32)))
    assert np.median(found) == pytest.approx(0.7, rel=0.02)
    assert found.std() < 0.1 * 0.7


def test_bands_have_their_own_noise():
    rng = np.random.default_rng(0)
    x = rng.normal(0, [1.0, 10.0], (50, 32, 32, 2)).astype(np.float32)
    found = np.median(np.asarray(stretch.image_noise(x)), axis=0).ravel()
    assert found == pytest.approx([1.0, 10.0], rel=0.05)


def test_a_training_scale_is_that_of_the_training_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 3.0, (100, 32, 32, 1)).astype(np.float32)
    x[50:] *= 100  # other rows: a test part of another depth
    assert stretch.training_noise(x, np.arange(50)) == pytest.approx([3.0], rel=0.03)


@pytest.mark.parametrize("name", ["p4m", "resnet"])
def test_constant_images_give_finite_logits(name):
    x = np.ones((4, 32, 32, 1), np.float32) * np.reshape([0.0, 5.0, -3.0, 1e8], (4, 1, 1, 1))
    assert np.isfinite(build(name)(x.astype(np.float32))).all()


def test_an_image_with_empty_edges_is_not_taken_for_a_bright_one():
    x = pictures()
    x[:, :8] = x[:, -8:] = x[:, :, :8] = x[:, :, -8:] = 0.0
    assert np.abs(np.asarray(stretch.AsinhStretch()(x))).max() < 1


UNITS = [1e-34, 1e-31, 1e-29, 1e-20, 1e-6, 1e6, 1e20, 1e35]


def in_unit(x, unit):
    """Return images in another unit of flux, rounded to 32 bits once."""
    return (x.astype(np.float64) * unit).astype(np.float32)


@pytest.mark.parametrize("name", ["p4m", "resnet", "lastro"])
def test_the_unit_of_flux_does_not_change_a_logit(name):
    model, x = build(name), pictures()
    x[:, 12:20, 12:20] += 40
    expected = model.predict_on_batch(x)
    for unit in UNITS:
        assert model.predict_on_batch(in_unit(x, unit)) == pytest.approx(expected, abs=1e-5), unit


@pytest.mark.parametrize("unit", UNITS)
def test_a_fixed_noise_may_be_in_any_unit_of_flux(unit):
    x = pictures()
    expected = np.asarray(stretch.AsinhStretch(noise=[2.0])(x))
    found = np.asarray(stretch.AsinhStretch(noise=[2.0 * unit])(in_unit(x, unit)))
    assert found == pytest.approx(expected, abs=1e-5)


def test_empty_and_constant_images_are_stretched_to_finite_numbers_in_any_unit():
    x = np.ones((2, 32, 32, 1), np.float32) * np.reshape([0.0, 1.0], (2, 1, 1, 1))
    for unit in UNITS:
        found = np.asarray(stretch.AsinhStretch()(in_unit(x, unit)))
        assert (found[0] == 0).all()
        assert found[1] == pytest.approx(np.arcsinh(1.0), rel=1e-6)
    assert (np.asarray(stretch.AsinhStretch(noise=[0.0])(0 * x)) == 0).all()


def test_pixels_that_are_not_to_be_stretched_are_seen_as_they_are():
    settings = {"width": 16, "dropout": 0.0, "stretch": "none"}
    model = image_models.build("dense", (20, 20, 1), settings, 0, outputs=4)
    assert not [layer for layer in model.layers if type(layer).__name__ == "AsinhStretch"]
    assert model.output_shape == (None, 4)
    x = np.random.default_rng(1).normal(size=(2, 20, 20, 1)).astype(np.float32)
    first = model.layers[2]
    seen = keras.Model(model.inputs, first.output).predict(x, verbose=0)
    by_hand = x.reshape(2, -1) @ first.get_weights()[0] + first.get_weights()[1]
    assert seen == pytest.approx(np.maximum(by_hand, 0), abs=1e-4)


def test_a_network_that_sees_polar_coordinates_trains_saves_and_loads(tmp_path):
    model = build("resnet", coordinates="polar", angles=36, radii=16)
    x, y = pictures(), np.arange(16, dtype=np.float32)[:, None] % 2
    assert model.get_layer("polar").output.shape == (None, 36 + 2 * 6, 16, 1)
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    assert np.isfinite(model.train_on_batch(x, y))
    trained = model.predict_on_batch(x)
    assert np.std(trained) > 0
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert np.array_equal(again.predict_on_batch(x), trained)


@pytest.mark.parametrize("name", ["resnet", "p4m"])
def test_a_network_that_bins_says_of_images_what_one_says_of_their_means(name):
    images = pictures(5)
    binned, plain = build(name, binning=2, stages=2), build(name, (16, 16, 1), stages=2)
    plain.set_weights(binned.get_weights())
    means = images.reshape(5, 16, 2, 16, 2, 1).mean(axis=(2, 4))
    found = binned.predict_on_batch(images)
    assert np.std(found) > 1e-3
    assert found == pytest.approx(plain.predict_on_batch(means), abs=1e-5)
    with pytest.raises(ValueError, match="images of 8 x 8 pixels are too small"):
        build(name, binning=4)
