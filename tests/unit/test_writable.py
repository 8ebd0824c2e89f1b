"""Whether folders can be written is found by trying, as whoever writes them later does."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pipeline.app.writable import obstacles


def test_what_can_be_written_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    assert obstacles([tmp_path / "a/b/c", tmp_path / "there"]) == []
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_what_stops_several_folders_is_told_once(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.touch()
    (found,) = obstacles([out / "all", out / "gate/dataset", out, tmp_path / "other"])
    words = f"{out} is no folder that we may write (Not a directory): choose another, or make it writable"
    assert (found.at, found.why, len(found.folders)) == (out, words, 3)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a /proc")
def test_a_folder_that_only_looks_writable_is_found_out() -> None:
    assert not Path("/proc/x").exists()
    (found,) = obstacles([Path("/proc/x/all"), Path("/proc/x/dataset"), Path("/proc/x")])
    assert found.at == Path("/proc/x"), "root, who may write everywhere, is told too"
    assert "/proc is no folder that we may write (No such file or directory)" in found.why


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    (found,) = obstacles([tmp_path / "all", tmp_path / "dataset"])
    assert found.at == tmp_path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_lies_in_a_folder_that_we_may_not_enter_is_told_too() -> None:
    with TemporaryDirectory() as shut:
        os.seteuid(65534)
        try:
            (found,) = obstacles([Path(shut) / "x/all", Path(shut) / "x"])
        finally:
            os.seteuid(0)
    assert "is no folder that we may write (Permission denied)" in found.why


def test_a_link_to_nothing_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "gone")
    (found,) = obstacles([tmp_path / "out/all"])
    assert found.why.startswith(f"{tmp_path / 'out'} is no folder that we may write")
