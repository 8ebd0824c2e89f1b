"""``scripts/convert_model.py``: a frozen TensorFlow graph, made here, converted and run by Tandem."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.image import Image
from stages.vision.load import load_detector
from tests.conftest import ROOT

pytestmark = pytest.mark.timeout(300)  # TensorFlow takes seconds to import, on a loaded machine many

VARIABLE = "TANDEM_CONVERT_VENV"
PLACE = Path.home() / ".cache/tandem/convert"
GRAPHS = ROOT / "tests/tensorflow_graphs.py"
SCRIPT = ROOT / "scripts/convert_model.py"


def run(python: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(python), *map(str, arguments)]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=250, env=quiet)


@pytest.fixture(scope="module")
def python() -> Path:
    """A Python with TensorFlow and tf2onnx. A missing one skips locally and fails in CI."""
    venv = Path(os.environ.get(VARIABLE, PLACE))
    if not all(any(venv.glob(f"lib/*/site-packages/{name}")) for name in ("tensorflow", "tf2onnx")):
        reason = f"needs TensorFlow (1.6 GB): CI=true scripts/setup dev makes {PLACE}, or set {VARIABLE} to a venv"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return venv / "bin/python"


@pytest.fixture(scope="module")
def graphs(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    made = run(python, GRAPHS, folder)
    assert made.returncode == 0, made.stderr
    return folder


def test_a_graph_like_sednas_little_is_converted_and_sees(python: Path, graphs: Path) -> None:
    model = graphs / "little.onnx"
    done = run(python, SCRIPT, graphs / "little.pb", model)
    assert done.returncode == 0, done.stderr
    assert "inputs images:0, shapes:0; outputs boxes:0, scores:0, classes:0" in done.stdout
    assert f"tandem replay VIDEO --little {model}" in done.stdout
    detector = load_detector("detector", model, class_names=("person", "helmet", "helmet_on", "helmet_off"))
    found = detector.detect(Image(pixels=np.full((128, 192, 3), (0, 102, 204), np.uint8)))  # BGR
    assert [found.names[label] for label in found.labels] == ["helmet_on", "person"]
    np.testing.assert_allclose(found.scores, [0.8, 0.4], atol=1e-3)
    np.testing.assert_allclose(found.boxes, [[48, 32, 96, 64], [96, 64, 144, 128]], atol=1e-3)


def test_what_cannot_be_converted_is_told_in_plain_words(python: Path, graphs: Path) -> None:
    (graphs / "picture.pb").write_bytes(b"\xff\xd8\xff\xe0 no graph")
    (graphs / "empty.pb").touch()
    wrong = {
        "little.pb": "--outputs: there is no boxen:0; there are boxes:0, scores:0, classes:0",
        "not_in_onnx.pb": "No Op registered for Betainc",
        "not_frozen.pb": "not frozen: it has variables (weights)",
        "picture.pb": "picture.pb is no TensorFlow graph",
        "empty.pb": "empty.pb holds no graph",
        "missing.pb": "missing.pb cannot be read (No such file or directory)",
    }
    calls = [[str(graphs / name), str(graphs / "none.onnx")] for name in wrong]
    calls[0] += ["--outputs", "boxen,scores"]
    # In one process, since TensorFlow takes seconds to import.
    all_of_them = f"import runpy; main = runpy.run_path({str(SCRIPT)!r})['main']; print([main(c) for c in {calls!r}])"
    done = run(python, "-c", all_of_them)
    assert done.stdout.splitlines()[-1] == str([2] * len(wrong)), done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(wrong)
    assert [words for said, words in zip(errors, wrong.values(), strict=True) if words not in said] == []
    assert not list(graphs.glob("none.onnx*"))


def test_without_tensorflow_it_says_what_to_install(tmp_path: Path) -> None:
    done = run(Path(sys.executable), SCRIPT, tmp_path / "graph.pb", tmp_path / "model.onnx")
    assert done.returncode == 2
    assert "is not installed here: pip install '.[convert]'" in done.stderr
