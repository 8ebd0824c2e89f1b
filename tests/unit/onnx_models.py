"""Builders of small ONNX models, each a detector's shell around answers that a test chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Shape = Sequence[int | str]

FREE: Shape = (1, 3, "height", "width")


def save_model(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Shape]],
    outputs: Mapping[str, tuple[int, Shape | None]],
    *,
    initializers: Mapping[str, Array] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a graph as a model that any ONNX Runtime of the last years loads."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (initializers or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, path)
    return path


def constant_model(
    path: Path,
    outputs: Mapping[str, Array],
    *,
    input_shape: Shape = (1, 3, 64, 96),
    input_type: int = TensorProto.FLOAT,
    more_inputs: Mapping[str, tuple[int, Shape]] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A model that answers the same to every picture."""
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array))
        for name, array in outputs.items()
    ]
    kinds = {name: (helper.np_dtype_to_tensor_dtype(array.dtype), None) for name, array in outputs.items()}
    return save_model(
        path, nodes, {"images": (input_type, input_shape), **(more_inputs or {})}, kinds, metadata=metadata
    )


def mean_colour_model(path: Path, *, input_shape: Shape, channels_last: bool = False) -> Path:
    """YOLOv8 with three classes and one box over 64 x 64 pixels, whose scores are the means of the three channels."""
    axes = [1, 2] if channels_last else [2, 3]
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["means"], axes=axes, keepdims=0),
        helper.make_node("Unsqueeze", ["means", "last"], ["scores"]),
        helper.make_node("Concat", ["box", "scores"], ["output0"], axis=1),
    ]
    box = np.array([32, 32, 64, 64], np.float32).reshape(1, 4, 1)
    return save_model(
        path,
        nodes,
        {"images": (TensorProto.FLOAT, input_shape)},
        {"output0": (TensorProto.FLOAT, (1, 7, 1))},
        initializers={"box": box, "last": np.array([2], np.int64)},
        metadata={"names": "{0: 'red', 1: 'green', 2: 'blue'}"},
    )


def sedna_little_model(path: Path, *, shape_type: int = TensorProto.FLOAT) -> Path:
    """Sedna's little: NHWC, a second input, and one box (yxyx) from a quarter to a half of the source's sides."""
    nodes = [
        helper.make_node("Cast", ["shapes"], ["sides"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["sides", "sides"], ["both"], axis=0),
        helper.make_node("Mul", ["both", "part"], ["flat"]),
        helper.make_node("Reshape", ["flat", "rows"], ["concat_17"]),
        helper.make_node("Identity", ["score"], ["concat_18"]),
        helper.make_node("Identity", ["class"], ["concat_19"]),
    ]
    return save_model(
        path,
        nodes,
        {"images": (TensorProto.FLOAT, (1, 64, 96, 3)), "shapes": (shape_type, (2,))},
        {
            "concat_19": (TensorProto.INT32, None),
            "concat_18": (TensorProto.FLOAT, None),
            "concat_17": (TensorProto.FLOAT, None),
        },
        initializers={
            "part": np.array([0.25, 0.25, 0.5, 0.5], np.float32),
            "rows": np.array([-1, 4], np.int64),
            "score": np.array([0.75], np.float32),
            "class": np.array([2], np.int32),
        },
    )


def only_64_model(path: Path) -> Path:
    """A model that says it takes any size, but fails on all but 64 x 64."""
    nodes = [helper.make_node("Reshape", ["images", "sides"], ["output0"])]
    return save_model(
        path,
        nodes,
        {"images": (TensorProto.FLOAT, FREE)},
        {"output0": (TensorProto.FLOAT, None)},
        initializers={"sides": np.array([1, 12, 1024], np.int64)},
    )


def yolov8_output(boxes: Sequence[Sequence[float]], scores: Sequence[Sequence[float]], anchors: int = 126) -> Array:
    """(1, 4+nc, A): boxes (cx, cy, w, h) and class scores first, zeros after them."""
    rows = np.zeros((anchors, 4 + len(scores[0])), np.float32)
    rows[: len(boxes), :4] = boxes
    rows[: len(boxes), 4:] = scores
    return rows.T[None].copy()
