"""What a run that was killed has left goes with the next one, and nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from pipeline.app.own_folder import own_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_dead_run_left_is_removed_and_who_lives_stays(temporary: Path) -> None:
    left = temporary / "tandem-left"
    (left / "broker").mkdir(parents=True)
    (left / "lock").touch()
    with own_folder() as first:
        assert not left.exists()
        (first / "edge.yaml").touch()
        with own_folder() as second:
            assert first != second
            assert (first / "edge.yaml").exists()
    assert list(temporary.iterdir()) == []


def test_what_is_none_of_a_run_stays(temporary: Path) -> None:
    (temporary / "others").mkdir()
    (temporary / "others/lock").touch()
    (temporary / "tandem-link").symlink_to(temporary / "others")
    (temporary / "tandem-mine").mkdir()
    (temporary / "tandem-notes").touch()
    with own_folder():
        pass
    assert {path.name for path in temporary.iterdir()} == {"others", "tandem-link", "tandem-mine", "tandem-notes"}
    assert (temporary / "others/lock").exists()
