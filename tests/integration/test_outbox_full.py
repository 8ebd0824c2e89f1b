"""The outbox on a disk that is really full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from pipeline.errors import StorageError
from pipeline.image import Image
from stages.outbox import Waiting
from stages.sqlite_outbox import SqliteOutbox
from tests.examples import image, result, store

SIZE_BYTES = 1 << 20
JPEG = image().jpeg.ljust(60_000, b"x")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of ``SIZE_BYTES``."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a tmpfs")
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(tmp_path)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def waiting(seq: int) -> Waiting:
    return Waiting(store(result(seq), picture=Image(jpeg=JPEG)), len(JPEG), 0.0)


def filled(outbox: SqliteOutbox, first_seq: int) -> int:
    """Put frames into it until it takes no more; the number of the one that it refused."""
    for seq in range(first_seq, first_seq + 100):
        entry = waiting(seq)
        try:
            outbox.write({entry.id: entry})
        except StorageError:
            return seq
    raise AssertionError("the disk is not full")


def fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def parts(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if ".part" in path.name]


def test_nothing_is_half_written_and_it_goes_on_when_there_is_room(small_disk: Path) -> None:
    folder = small_disk / "outbox"
    with closing(SqliteOutbox(folder, "a test", lambda: 0.0)) as outbox:
        refused = filled(outbox, 1)
        assert refused > 5
        assert parts(folder) == []
        kept = list(outbox.entries())
        assert [entry.id.seq for entry in kept] == list(range(1, refused))
        outbox.write({entry.id: None for entry in kept[:2]})  # what ends makes room
        filled(outbox, refused)
    with closing(SqliteOutbox(folder, "a test", lambda: 0.0)) as outbox:
        kept = list(outbox.entries())
        assert [entry.id.seq for entry in kept][: refused - 3] == list(range(3, refused))
        assert all(entry.store.image and entry.store.image.jpeg == JPEG for entry in kept)


def test_a_disk_that_others_have_filled_to_the_last_byte_takes_neither_picture_nor_row(small_disk: Path) -> None:
    folder, filler = small_disk / "outbox", small_disk / "filler"
    with closing(SqliteOutbox(folder, "a test", lambda: 0.0)) as outbox:
        first = waiting(1)
        outbox.write({first.id: first})
        fill(filler)
        refused = filled(outbox, 2)
        assert refused == 2
        assert [entry.id.seq for entry in outbox.entries()] == [1]
        assert parts(folder) == []
        filler.unlink()
        assert filled(outbox, 2) > 2


def test_one_that_is_made_on_a_full_disk_waits_for_room_as_the_ledger_does(small_disk: Path) -> None:
    fill(small_disk / "fill")
    for _ in range(2):
        with pytest.raises(StorageError, match=r"outbox\.sqlite cannot be written: .*; make room on its disk"):
            SqliteOutbox(small_disk / "outbox", "a test", lambda: 0.0)
    (small_disk / "fill").unlink()
    with closing(SqliteOutbox(small_disk / "outbox", "a test", lambda: 0.0)) as outbox:
        assert filled(outbox, 1) > 1
