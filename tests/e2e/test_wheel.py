"""The wheel: it has all that a replay needs, in any folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.user import STREAM, Out, Tandem

pytestmark = pytest.mark.mosquitto


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this source. Where no index is reached, it skips locally and fails in CI."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--disable-pip-version-check", "--wheel-dir", folder]
    built = subprocess.run([*command, ROOT], capture_output=True, text=True, check=False)
    if built.returncode and "No matching distribution found for hatchling" in built.stderr and not os.environ.get("CI"):
        pytest.skip("needs hatchling from a package index to build the wheel")
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_it_carries_models_schema_licence_and_types_and_nothing_else(wheel: Path) -> None:
    names = {Path(name) for name in zipfile.ZipFile(wheel).namelist()}
    wanted = ["stages/models/little.onnx", "stages/models/big.onnx", "stages/models/MODEL_CARD.md"]
    wanted += ["pipeline/app/evaluate/page.html.j2"]
    wanted += ["pipeline/schemas/result.schema.json", "pipeline/py.typed", "stages/py.typed", "broker/py.typed"]
    assert {Path(name) for name in wanted} <= names
    (info,) = {name.parts[0] for name in names if name.parts[0].endswith(".dist-info")}
    assert Path(info, "licenses", "LICENSE") in names
    assert {name.parts[0] for name in names} == {"pipeline", "stages", "broker", info}
    assert {name.suffix for name in names if name.parts[0] != info} == {".py", ".typed", ".onnx", ".md", ".json", ".j2"}


def test_a_replay_works_from_it_in_any_folder(wheel: Path, mosquitto: str, clip: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", venv / "bin" / "python"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    site = next((venv / "lib").glob("python3.*")) / "site-packages"
    # Its dependencies are those of the tests. A path from here brings no other source of Tandem with it.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    folder = tmp_path / "a folder"
    (folder / "pipeline").mkdir(parents=True)
    (folder / "pipeline" / "__init__.py").write_text("raise RuntimeError('this is not Tandem')")
    tandem = Tandem(folder, str(venv / "bin" / "tandem"))
    ran = tandem("replay", clip, "--every", "12", "--miner", "CloudOnly", "--report", "r.json")
    assert ran.exit_code == 0, ran
    tally = json.loads((folder / "r.json").read_text())["streams"][STREAM]
    assert tally["cloud"] == len(Out(folder / "tandem-out").seqs("hard_cloud")) == 4
    code = "import pipeline, stages, broker, pipeline.schemas as s; print(pipeline.__path__, len(s.result_schema()))"
    said = subprocess.run(
        [venv / "bin" / "python", "-P", "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert str(site) in said
