"""A trained image network in ONNX says what it says in Keras, in 32 bits and in 8."""

import json

import numpy as np
import pytest
from network_settings import architecture_settings
from sklearn.metrics import roc_auc_score

from lensmill.learning import export as exporting
from lensmill.pipeline import store

SIDE, TRAIN, TEST = 24, 768, 400
FACTS = {"bands": json.dumps(["VIS"])}


@pytest.fixture(scope="module", params=["p4m", "resnet", "polar"])
def exported(request, tmp_path_factory):
    """Train a small network on rings and discs and export it; return its folder."""
    keras = pytest.importorskip("keras")
    from lensmill.learning import image_models

    folder = tmp_path_factory.mktemp(request.param)
    pixels, is_lens = rings(2 * TRAIN + TEST)
    n = len(pixels)
    index = np.arange(n)
    systems = {"index": index, "is_lens": is_lens, "label_known": np.ones(n, np.uint8)}
    tables = {"systems": systems, "cutouts": {"system": index, "pixels": pixels}}
    _write(folder / "dataset.h5", tables)
    split = np.repeat([0, 1, 2], [TRAIN, TRAIN, TEST]).astype(np.uint8)
    _write(folder / "split.h5", {"systems": {"index": index, "split": split}})

    settings = {"softening": 1.0, "width": 2 if request.param == "p4m" else 16, "stages": 2}
    architecture = request.param
    if architecture == "polar":
        architecture = "resnet"
        settings |= {"coordinates": "polar", "angles": 36, "radii": 16}
    settings = architecture_settings(architecture, settings)
    network = image_models.build(architecture, pixels.shape[1:], settings, seed=1)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(3e-3), loss)
    network.fit(pixels[:TRAIN], is_lens[:TRAIN, None], batch_size=64, epochs=6, verbose=0)
    network.save(folder / "model.keras")
    about = {"architecture": architecture, "population": "rings"}
    (folder / "training.json").write_text(json.dumps(about))
    inputs = ("model.keras", "training.json", "dataset.h5", "split.h5")
    outputs = ("model.onnx", "model.int8.onnx", "export.json")
    files = [str(folder / name) for name in inputs + outputs]
    exporting.export(*files, is_lens == 1, np.ones(n, bool), threads=1)
    return folder


def rings(n):
    """Draw images of a galaxy with an arc or with a blob beside it."""
    rng = np.random.default_rng(5)
    is_lens = (np.arange(n) % 2).astype(np.uint8)
    x, y = np.meshgrid(np.arange(SIDE) - SIDE / 2 + 0.5, np.arange(SIDE) - SIDE / 2 + 0.5)
    r = np.hypot(x, y)
    pixels = rng.normal(size=(n, SIDE, SIDE, 1))
    for image, lens in zip(pixels[..., 0], is_lens, strict=True):
        radius, angle = rng.uniform(5, 9), rng.uniform(0, 2 * np.pi)
        if lens:
            light = np.exp(-((r - radius) ** 2)) * (np.cos(np.arctan2(y, x) - angle) > 0)
        else:
            at = radius * np.cos(angle), radius * np.sin(angle)
            light = 2 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 8)
        image += 30 * np.exp(-r / 1.5) + rng.uniform(1, 3) * light
    return pixels.astype(np.float32), is_lens


def _write(path, tables):
    store.write(path, tables, {name: dict.fromkeys(t, "") for name, t in tables.items()}, FACTS)


