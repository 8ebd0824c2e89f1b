"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import StorageError
from stages.whole_files import publish


def test_a_file_that_is_linked_again_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    file = tmp_path / "outbox" / "3.jpeg"
    file.write_bytes(b"picture")
    for _ in range(2):
        publish({f"{tmp_path}/3.jpeg": file, f"{tmp_path}/all.jpeg": b"drawn"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3.jpeg", "all.jpeg", "outbox"]
    assert (tmp_path / "3.jpeg").samefile(file)


def test_a_file_in_the_working_folder_is_written_beside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".report.json.part").mkdir()  # in the way of it, and of nothing else
    with pytest.raises(StorageError, match=r"^report.json cannot be stored"):
        publish({"report.json": b"{}"}, durable=True)
    (tmp_path / ".report.json.part").rmdir()
    publish({"report.json": b"{}"}, durable=True)
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
