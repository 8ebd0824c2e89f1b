"""The lock on 64-bit ARM: nothing in it must be built there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.conftest import ROOT


def test_the_whole_lock_has_wheels_for_aarch64(tmp_path: Path) -> None:
    platform = ("--python-platform", "aarch64-manylinux_2_28", "--python-version", "3.11")
    wheels = ("--only-binary", ":all:", "--require-hashes", "--no-deps", "--target", str(tmp_path))
    command = (find_uv_bin(), "pip", "install", "--dry-run", *platform, *wheels, "-r", "requirements.lock")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if "Failed to fetch" in done.stderr and not os.environ.get("CI"):
        pytest.skip("needs a package index")
    assert done.returncode == 0, done.stderr
    would = set(re.findall(r"^ \+ (\S+)==", done.stderr, re.MULTILINE))
    assert {"onnxruntime", "opencv-python-headless", "numpy", "pydantic-core", "cryptography"} <= would
