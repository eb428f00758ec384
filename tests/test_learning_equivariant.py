"""The dihedral group of 8, and networks that cannot tell its views apart."""

import numpy as np
import pytest
from network_settings import architecture_settings

keras = pytest.importorskip("keras")

from lensmill.learning import equivariant, image_models  # noqa: E402


def build(architecture, shape, settings):
    """Build a network with all its settings, of which some are given."""
    return image_models.build(
        architecture, shape, architecture_settings(architecture, settings), seed=1
    )


def images(size, n=6, seed=0):
    """Blobs off the centre over noise: nothing about them is symmetric."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    at = rng.uniform(-size / 4, size / 4, (n, 2, 1, 1))
    light = 50 * np.exp(-((x - at[:, 0]) ** 2 + 3 * (y - at[:, 1]) ** 2) / size)
    return (light + rng.normal(0, 1, light.shape)).astype(np.float32)[..., None]


def seen(pictures, element):
    return np.stack([equivariant.transform(picture, element) for picture in pictures])


def change(model, pictures):
    """Largest change of a logit under the 8 views, in units of the spread of logits."""
    logit = np.asarray(model(pictures))
    views = [np.asarray(model(seen(pictures, element))) for element in range(1, 8)]
    return max(np.abs(view - logit).max() for view in views) / logit.std()


def trained(model):
    """Move what training moves: statistics and scales of batch normalisation, all weights."""
    rng = np.random.default_rng(1)
    weights = [w + rng.uniform(0, 0.1, w.shape) for w in model.get_weights()]
    model.set_weights(weights)
    return model


def test_the_group_has_8_elements_and_an_inverse_of_each():
    table = equivariant.products()
    for line in (*table, *table.T):
        assert sorted(line) == list(range(8))
    assert table[0].tolist() == table[:, 0].tolist() == list(range(8))


def test_a_quarter_turn_four_times_is_nothing_and_turns_do_not_commute_with_mirrors():
    table = equivariant.products()
    twice = table[1, 1]
    assert table[twice, twice] == 0
    assert table[1, 4] != table[4, 1]


@pytest.mark.parametrize("size, stride", [(3, 1), (6, 2), (8, 4)])
def test_maps_of_a_turned_image_are_turned_and_change_places(size, stride):
    layer = equivariant.GroupConvolution(2, size, lifting=True, stride=stride, padding="valid")
    pictures = images(32 if size > 3 else 9)
    maps = np.asarray(layer(pictures))
    table = equivariant.products()
    for g in range(8):
        of_turned = np.asarray(layer(seen(pictures, g)))
        turned = seen(maps, g).reshape(*maps.shape[:-1], 8, 2)
        for h in range(8):
            there = of_turned.reshape(turned.shape)[..., table[g, h], :]
            assert there == pytest.approx(turned[..., h, :], abs=1e-3)


def test_a_layer_on_the_group_is_equivariant_too():
    first = equivariant.GroupConvolution(2, 3, lifting=True)
    second = equivariant.GroupConvolution(4, 3, seed=2)
    pictures = images(9)
    pooled = [
        np.asarray(second(first(seen(pictures, g)))).sum(axis=(1, 2)).reshape(-1, 8, 4).mean(axis=1)
        for g in range(8)
    ]
    for other in pooled[1:]:
        assert other == pytest.approx(pooled[0], rel=1e-4, abs=1e-2)


def test_weights_are_shared_by_the_8_orientations():
    layer = equivariant.GroupConvolution(4, 3)
    layer.build((None, 9, 9, 8 * 6))
    assert layer.count_params() == 8 * 9 * 6 * 4
    assert layer.expanded().shape == (3, 3, 8 * 6, 8 * 4)


@pytest.mark.parametrize("size, stem", [(32, 4), (33, 2), (48, 4), (50, 2), (64, 2), (101, 4)])
def test_p4m_gives_all_views_the_same_logit_at_every_size(size, stem):
    pictures = images(size)
    model = build("p4m", (size, size, 1), {"width": 2, "stem": stem})
    assert change(trained(model), pictures) < 1e-5


def test_p4m_of_several_bands_and_blocks_is_invariant():
    pictures = np.concatenate([images(32, seed=i) for i in range(3)], axis=-1)
    settings = {"width": 4, "blocks": 2, "dropout": 0.3, "stem": 2}
    model = trained(build("p4m", (32, 32, 3), settings))
    assert change(model, pictures) < 1e-5


@pytest.mark.parametrize("architecture", ["resnet", "one_conv", "lastro"])
def test_plain_networks_are_not_invariant(architecture):
    pictures = images(32)
    model = build(architecture, (32, 32, 1), {})
    assert change(trained(model), pictures) > 1e-3


@pytest.mark.parametrize("architecture", ["p4m", "resnet", "dense", "one_conv"])
def test_only_p4m_learns_the_same_from_turned_images(architecture):
    pictures, moved = images(32), []
    for g in (0, 1, 6):
        model = build(architecture, (32, 32, 1), {"width": 16})
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.train_on_batch(seen(pictures, g), np.arange(len(pictures), dtype=np.float32)[:, None])
        moved.append(np.concatenate([np.ravel(w) for w in model.get_weights()]))
    same = [np.allclose(moved[0], other, rtol=1e-3, atol=1e-4) for other in moved[1:]]
    assert same == [architecture == "p4m"] * 2


def test_images_that_are_not_square_are_refused_by_p4m():
    with pytest.raises(ValueError, match="32 x 40 pixels cannot be turned"):
        build("p4m", (32, 40, 1), {})


def test_an_odd_width_is_refused_by_p4m():
    with pytest.raises(ValueError, match="width is 3"):
        build("p4m", (32, 32, 1), {"width": 3})


def test_a_convolution_off_its_centre_is_refused():
    with pytest.raises(ValueError, match="off-centre"):
        equivariant.GroupConvolution(2, 4)
    with pytest.raises(ValueError, match="off-centre"):
        equivariant.GroupConvolution(2, 3, stride=2)


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_strides_of_a_centred_kernel_cover_every_size_evenly(stride):
    for pixels in range(16, 110):
        size = equivariant.centred_kernel(pixels, 6, stride)
        assert 6 <= size < 6 + stride
        assert (pixels - size) % stride == 0
