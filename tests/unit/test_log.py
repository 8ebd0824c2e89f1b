"""A log line reaches standard error at once, and one that cannot be written harms nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.log import lossy

_CODE = "import structlog; from pipeline import log; log.configure('edge'); structlog.get_logger().info('seen', n=1)"


def test_a_line_is_written_at_once(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        lossy(file).write("grüße\n")
        assert (tmp_path / "log").read_text("utf-8") == "grüße\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_process_whose_log_is_on_a_full_disk_ends_as_if_nothing_was() -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([sys.executable, "-c", _CODE], stderr=full, check=False)
    assert ended.returncode == 0


def test_it_is_json_where_nobody_looks() -> None:
    ended = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=True)
    assert ended.stderr.count("\n") == 1
    assert '"event": "seen"' in ended.stderr
    assert '"process": "edge"' in ended.stderr
