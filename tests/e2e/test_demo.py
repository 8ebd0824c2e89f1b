"""``scripts/demo`` with a video of one's own. What it sets up is there already."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.user import Out


@pytest.mark.mosquitto
def test_a_video_is_named_from_where_its_owner_stands(mosquitto: str, clip: Path, tmp_path: Path) -> None:
    if not Path(sys.prefix).samefile(ROOT / ".venv"):
        pytest.skip("needs the tests to run in .venv, as scripts/test does")
    tandem, videos = tmp_path / "tandem", tmp_path / "my videos"
    (tandem / "scripts").mkdir(parents=True)
    (tandem / ".venv").symlink_to(ROOT / ".venv")
    (tandem / "scripts" / "setup").symlink_to("/bin/true")
    demo = shutil.copy(ROOT / "scripts" / "demo", tandem / "scripts")
    videos.mkdir()
    for name in ("gate 1.mp4", "yard.mp4"):
        shutil.copy(clip, videos / name)
    for names, looks in (
        (("gate 1.mp4",), ["compare"]),
        (("gate 1.mp4", "yard.mp4"), ["compare-gate-1", "compare-yard"]),
    ):
        options = ("--every", "24", "--report", "r.json")
        ran = subprocess.run([demo, *names, *options], cwd=videos, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran
        look = [Path(line.split()[2]) for line in ran.stdout.splitlines() if line.startswith("look: ")]
        assert look == [tandem / f".demo/out/{name}.webm" for name in looks]
        assert all(path.stat().st_size > 1000 for path in look)
    assert Out(tandem / ".demo" / "out" / "yard").seqs("all") == [1, 25]
    assert sorted(path.name for path in videos.iterdir()) == ["gate 1.mp4", "r.json", "yard.mp4"]
