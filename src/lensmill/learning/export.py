"""A trained image network for other programs: ONNX in 32 bits, and with convolutions in 8.

Both files take pixels as they are stored, (n, height, width, bands) in electrons per second, and
give logits, (n, 1) of two classes and (n, C) of more: the stretch is part of the network. Keras is
not needed to use them.
"""

import contextlib
import json
import logging
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.learning import classification, runs, tables
from lensmill.pipeline import store

# Keras, ONNX and its runtime are imported where they are used: they take seconds, and threads must
# be limited before.

log = logging.getLogger(__name__)

PERMITTED = 0.002  # loss of AUROC that an export may cost
CALIBRATION_IMAGES = 256  # of the training part, from which ranges of 8 bits are taken
CALIBRATION_PERCENTILE = 99.99  # of what a layer gives: the last bright pixels are clipped
FEWEST = 5  # test images of the rarer class below which an AUROC says nothing
MOST_IN_FLOAT = 4  # convolutions that may stay in 32 bits, from the first
BATCHES = (1, 64)
REPEATS = 5


def export(
    model: str,
    training: str,
    dataset: str,
    split: str,
    output_onnx: str,
    output_int8: str,
    report: str,
    labels: NDArray,
    known: NDArray,
    threads: int,
    permitted: float = PERMITTED,
) -> None:
    """Export a network to ONNX, quantise it, and say what that cost and gained.

    The first convolution, which sees the range of the pixels, stays in 32 bits; if the validation
    part loses more than 0.002 in AUROC, so does the second, and so on. The test part has the last
    word. Of several classes the AUROC is the mean of each against all others.

    Parameters
    ----------
    model, training : path
        A network that tells classes of images apart, as `runs.train` writes it.
    dataset, split : path
        The images it was trained on: training images calibrate, test images decide.
    output_onnx, output_int8 : path
        Written: the network in 32 bits, and with weights and maps in 8 bits.
    report : path
        Written (JSON): by form (``keras``, ``onnx``, ``int8``) the ``auroc`` on the test part,
        ``logit_difference`` from Keras (mean and largest modulus), ``bytes`` and
        ``images_per_second`` by batch size, the median of 5 runs.
    labels : array of bool or int, shape (systems,)
        The class of every system of the data set: whether it is positive, or 0 ... C - 1.
    known : array of bool, shape (systems,)
        Whether it is known.
    threads : int
        Threads of Keras and of the runtime.
    permitted : float
        Difference in AUROC that the test part may have.

    Raises
    ------
    ValueError
        If a form has an AUROC that differs from that of Keras by more than ``permitted``, or than
        what a single system of the rarest class is worth where that is more, or if there are fewer
        than 5 of them, from which nothing follows.
    """
    trained, about = runs.load(model, training, threads)
    import onnx

    from lensmill.learning import images

    def logits(part: images.Images) -> NDArray:
        return images.predict(trained, part.pixels, part.rows)

    labels = np.asarray(labels, int)
    learned, validated = images.read(dataset, split, labels, known=known)
    rows = tables.test_rows(dataset, split)
    rows = rows[known[rows]]
    test = images.Images(learned.pixels, rows, labels[rows])
    trained.predict_on_batch(
        np.asarray(learned.pixels[:1])
    )  # a network that never ran has no graph

    with tempfile.TemporaryDirectory(dir=Path(report).parent) as folder:
        bands = json.loads(store.attributes(dataset)["bands"])
        whole = _to_onnx(trained, about, bands, folder)
        calibration = learned.rows[:: max(1, len(learned.rows) // CALIBRATION_IMAGES)]
        calibration = calibration[:CALIBRATION_IMAGES]
        if len(calibration) > max(BATCHES):  # batches of one size: the runtime bears no other
            calibration = calibration[: len(calibration) // max(BATCHES) * max(BATCHES)]
        wanted = _auroc(validated.targets, logits(validated))
        for in_float in range(1, MOST_IN_FLOAT + 1):
            batches = _batches(learned.pixels, calibration)
            small, kept = _quantise(whole, batches, in_float, folder)
            logit = _logits(_session(small, threads), validated.pixels, validated.rows)
            loss = wanted - _auroc(validated.targets, logit)
            log.info("%d convolutions in 32 bits: validation AUROC falls by %.5f", in_float, loss)
            if abs(loss) <= PERMITTED:
                break
    layers = [layer for layer in trained.layers if hasattr(layer, "expanded")]
    forms = {"onnx": share_kernels(whole, layers), "int8": share_kernels(small, layers)}

    reference = logits(test)
    found = {"keras": _compare(test.targets, reference, reference, Path(model).stat().st_size)}
    some = np.asarray(test.pixels[test.rows[: 4 * max(BATCHES)]])
    calls: dict[str, Callable] = {"keras": trained.predict_on_batch}
    for name, form in forms.items():
        onnx.checker.check_model(form)
        session = _session(form, threads)
        logit = _logits(session, test.pixels, test.rows)
        found[name] = _compare(test.targets, logit, reference, form.ByteSize())
        calls[name] = lambda x, session=session: session.run(None, {"pixels": x})
    for name, rates in _speeds(calls, some).items():
        found[name]["images_per_second"] = rates
    counts = np.bincount(test.targets, minlength=max(2, reference.shape[1]))
    _refuse_loss(found, int(counts.min()), permitted)

    for path, form in ((output_onnx, forms["onnx"]), (output_int8, forms["int8"])):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        onnx.save(form, path)
    facts = {
        "test_images": len(test.rows),
        "calibration_images": len(calibration),
        "convolutions_in_float": kept,
        "threads": threads,
        "cpu": platform.processor() or platform.machine(),
        "versions": {name: version(name) for name in ("keras", "onnx", "onnxruntime", "tf2onnx")},
        "opset": {o.domain or "ai.onnx": o.version for o in forms["int8"].opset_import},
    }
    Path(report).write_text(json.dumps({**facts, **found}, indent=1))
    log.info("%s", found)


def _to_onnx(trained: Any, training: dict[str, Any], bands: list[str], folder: str) -> Any:
    """Return the network as an ONNX model whose input is ``pixels`` and whose output ``logit``."""
    import onnx

    path = str(Path(folder) / "model.onnx")
    classes = trained.output_shape[1]
    trained.export(path, format="onnx", verbose=False)
    model = onnx.load(path)
    (pixels,), (logit,) = model.graph.input, model.graph.output
    new = {pixels.name: "pixels", logit.name: "logit"}
    for node in model.graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for value, name in ((pixels, "pixels"), (logit, "logit")):
        value.name = name
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    about = {
        "pixels": "(n, height, width, bands), sky-subtracted [electron / s]",
        "logit": "(n, 1), of the positive class" if classes == 1 else f"(n, {classes}), by class",
        "bands": " ".join(bands),
        "trained_on": training["population"],
        "architecture": training["architecture"],
    }
    onnx.helper.set_model_props(model, about)
    _spell_out_log1p(model.graph)
    _select_middle(model.graph)
    _clip_sign(model.graph)
    _widen_normalisation(model.graph)
    _raise_rank_of_scalars(model)
    onnx.checker.check_model(model)
    return model


def _spell_out_log1p(graph: Any) -> None:
    """Write ``log1p(x)``, which ONNX does not have, as ``log(1 + x)``: wrong by 1e-7 at most."""
    from onnx import numpy_helper
    from onnx.helper import make_node

    nodes = []
    for node in graph.node:
        if node.op_type == "Log1p":
            more = f"{node.output[0]}/more"
            nodes.append(make_node("Add", [node.input[0], "one"], [more], f"{node.name}/add"))
            node = make_node("Log", [more], node.output, node.name)
        nodes.append(node)
    graph.initializer.append(numpy_helper.from_array(np.float32(1), "one"))
    del graph.node[:]
    graph.node.extend(nodes)


def _select_middle(graph: Any) -> None:
    """Find one place of a sorted row, the noise of an image, without sorting: the same number.

    Keras sorts ascending: minus the largest of minus the values. The place ``i`` is then minus the
    least of the ``i + 1`` largest, which runtimes find without order, five times faster.
    """
    from onnx import numpy_helper
    from onnx.helper import make_node

    constants = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for top in [node for node in graph.node if node.op_type == "TopK"]:
        negative = users.get(top.output[0], [])
        chosen = users.get(negative[0].output[0], []) if len(negative) == 1 else []
        largest_of_last = {a.name for a in top.attribute} <= {"sorted"}
        if not largest_of_last or len(chosen) != 1 or chosen[0].op_type != "Slice":
            continue
        low, high, axis = (constants.get(name) for name in chosen[0].input[1:4])
        if negative[0].op_type != "Neg" or axis is None or axis.tolist() != [2]:
            continue
        if high.tolist() != [low[0] + 1] or users.get(top.output[1]):
            continue
        k, least = f"{top.name}/k", f"{top.name}/least"
        graph.initializer.append(numpy_helper.from_array(np.array([low[0] + 1], np.int64), k))
        values = top.output[0]
        fewer = make_node("TopK", [top.input[0], k], [values, top.output[1]], k, axis=-1, sorted=0)
        smallest = make_node("ReduceMin", [values], [least], least, axes=[-1], keepdims=1)
        back = make_node("Neg", [least], chosen[0].output, f"{top.name}/middle")
        place = [*graph.node].index(top)
        for node in (top, negative[0], chosen[0]):
            graph.node.remove(node)
        for node in (back, smallest, fewer):
            graph.node.insert(place, node)
    _remove_unused(graph)


def _clip_sign(graph: Any) -> None:
    """Write the sign of pixels in units of their noise as a product that is clipped: faster.

    It is no sign where a pixel is below 1e-30 of the noise; its stretch is 0 either way.
    """
    from onnx import numpy_helper
    from onnx.helper import make_node

    nodes = []
    for node in graph.node:
        if node.op_type == "Sign":
            large = f"{node.name}/large"
            nodes.append(make_node("Mul", [node.input[0], "huge"], [large], large))
            node = make_node("Clip", [large, "lowest", "highest"], node.output, node.name)
        nodes.append(node)
    if len(nodes) == len(graph.node):
        return
    for name, value in (("huge", 1e30), ("lowest", -1), ("highest", 1)):
        graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
    del graph.node[:]
    graph.node.extend(nodes)


def _widen_normalisation(graph: Any) -> None:
    """Write the normalisation of group features as one of ordinary maps.

    Keras has orientations side by side along the rows, so that a channel has one mean: reshape,
    multiply, add, reshape back. Runtimes are slow at that; with a number for each orientation the
    reshapes go, and what follows a convolution becomes part of it.
    """
    from onnx import numpy_helper

    constants = {c.name: c for c in graph.initializer}
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)

    def only_user(node: Any, kind: str) -> Any:
        found = users.get(node.output[0], [])
        return found[0] if len(found) == 1 and found[0].op_type == kind else None

    gone = []
    for split in [node for node in graph.node if node.op_type == "Reshape"]:
        multiply = only_user(split, "Mul")
        add = multiply and only_user(multiply, "Add")
        join = add and only_user(add, "Reshape")
        if not join or not {split.input[1], join.input[1]} <= constants.keys():
            continue
        apart, whole = (
            numpy_helper.to_array(constants[n.input[1]]).tolist() for n in (split, join)
        )
        if len(apart) != 4 or len(whole) != 4 or whole[3] != apart[3] * (apart[2] // whole[2]):
            continue
        for node in (multiply, add):
            name = node.input[1]
            values = np.tile(numpy_helper.to_array(constants[name]), whole[3] // apart[3])
            graph.initializer.append(numpy_helper.from_array(values, f"{name}/wide"))
            node.input[1] = f"{name}/wide"
        multiply.input[0], add.output[0] = split.input[0], join.output[0]
        gone += [split, join]
    for node in gone:
        graph.node.remove(node)
    _remove_unused(graph)


def _raise_rank_of_scalars(model: Any) -> None:
    """Give constants of one number as many axes as what they are added to or multiplied with.

    The result is the same, but for images of one band the runtime is a hundred times faster at it.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.shape_inference.infer_shapes(model).graph
    known = (*graph.input, *graph.value_info, *graph.output)
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in known}
    scalars = {c.name: c for c in graph.initializer if np.prod(c.dims) == 1}
    made = set()
    for node in model.graph.node:
        if node.op_type not in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Greater", "Less"):
            continue
        for i, name in enumerate(node.input):
            rank = ranks.get(node.input[1 - i], 0)
            if name in scalars and rank > len(scalars[name].dims):
                node.input[i] = f"{name}/{rank}"
                made.add((name, rank))
    for name, rank in sorted(made):
        value = numpy_helper.to_array(scalars[name]).reshape((1,) * rank)
        model.graph.initializer.append(numpy_helper.from_array(value, f"{name}/{rank}"))
    _remove_unused(model.graph)


def _remove_unused(graph: Any) -> None:
    """Take out nodes and constants that nothing depends on."""
    results = {value.name for value in graph.output}
    while True:
        used = results | {name for node in graph.node for name in node.input}
        idle = [node for node in graph.node if not used & {*node.output}]
        if not idle:
            break
        for node in idle:
            graph.node.remove(node)
    for constant in [c for c in graph.initializer if c.name not in used]:
        graph.initializer.remove(constant)


def _batches(pixels: NDArray, rows: NDArray) -> Iterator[dict[str, NDArray]]:
    size = max(BATCHES)
    for start in range(0, len(rows), size):
        yield {"pixels": np.asarray(pixels[rows[start : start + size]])}


def _quantise(
    model: Any, batches: Iterator[dict[str, NDArray]], in_float: int, folder: str
) -> tuple[Any, list[str]]:
    """Return the model with convolutions in 8 bits, and the names of those that are not."""
    import onnx
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def get_next(self):
            return next(batches, None)

    # Unsigned weights too: products of signed ones overflow on CPUs without VNNI.
    eight = quantization.QuantType.QUInt8
    kept = [node.name for node in model.graph.node if node.op_type == "Conv"][:in_float]
    given, path = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
    onnx.save(model, given)
    with contextlib.redirect_stdout(sys.stderr):  # it prints what it does
        quantization.quantize_static(
            given,
            path,
            Reader(),
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=kept,
            per_channel=True,
            activation_type=eight,
            weight_type=eight,
            calibrate_method=quantization.CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": CALIBRATION_PERCENTILE},
        )
    return onnx.load(path), kept


def share_kernels(model: Any, layers: list[Any]) -> Any:
    """Store each kernel of a group convolution once, not in its 8 orientations.

    The file then shrinks nearly 8-fold. The kernels are expanded by three nodes that depend on
    nothing else, which a runtime does once, when it loads the network.

    Parameters
    ----------
    model : onnx.ModelProto
        Left as it is.
    layers : list of lensmill.learning.equivariant.GroupConvolution
        Of the Keras model. A kernel that is not exactly one of theirs is left as it is.
    """
    import onnx
    from onnx import numpy_helper
    from onnx.helper import make_node

    from lensmill.learning.equivariant import ORDER, expansion

    shapes = {
        (ORDER * layer.channels, layer.orientations * layer.inputs, layer.size, layer.size): layer
        for layer in layers
    }
    shared = onnx.ModelProto()
    shared.CopyFrom(model)
    del shared.graph.value_info[:]  # a runtime finds the shapes between by itself
    nodes, constants, indices = [], [], {}
    for constant in shared.graph.initializer:
        layer = shapes.get(tuple(constant.dims))
        if layer is None:
            constants.append(constant)
            continue
        whole, name = numpy_helper.to_array(constant), constant.name
        index = expansion(layer.size, layer.orientations).argmax(axis=1).astype(np.int32)
        form = (layer.size, layer.size, layer.orientations, ORDER, layer.inputs, layer.channels)
        back = (4, 5, 2, 0, 3, 1)  # of the axes below: from (out, in, row, column) to the weights
        split = (ORDER, layer.channels, layer.orientations, layer.inputs, layer.size, layer.size)
        rows = whole.reshape(split).transpose(back).reshape(len(index), -1)
        few = rows[np.unique(index, return_index=True)[1]]
        if not np.array_equal(few[index], rows):
            constants.append(constant)
            continue
        of_size = f"orientations_{layer.size}_{layer.orientations}"  # many layers share these
        indices[of_size] = numpy_helper.from_array(index, of_size)
        parts = {"weights": few, "form": np.array(form), "shape": np.array(whole.shape)}
        constants += [numpy_helper.from_array(part, f"{name}/{n}") for n, part in parts.items()]
        weights, gathered, formed, turned = (
            f"{name}/{n}" for n in ("weights", "gathered", "formed", "turned")
        )
        nodes += [
            make_node("Gather", [weights, of_size], [gathered], axis=0),
            make_node("Reshape", [gathered, f"{name}/form"], [formed]),
            make_node("Transpose", [formed], [turned], perm=[3, 5, 2, 4, 0, 1]),
            make_node("Reshape", [turned, f"{name}/shape"], [name]),
        ]
    del shared.graph.initializer[:]
    shared.graph.initializer.extend([*constants, *indices.values()])
    nodes += shared.graph.node
    del shared.graph.node[:]
    shared.graph.node.extend(nodes)
    return shared


def _session(model: Any, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _logits(session: Any, pixels: NDArray, rows: NDArray) -> NDArray:
    found = [session.run(None, batch)[0] for batch in _batches(pixels, rows)]
    return np.concatenate(found).astype(np.float64)


def _auroc(labels: NDArray, logits: NDArray) -> float:
    """Return the AUROC of logits (n, 1), or the mean over classes that of (n, C) has."""
    if logits.shape[1] == 1:
        return classification.auroc(labels == 1, logits[:, 0])
    return float(classification.auroc_one_vs_rest(labels, logits).mean())


def _compare(labels: NDArray, logit: NDArray, reference: NDArray, size: int) -> dict[str, Any]:
    apart = np.abs(logit - reference)
    return {
        "auroc": _auroc(labels, logit),
        "logit_difference": {"mean": float(apart.mean()), "most": float(apart.max())},
        "bytes": int(size),
    }


def _speeds(calls: dict[str, Callable], images: NDArray) -> dict[str, dict[str, float]]:
    """Return images per second by form and batch size; forms take turns, so that load is shared."""
    rates: dict[str, dict[str, float]] = {name: {} for name in calls}
    for size in BATCHES:
        some = images[: len(images) if size > 1 else max(BATCHES)]
        batches = [some[start : start + size] for start in range(0, len(some), size)]
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(1 + REPEATS):  # the first of each warms up
            for name, run in calls.items():
                begun = time.perf_counter()
                for batch in batches:
                    run(batch)
                times[name].append(time.perf_counter() - begun)
        for name, taken in times.items():
            rates[name][str(size)] = round(len(some) / statistics.median(taken[1:]), 1)
    return rates


def _refuse_loss(
    found: dict[str, dict[str, Any]], fewer: int, permitted: float = PERMITTED
) -> None:
    """Raise if a form differs; ``fewer`` are the test images of the rarest class."""
    if fewer < FEWEST:
        raise ValueError(
            f"the test part has {fewer} images of the rarer class: with fewer than {FEWEST} the "
            "exported forms cannot be tested; take a data set with more of them"
        )
    permitted = max(permitted, 1 / fewer)  # what a single system can change is no loss
    wanted = found["keras"]["auroc"]
    for name in ("onnx", "int8"):
        auroc = found[name]["auroc"]
        if not abs(auroc - wanted) <= permitted:
            raise ValueError(
                f"the {name} form has an AUROC of {auroc:.4f} where Keras has {wanted:.4f}, with "
                f"{fewer} test images in the rarer class: they must not differ by more than "
                f"{permitted:.2g}. A network trained for longer, or on more images, bears 8 bits "
                "better"
            )
