"""What 8 bits are spent on."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from search.export.int8 import Quantisation, write_int8
from search.export.onnx import run_onnx

RANDOM = np.random.default_rng(0)


def write_relu6(path: Path) -> None:
    """Two convolutions with ReLU6 between, whose first gives levels far beyond 6."""
    tensors = {
        # What 7 bits hold exactly.
        "first": RANDOM.choice([-0.03, 0.03], (16, 3, 3, 3)),
        "second": RANDOM.choice([-1.0, 1.0], (4, 16, 1, 1)),
        "low": np.array(0.0), "high": np.array(6.0), "axes": np.array([2, 3]),
    }  # fmt: skip
    kept = [
        numpy_helper.from_array(t.astype(np.int64 if n == "axes" else np.float32), n)
        for n, t in tensors.items()
    ]
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "first"], ["wide"], name="a"),
        helper.make_node("Clip", ["wide", "low", "high"], ["cut"], name="b"),
        helper.make_node("Conv", ["cut", "second"], ["maps"], name="c"),
        helper.make_node("ReduceMean", ["maps", "axes"], ["probabilities"], keepdims=0),
        helper.make_node("Identity", ["probabilities"], ["embedding"]),
    ]
    taken = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 3, 3, 3])
    given = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 4])
        for n in ("probabilities", "embedding")
    ]
    graph = helper.make_graph(nodes, "g", [taken], given, kept)
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)


def test_levels_that_an_activation_cuts_off_take_no_bits(tmp_path) -> None:
    images = RANDOM.integers(0, 256, (64, 3, 3, 3), np.uint8)
    plain, small = tmp_path / "plain.onnx", tmp_path / "small.onnx"
    write_relu6(plain)
    write_int8(small, plain, Quantisation(images, images, np.zeros(64, np.int64)))
    before, after = run_onnx(plain, images)[0], run_onnx(small, images)[0]
    assert np.abs(after - before).max() < 0.01 * np.abs(before).max()
