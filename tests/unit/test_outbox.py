"""The outbox, in memory and on disk: what it has taken is there again, and nothing else is."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, DropMessage, StorageError
from pipeline.image import FileImage
from pipeline.model import Ending, FrameId
from stages.host_clock import Moment
from stages.outbox import MemoryOutbox, OutboxStore, Waiting
from stages.sqlite_outbox import SqliteOutbox, remove_outbox
from tests.examples import comparable, image, result, store

NOW_S = 5000.0
HERE = Moment("this boot", 9000.0, 1_800_000_000.0)


def waiting(seq: int = 1, *, born_s: float = NOW_S - 10) -> Waiting:
    picture = image(seed=seq)
    return Waiting(store(result(seq), picture=picture), len(picture.jpeg), born_s)


def decided(entry: Waiting, *, stored: bool = True) -> Waiting:
    bare = replace(entry.store, image=None) if stored else entry.store
    end = result(entry.id.seq, revision=2, ending=Ending.CLOUD)
    return replace(entry, store=bare, stored=stored, decided=end)


def write(outbox: OutboxStore, *entries: Waiting) -> None:
    outbox.write({entry.id: entry for entry in entries})


def forget(outbox: OutboxStore, *seqs: int) -> None:
    outbox.write({FrameId("gate", seq): None for seq in seqs})


def seqs(outbox: OutboxStore) -> list[int]:
    return [entry.id.seq for entry in outbox.entries()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox"


def opened(folder: Path, owner: str = "a test", host: Moment = HERE, now_s: float = NOW_S) -> SqliteOutbox:
    return SqliteOutbox(folder, owner, lambda: now_s, lambda: host)


Reopen = Callable[[], SqliteOutbox]


@pytest.fixture
def reopen(folder: Path) -> Iterator[Reopen]:
    """Open the outbox, and close what was open before."""
    current: list[SqliteOutbox] = []

    def again() -> SqliteOutbox:
        for outbox in current:
            outbox.close()
        current[:] = [opened(folder)]
        return current[0]

    yield again
    for outbox in current:
        outbox.close()


@pytest.fixture(params=["memory", "sqlite"])
def outbox(request: pytest.FixtureRequest, reopen: Reopen) -> OutboxStore:
    return reopen() if request.param == "sqlite" else MemoryOutbox()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("outbox.sqlite"))


def test_entries_come_in_the_order_in_which_they_came(outbox: OutboxStore) -> None:
    for seq in (3, 1, 2):
        write(outbox, waiting(seq))
    write(outbox, replace(waiting(3), tries=1))
    assert [(entry.id.seq, entry.tries) for entry in outbox.entries()] == [(3, 1), (1, 0), (2, 0)]


def test_what_is_forgotten_is_gone_and_forgetting_it_again_is_no_error(outbox: OutboxStore) -> None:
    write(outbox, waiting(1), waiting(2))
    forget(outbox, 1)
    forget(outbox, 1, 7)
    assert seqs(outbox) == [2]


def test_a_picture_waits_as_jpeg_alone(outbox: OutboxStore) -> None:
    put = waiting()
    write(outbox, put)
    (kept,) = outbox.entries()
    assert put.store.image is not None
    assert kept.store.image is not None
    assert kept.store.image._pixels is None
    assert kept.store.image.jpeg == put.store.image.jpeg
    assert kept.size_bytes == len(put.store.image.jpeg) > 0


def test_a_decided_one_may_come_without_picture(outbox: OutboxStore) -> None:
    write(outbox, decided(waiting()))
    (kept,) = outbox.entries()
    assert kept.store.image is None
    assert not kept.needs_picture


# On disk


def test_everything_is_there_again(reopen: Reopen) -> None:
    put = replace(waiting(1), tries=2, uploaded_bytes=700)
    write(reopen(), put, decided(waiting(2), stored=False), decided(waiting(3)))
    entries = list(reopen().entries())
    assert comparable(entries[0]) == comparable(put)
    assert comparable(entries[1]) == comparable(decided(waiting(2), stored=False))
    assert comparable(entries[2]) == comparable(decided(waiting(3)))


def test_newer_versions_are_there_again(reopen: Reopen) -> None:
    outbox = reopen()
    write(outbox, waiting(1))
    write(outbox, replace(waiting(1), tries=1, stored=True, uploaded_bytes=700))
    (entry,) = reopen().entries()
    assert (entry.tries, entry.stored, entry.uploaded_bytes, entry.decided) == (1, True, 700, None)


def test_a_recovered_entry_can_be_changed_and_forgotten(reopen: Reopen, folder: Path) -> None:
    write(reopen(), waiting(1), waiting(2))
    outbox = reopen()
    first, second = outbox.entries()
    write(outbox, replace(first, tries=1), decided(second), waiting(3))
    assert files(folder) == ["gate.1.jpeg", "gate.3.jpeg"]
    assert [(entry.id.seq, entry.tries) for entry in reopen().entries()] == [(1, 1), (2, 0), (3, 0)]


def test_the_picture_says_where_it_lies(reopen: Reopen, folder: Path) -> None:
    put = waiting()
    write(reopen(), put)
    assert put.store.image is not None
    assert put.store.image.file == folder / "gate.1.jpeg"
    assert put.store.image.file.read_bytes() == put.store.image.jpeg


def test_at_rest_the_picture_takes_no_memory_and_is_read_when_it_is_wanted(reopen: Reopen) -> None:
    put = waiting()
    jpeg = put.store.image.jpeg if put.store.image else b""
    write(reopen(), put)
    rested = put.at_rest().store.image
    assert isinstance(rested, FileImage)
    assert rested._jpeg is rested._pixels is None
    assert (rested.jpeg, rested.pixels.shape) == (jpeg, (48, 64, 3))
    assert rested._jpeg is rested._pixels is None


def test_a_picture_goes_when_nobody_wants_it_any_more(reopen: Reopen, folder: Path) -> None:
    outbox = reopen()
    write(outbox, waiting(1), waiting(2), waiting(3))
    write(outbox, decided(waiting(1)), decided(waiting(2), stored=False))
    assert files(folder) == ["gate.2.jpeg", "gate.3.jpeg"]
    forget(outbox, 1, 2, 3)
    assert files(folder) == []


def test_all_changes_of_a_call_are_kept_or_none(reopen: Reopen, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = reopen()
    write(outbox, waiting(1))

    def full(path: object, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("stages.whole_files.os.write", full)
        with pytest.raises(StorageError, match="No space left"):
            outbox.write({FrameId("gate", 1): None, FrameId("gate", 2): waiting(2), FrameId("gate", 3): waiting(3)})
    assert files(folder) == ["gate.1.jpeg"]
    assert seqs(outbox) == [1]
    write(outbox, waiting(2))
    assert seqs(reopen()) == [1, 2]


def test_a_full_database_leaves_neither_row_nor_file(reopen: Reopen, folder: Path) -> None:
    outbox = reopen()
    write(outbox, waiting(1))
    (pages,) = outbox._connection.execute("PRAGMA page_count").fetchone()
    outbox._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="full"):
        write(outbox, *(waiting(seq) for seq in range(2, 30)))
    assert files(folder) == ["gate.1.jpeg"]
    assert seqs(outbox) == [1]
    outbox._connection.execute("PRAGMA max_page_count = 100000")
    write(outbox, waiting(2))
    assert seqs(reopen()) == [1, 2]


def test_it_is_synced_by_every_commit(reopen: Reopen) -> None:
    connection = reopen()._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_age_goes_on_while_nobody_looks(folder: Path) -> None:
    with closing(opened(folder)) as outbox:
        write(outbox, waiting(1, born_s=NOW_S - 10))
    later = Moment(HERE.boot, HERE.boot_s + 50, HERE.wall_s - 86_400)  # somebody set the clock back
    with closing(opened(folder, host=later, now_s=7.0)) as outbox:
        (entry,) = outbox.entries()
    assert 7.0 - entry.born_s == 60.0


def test_a_second_owner_is_told_who_the_first_is(reopen: Reopen, folder: Path) -> None:
    outbox = reopen()
    for _ in range(2):
        with pytest.raises(ConfigError, match="is used by a test; stop that one"):
            opened(folder, "another")
    with pytest.raises(ConfigError, match="is used by a test"):
        remove_outbox(folder)
    outbox.close()
    opened(folder, "another").close()


# What an earlier process, a disk or a person left behind


def test_files_without_a_row_are_removed_and_strangers_stay(reopen: Reopen, folder: Path) -> None:
    write(reopen(), waiting(1))
    for name in ("gate.2.jpeg", ".gate.3.jpeg.part", "README", "holiday.jpeg"):
        (folder / name).write_bytes(b"x")
    assert seqs(reopen()) == [1]
    assert files(folder) == ["README", "gate.1.jpeg", "holiday.jpeg"]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"short")], ids=["gone", "short"])
def test_a_row_whose_file_is_gone_or_cut_short_has_lost_its_picture(
    reopen: Reopen, folder: Path, damage: Callable[[Path], object]
) -> None:
    write(reopen(), waiting(1), waiting(2))
    damage(folder / "gate.1.jpeg")
    first, second = reopen().entries()
    assert first.store.image is None
    assert first.needs_picture
    assert second.store.image is not None


def test_a_file_that_is_damaged_later_is_refused_when_it_is_read(reopen: Reopen, folder: Path) -> None:
    write(reopen(), waiting(1))
    (entry,) = reopen().entries()
    assert entry.store.image is not None
    (folder / "gate.1.jpeg").write_bytes(bytes(entry.size_bytes))
    with pytest.raises(DropMessage, match="no JPEG"):
        _ = entry.store.image.jpeg
    (folder / "gate.1.jpeg").unlink()
    with pytest.raises(DropMessage, match=r"gate\.1\.jpeg cannot be read: No such file"):
        _ = entry.store.image.pixels


def test_people_see_what_waits_without_what_programs_read(reopen: Reopen, folder: Path) -> None:
    write(reopen(), waiting(2), decided(waiting(1), stored=False))

    def shown() -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(folder / "outbox.sqlite")) as connection:
            return connection.execute("SELECT * FROM frames").fetchall()

    assert [(row[0], row[1], row[-1]) for row in shown()] == [("gate", 2, None), ("gate", 1, "cloud")]
    assert not any(isinstance(value, bytes) for row in shown() for value in row)
    with closing(sqlite3.connect(folder / "outbox.sqlite")) as connection:
        connection.execute("DROP VIEW frames")
    reopen()
    assert len(shown()) == 2, "one that was made before there was the view has it now"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("PRAGMA user_version = 9", "is no outbox of format 3"),
        ("PRAGMA user_version = 2", "is no outbox of format 3"),  # its verdicts know no budget
        ("PRAGMA application_id = 9", "is no outbox"),
    ],
)
def test_another_format_is_refused(reopen: Reopen, folder: Path, statement: str, words: str) -> None:
    reopen().close()
    with closing(sqlite3.connect(folder / "outbox.sqlite")) as connection:
        connection.execute(statement)
    with pytest.raises(ConfigError, match=words):
        opened(folder)
    with pytest.raises(ConfigError, match=words):  # and the lock is free again
        opened(folder)


def test_a_damaged_database_is_refused_with_a_remedy(reopen: Reopen, folder: Path) -> None:
    reopen().close()
    (folder / "outbox.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(ConfigError, match=r"is no readable outbox.*--fresh"):
        opened(folder)


def test_fresh_removes_what_is_ours_and_nothing_else(reopen: Reopen, folder: Path) -> None:
    outbox = reopen()
    write(outbox, waiting(1))
    outbox.close()
    (folder / "README").touch()
    remove_outbox(folder)
    assert [path.name for path in folder.iterdir()] == ["README"]
    (folder / "README").unlink()
    remove_outbox(folder)
    assert not folder.exists()
    remove_outbox(folder)
