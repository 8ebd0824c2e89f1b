"""ONNX Runtime behind ``ModelSession``. Nothing else imports onnxruntime."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

# From 1.29 on, ONNX Runtime reports models and machine to its maker unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as faults

from pipeline.errors import ConfigError, DropMessage
from stages.models import check_model_file
from stages.runtime import Array, TensorInfo

CPU: Final = "CPUExecutionProvider"

_FAULTS: Final = (
    faults.EPFail,
    faults.Fail,
    faults.InvalidArgument,
    faults.InvalidGraph,
    faults.InvalidProtobuf,
    faults.NoModel,
    faults.NoSuchFile,
    faults.NotImplemented,
    faults.RuntimeException,
)
_DTYPES: Final[Mapping[str, str]] = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


class OnnxSession:
    """An ONNX model in ONNX Runtime, which neither spins nor takes more than ``threads``.

    Attributes:
        inputs: as declared, in the model's order.
        outputs: as declared, in the model's order.
        metadata: what the exporter wrote into the model, e.g. Ultralytics' ``names``, ``stride`` and ``imgsz``.
        provider: the execution provider that most of the model's nodes run on.
    """

    def __init__(self, section: str, path: Path, *, providers: Sequence[str] = (CPU,), threads: int = 1) -> None:
        """Load a model.

        Args:
            section: the config section that asks for it, for errors, e.g. ``detector``.
            path: the ONNX file.
            providers: ONNX Runtime's execution providers, best first; what they cannot do runs on the CPU.
            threads: the threads of one inference.

        Raises:
            ConfigError: there is no such file, it is no ONNX model, or a provider is not available.
        """
        self._path = path
        check_model_file(section, path)
        check_providers(section, providers)
        try:
            self._session: Any = ort.InferenceSession(path, _options(threads), providers=list(providers))
        except _FAULTS as error:
            raise ConfigError(
                f"{section}.model",
                f"{path} is no ONNX model that ONNX Runtime {ort.__version__} loads: it is damaged, cut short, or of "
                f"another format; export it as ONNX, or copy it again ({_brief(error)})",
            ) from error
        self.inputs = tuple(_info(node) for node in self._session.get_inputs())
        self.outputs = tuple(_info(node) for node in self._session.get_outputs())
        self._outputs = [output.name for output in self.outputs]
        self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.provider = _used_provider(self._session)

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run the model once and return its outputs in the model's order.

        Raises:
            DropMessage: the model refuses these inputs, or fails on them.
        """
        try:
            outputs: list[Array] = self._session.run(self._outputs, dict(inputs))
        except _FAULTS as error:
            shapes = ", ".join(f"{name} {array.dtype}{array.shape}" for name, array in inputs.items())
            raise DropMessage(f"{self._path.name} does not run on {shapes}: {_brief(error)}") from error
        return outputs


def check_providers(section: str, providers: Sequence[str]) -> None:
    """Look whether the execution providers are there that a section of the config asks for.

    Raises:
        ConfigError: one is not, or none is asked for.
    """
    available = ort.get_available_providers()
    missing = [name for name in providers if name not in available]
    if missing or not providers:
        raise ConfigError(
            f"{section}.providers",
            f"{', '.join(missing) or 'an empty list'} is not available; this ONNX Runtime has {', '.join(available)}: "
            "choose among them, or install the onnxruntime package that brings it (e.g. onnxruntime-gpu)",
        )


def _options(threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # What goes wrong comes as an exception, so nothing is left for its log on stderr.
    options.log_severity_level = 4
    for switch, value in (
        # A thread that spins for work takes the CPU from the other stages: twice as slow on a busy machine.
        ("session.intra_op.allow_spinning", "0"),
        ("session.inter_op.allow_spinning", "0"),
        ("session.record_ep_graph_assignment_info", "1"),
    ):
        options.add_session_config_entry(switch, value)
    return options


def _used_provider(session: Any) -> str:
    """The provider that has most nodes. ``get_providers`` names the first one asked for, even where it runs nothing."""
    registered: list[str] = session.get_providers()
    assigned = getattr(session, "get_provider_graph_assignment_info", None)
    if assigned is None:  # ONNX Runtime before 1.24
        return registered[0]
    nodes: Counter[str] = Counter()
    for part in assigned():
        nodes[part.ep_name] += len(part.get_nodes())
    return nodes.most_common(1)[0][0] if nodes else registered[0]


def _info(node: Any) -> TensorInfo:
    shape = tuple(side if isinstance(side, int) and side >= 0 else None for side in node.shape)
    dtype = _DTYPES.get(node.type)
    return TensorInfo(node.name, shape, np.dtype(dtype) if dtype else None)


def _brief(error: BaseException) -> str:
    """The first line of what ONNX Runtime says, which may go on for pages."""
    return str(error).strip().partition("\n")[0][:300]