def run(path, pixels):
    """Run an ONNX file."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["logit"], {"pixels": pixels})[0][:, 0]


def test_32_bits_say_what_keras_says(exported):
    import keras

    import lensmill.learning.image_models  # noqa: F401

    pixels = rings(32)[0]
    network = keras.saving.load_model(exported / "model.keras", compile=False)
    assert run(exported / "model.onnx", pixels) == pytest.approx(
        network.predict(pixels, verbose=0)[:, 0], abs=1e-4
    )


@pytest.mark.parametrize("form", ["model.onnx", "model.int8.onnx"])
def test_the_unit_of_flux_changes_no_exported_logit(exported, form):
    pixels, is_lens = rings(64)
    expected = run(exported / form, pixels)
    for unit in (1e-34, 1e-31, 1e-20, 1e20, 1e35):
        found = run(exported / form, (pixels.astype(np.float64) * unit).astype(np.float32))
        # a pixel that is rounded to the next of 8 bits moves the logit by more
        assert found == pytest.approx(expected, abs=1e-5 if form == "model.onnx" else 0.1)
        assert roc_auc_score(is_lens, found) == pytest.approx(
            roc_auc_score(is_lens, expected), abs=1e-9 if form == "model.onnx" else 0.01
        )


def test_8_bits_cost_little_in_area_under_the_curve(exported):
    pixels, is_lens = rings(2 * TRAIN + TEST)
    pixels, is_lens = pixels[-TEST:], is_lens[-TEST:]
    floats, eights = (run(exported / f"model{form}.onnx", pixels) for form in ("", ".int8"))
    assert roc_auc_score(is_lens, floats) > 0.9  # it has learned something that can be lost
    assert roc_auc_score(is_lens, eights) == pytest.approx(
        roc_auc_score(is_lens, floats), abs=exporting.PERMITTED
    )
    assert np.abs(eights - floats).max() > 1e-3  # or nothing was quantised


def test_the_report_is_of_these_files(exported):
    report = json.loads((exported / "export.json").read_text())
    assert report["test_images"] == TEST
    for form, name in (
        ("keras", "model.keras"),
        ("onnx", "model.onnx"),
        ("int8", "model.int8.onnx"),
    ):
        assert report[form]["bytes"] == (exported / name).stat().st_size
        assert report[form]["images_per_second"].keys() == {"1", "64"}
        pixels, is_lens = rings(2 * TRAIN + TEST)
        if form != "keras":
            logit = run(exported / name, pixels[-TEST:])
            assert roc_auc_score(is_lens[-TEST:], logit) == pytest.approx(report[form]["auroc"])
    assert report["onnx"]["logit_difference"]["most"] < 1e-4


def test_weights_of_8_bits_take_less_room(exported):
    onnx = pytest.importorskip("onnx")
    floats, eights = (onnx.load(exported / f"model{form}.onnx") for form in ("", ".int8"))

    def weights(model):
        return sum(len(i.raw_data) for i in model.graph.initializer if len(i.dims) in (2, 4))

    # in polar coordinates the network knows where pixels lie, which does not shrink
    most = 0.65 if exported.name.startswith("polar") else 0.6
    assert weights(eights) < most * weights(floats)


def test_the_file_says_what_goes_in_and_what_comes_out(exported):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported / "model.int8.onnx")
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == [
        "pixels",
        "logit",
    ]
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert (about["trained_on"], about["bands"]) == ("rings", "VIS")
    assert "electron / s" in about["pixels"]


@pytest.mark.parametrize("n", [1, 3])
def test_any_number_of_images_goes_in_at_once(exported, n):
    assert run(exported / "model.int8.onnx", rings(n)[0]).shape == (n,)


def test_a_lens_seen_from_another_side_stays_one(exported):
    pixels = rings(16)[0]
    if json.loads((exported / "training.json").read_text())["architecture"] != "p4m":
        pytest.skip("a plain network has no such symmetry")
    turned = np.rot90(pixels, axes=(1, 2))[:, ::-1].copy()
    logit = run(exported / "model.onnx", pixels)
    assert run(exported / "model.onnx", turned) == pytest.approx(logit, abs=1e-4)


def test_shared_kernels_give_the_same_numbers_in_an_eighth_of_the_room():
    keras = pytest.importorskip("keras")
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    from lensmill.learning.equivariant import GroupConvolution

    layer = GroupConvolution(2, 3)
    layer.build((None, 9, 9, 32))
    kernel = keras.ops.convert_to_numpy(layer.expanded()).transpose(3, 2, 0, 1)
    pixels, logit = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("pixels", (1, 32, 9, 9)), ("logit", (1, 16, 7, 7)))
    )
    node = helper.make_node("Conv", ["pixels", "w"], ["logit"])
    graph = helper.make_graph(
        [node], "g", [pixels], [logit], [numpy_helper.from_array(kernel, "w")]
    )
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    shared = exporting.share_kernels(whole, [layer])

    x = np.random.default_rng(1).normal(size=(1, 32, 9, 9)).astype(np.float32)
    one, other = (
        exporting._session(model, 1).run(None, {"pixels": x})[0] for model in (whole, shared)
    )
    assert np.array_equal(one, other)
    assert shared.ByteSize() < 0.4 * whole.ByteSize()  # 18 kB of numbers become 2.3 kB and an index

    kernel = kernel.copy()
    kernel[3, 4, 1, 1] += 1  # no longer one kernel in 8 orientations: it must not be shared
    whole.graph.initializer[0].CopyFrom(numpy_helper.from_array(kernel, "w"))
    assert exporting.share_kernels(whole, [layer]).SerializeToString() == whole.SerializeToString()


def test_an_export_that_loses_too_much_is_refused_with_the_numbers():
    found = {form: {"auroc": auroc} for form, auroc in (("keras", 0.95), ("onnx", 0.95))}
    exporting._refuse_loss({**found, "int8": {"auroc": 0.9485}}, 1000)
    for auroc in (0.93, 0.947, 0.97, float("nan")):
        with pytest.raises(ValueError, match=r"int8 form .* Keras has 0.9500, with 1000 test"):
            exporting._refuse_loss({**found, "int8": {"auroc": auroc}}, 1000)
    exporting._refuse_loss({**found, "int8": {"auroc": 0.93}}, 40)  # what one system is worth


@pytest.mark.parametrize("fewer", [0, 1])
def test_an_export_that_no_image_can_judge_is_not_called_good(fewer):
    found = {form: {"auroc": 0.5} for form in ("keras", "onnx", "int8")}
    with pytest.raises(ValueError, match=f"{fewer} images of the rarer class: with fewer than 5"):
        exporting._refuse_loss(found, fewer)


def test_several_classes_are_judged_by_the_mean_of_each_against_the_others():
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1, 2], 50)
    logits = rng.normal(size=(150, 3))
    logits[np.arange(150), labels] += 1.0
    wanted = roc_auc_score(
        labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), multi_class="ovr"
    )
    assert exporting._auroc(labels, logits) == pytest.approx(wanted)
    two = labels[:100]
    assert exporting._auroc(two, logits[:100, :1]) == roc_auc_score(two, logits[:100, 0])


def test_a_network_of_three_classes_is_exported(tmp_path):
    keras = pytest.importorskip("keras")
    pytest.importorskip("onnxruntime")
    from lensmill.learning import image_models

    n = 360
    rng = np.random.default_rng(6)
    labels = np.arange(n) % 3
    x, y = np.meshgrid(np.arange(16) - 7.5, np.arange(16) - 7.5)
    shapes = np.stack([np.hypot(x, y) < 3, np.abs(x) < 1, np.abs(y) > 5])
    pixels = (rng.normal(size=(n, 16, 16)) + 4 * shapes[labels]).astype(np.float32)[..., None]
    index = np.arange(n)
    tables = {"systems": {"index": index}, "cutouts": {"system": index, "pixels": pixels}}
    _write(tmp_path / "dataset.h5", tables)
    split = np.repeat([0, 1, 2], n // 3).astype(np.uint8)
    _write(tmp_path / "split.h5", {"systems": {"index": index, "split": split}})
    settings = architecture_settings("resnet", {"softening": 1.0, "width": 16, "stages": 1})
    network = image_models.build("resnet", (16, 16, 1), settings, seed=1, outputs=3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(3e-3), loss)
    network.fit(pixels[: n // 3], labels[: n // 3], batch_size=24, epochs=4, verbose=0)
    network.save(tmp_path / "model.keras")
    about = {"architecture": "resnet", "population": "shapes"}
    (tmp_path / "training.json").write_text(json.dumps(about))
    names = ("model.keras", "training.json", "dataset.h5", "split.h5", "m.onnx", "m8.onnx")
    files = [str(tmp_path / name) for name in (*names, "export.json")]
    exporting.export(*files, labels, np.ones(n, bool), threads=1, permitted=0.005)
    report = json.loads((tmp_path / "export.json").read_text())
    assert report["keras"]["auroc"] > 0.9
    assert abs(report["int8"]["auroc"] - report["keras"]["auroc"]) <= max(0.005, 3 / n)
    import onnxruntime

    session = onnxruntime.InferenceSession(files[5], providers=["CPUExecutionProvider"])
    assert session.run(None, {"pixels": pixels[:4]})[0].shape == (4, 3)
