#!/usr/bin/env python3
"""Turn a frozen TensorFlow graph (.pb), as Sedna's examples have them, into an ONNX model.

Needs the extra `convert`, best in a virtual environment of its own (1.6 GB): pip install '.[convert]'
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

OPSET: Final = 17
_PASSIVE: Final = {"Assert", "Const", "NoOp", "Placeholder"}
_VARIABLES: Final = {"VarHandleOp", "Variable", "VariableV2"}


class ConversionError(Exception):
    """What is wrong, and what would be right."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert as the command line says."""
    asked = _arguments(arguments)
    try:
        convert(asked.graph, asked.model, asked.inputs, asked.outputs)
    except ConversionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"try it: tandem replay VIDEO --little {asked.model}   (or --big)")
    return 0


def convert(graph_file: Path, model_file: Path, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Write the model; inputs and outputs are those of the graph where none are named.

    Raises:
        ConversionError: there is no frozen graph in the file, it has no such tensors, or it cannot be converted.
    """
    tf, tf2onnx, onnx = _packages()
    graph = _read(tf, graph_file)
    inputs = _known("--inputs", inputs, inputs_of(graph), graph)
    outputs = _known("--outputs", outputs, outputs_of(graph), graph)
    print(f"inputs {', '.join(inputs)}; outputs {', '.join(outputs)}")
    part = model_file.with_name(f"{model_file.name}.part")
    try:
        model, _ = tf2onnx.convert.from_graph_def(graph, input_names=inputs, output_names=outputs, opset=OPSET)
        onnx.checker.check_model(model)
        onnx.save(model, part)
        part.replace(model_file)
    except OSError as error:
        raise ConversionError(f"{model_file} cannot be written ({error.strerror}): name another file") from error
    except Exception as error:  # tf2onnx raises what its many handlers raise
        words = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise ConversionError(f"{graph_file} cannot be expressed in ONNX: {words[0]}") from error
    finally:
        part.unlink(missing_ok=True)


def inputs_of(graph: Any) -> list[str]:
    """The tensors that are fed."""
    return [f"{node.name}:0" for node in graph.node if node.op == "Placeholder"]


def outputs_of(graph: Any) -> list[str]:
    """The tensors that no other node of the graph takes."""
    taken = {name.removeprefix("^").partition(":")[0] for node in graph.node for name in node.input}
    return [f"{node.name}:0" for node in graph.node if node.name not in taken and node.op not in _PASSIVE]


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("graph", type=Path, metavar="GRAPH.pb", help="a frozen graph")
    parser.add_argument("model", type=Path, metavar="MODEL.onnx", help="where the model goes")
    tensors = {"type": lambda text: text.split(","), "default": [], "metavar": "NAME,..."}
    parser.add_argument("--inputs", **tensors, help="the tensors that are fed [all placeholders]")
    parser.add_argument("--outputs", **tensors, help="the tensors to fetch [those that nothing in the graph takes]")
    return parser.parse_args(arguments)


def _packages() -> tuple[Any, Any, Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # it is read when TensorFlow is imported
    try:
        import onnx  # noqa: PLC0415 - what is missing is said in plain words
        import tensorflow as tf  # noqa: PLC0415
        import tf2onnx  # noqa: PLC0415
    except ImportError as error:
        raise ConversionError(
            f"{error.name} is not installed here: pip install '.[convert]' in the project's folder, best in a virtual "
            "environment of its own"
        ) from error
    logging.disable(logging.WARNING)
    return tf, tf2onnx, onnx


def _read(tf: Any, file: Path) -> Any:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConversionError(f"{file} cannot be read ({error.strerror})") from error
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(data)
    except Exception as error:  # protobuf's error has moved between its versions
        raise ConversionError(f"{file} is no TensorFlow graph: name a frozen graph (.pb)") from error
    if not graph.node:
        raise ConversionError(
            f"{file} holds no graph: name a frozen one; a SavedModel is converted by python -m tf2onnx.convert "
            "--saved-model FOLDER --output MODEL.onnx"
        )
    variables = [node.name for node in graph.node if node.op in _VARIABLES]
    if variables:
        raise ConversionError(f"{file} is not frozen: it has variables ({', '.join(variables[:3])}); freeze it first")
    return graph


def _known(option: str, asked: Sequence[str], there: Sequence[str], graph: Any) -> list[str]:
    """The tensors that are asked for, or else those that are there; a name without a number means its first output."""
    if not there and not asked:
        raise ConversionError(f"the graph shows none by itself: name them with {option}")
    nodes = {node.name for node in graph.node}
    wanted = [name if ":" in name else f"{name}:0" for name in (name.strip() for name in asked)] or list(there)
    unknown = [name for name in wanted if name.partition(":")[0] not in nodes]
    if unknown:
        raise ConversionError(f"{option}: there is no {', '.join(unknown)}; there are {', '.join(there) or 'none'}")
    return wanted


if __name__ == "__main__":
    sys.exit(main())
