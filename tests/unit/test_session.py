"""ONNX Runtime behind the session: what it says of a model, and what it says of what is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto

from pipeline.errors import ConfigError, DropMessage
from stages.models import SHIPPED, model_path
from stages.session import OnnxSession
from tests.unit.onnx_models import FREE, constant_model, mean_colour_model


def test_it_tells_what_the_model_takes_and_gives(tmp_path: Path) -> None:
    path = constant_model(
        tmp_path / "m.onnx",
        {"out": np.zeros((1, 6, 9), np.float32), "ids": np.zeros(3, np.int64)},
        input_shape=FREE,
        more_inputs={"shape": (TensorProto.INT32, (2,))},
        metadata={"stride": "32"},
    )
    session = OnnxSession("detector", path)
    assert [str(info) for info in session.inputs] == ["images (1, 3, ?, ?)", "shape (2)"]
    assert [info.dtype for info in session.inputs] == [np.float32, np.int32]
    assert [info.name for info in session.outputs] == ["out", "ids"]
    assert session.metadata == {"stride": "32"}


def test_it_runs(tmp_path: Path) -> None:
    session = OnnxSession("detector", mean_colour_model(tmp_path / "m.onnx", input_shape=(1, 3, 4, 4)))
    (output,) = session.run({"images": np.full((1, 3, 4, 4), 0.5, np.float32)})
    assert output[0, :, 0].tolist() == [32, 32, 64, 64, 0.5, 0.5, 0.5]


def test_it_neither_spins_nor_takes_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    session = OnnxSession("detector", SHIPPED["little"], threads=2)
    options = session._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.get_session_config_entry("session.inter_op.allow_spinning") == "0"
    assert options.graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_ALL


@pytest.mark.parametrize(
    "content", [b"", b"no model, but a text\n" * 9, bytes(200), SHIPPED["little"].read_bytes()[:9999]]
)
def test_what_is_no_model_is_refused_by_name(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cloud\.model: .*m\.onnx is no ONNX model .*export it as ONNX") as caught:
        OnnxSession("cloud", path)
    assert caught.value.field == "cloud.model"
    assert caught.value.__cause__ is not None
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"detector\.model: there is no file .*nope\.onnx: name an ONNX file, or .*little"
    ):
        OnnxSession("detector", tmp_path / "nope.onnx")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"detector\.model: .* is a folder: name the ONNX file in it"):
        OnnxSession("detector", tmp_path)


def test_a_file_that_nobody_may_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError, match=r"cannot be read \(Permission denied\): check its permissions"):
        OnnxSession("detector", path)


@pytest.mark.parametrize("providers", [["NoSuchProvider"], ["CPUExecutionProvider", "NoSuchProvider"]])
def test_an_unavailable_provider_is_refused_with_those_that_are(providers: list[str]) -> None:
    with pytest.raises(
        ConfigError, match=r"cloud\.providers: NoSuchProvider is not available; .*CPUExecutionProvider: choose"
    ):
        OnnxSession("cloud", SHIPPED["little"], providers=providers)


def test_no_provider_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"detector\.providers: an empty list"):
        OnnxSession("detector", SHIPPED["little"], providers=[])


def test_the_provider_reported_is_the_one_that_runs_the_model() -> None:
    available = ort.get_available_providers()
    session = OnnxSession("detector", SHIPPED["little"], providers=available)
    if available != ["AzureExecutionProvider", "CPUExecutionProvider"]:
        pytest.skip(f"says something only where the first provider runs no node, not with {available}")
    assert session._session.get_providers()[0] == "AzureExecutionProvider"
    assert session.provider == "CPUExecutionProvider"


@pytest.mark.parametrize(
    "array", [np.zeros((1, 3, 65, 64), np.float32), np.zeros((1, 4, 64, 64), np.float32), np.zeros((1, 3, 64, 64))]
)
def test_inputs_that_do_not_fit_drop_the_message(array: np.ndarray) -> None:
    session = OnnxSession("detector", SHIPPED["little"])
    with pytest.raises(DropMessage, match=r"little\.onnx does not run on images float") as caught:
        session.run({"images": array})
    assert str(array.shape) in str(caught.value)
    assert caught.value.__cause__ is not None


def test_the_shipped_models_are_there() -> None:
    assert sorted(SHIPPED) == ["big", "little"]
    assert all(path.is_file() for path in SHIPPED.values())
    assert (SHIPPED["big"].parent / "MODEL_CARD.md").is_file()


def test_a_model_is_a_shipped_name_or_a_path() -> None:
    assert model_path("little") == SHIPPED["little"]
    assert model_path("models/mine.onnx") == Path("models/mine.onnx")
    assert model_path("~/mine.onnx") == Path.home() / "mine.onnx"


def test_onnx_runtime_reports_to_nobody(tmp_path: Path) -> None:
    code = "from stages.models import model_path as path; from stages.session import OnnxSession as Session"
    silent = {name: value for name, value in os.environ.items() if name not in {"CI", "ORT_DISABLE_TELEMETRY"}}
    subprocess.run(
        [sys.executable, "-c", f"{code}; Session('detector', path('little'))"],
        check=True,
        cwd=Path(__file__).parents[2],
        env={**silent, "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
    )
    assert list(tmp_path.rglob("*")) == [], "it keeps the id of this machine, or what it is about to send"
