"""``kill -9`` and power cuts at any moment leave an outbox that has all that was passed on."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest

from pipeline.image import Image
from pipeline.model import Ending, FrameId
from stages.host_clock import Moment
from stages.outbox import Changes, Waiting
from stages.sqlite_outbox import SqliteOutbox
from tests.examples import image, result, store
from tests.forked import forked

KILLS: Final = 20
HALVES: Final = 5
"""So many kills fall into a write: where this machine has other things to do, there are more kills, up to:"""
MOST_KILLS: Final = 200

State = tuple[int, bool, bool]
"""Of one frame: tries, stored, decided."""

SMALL: Final = image(16, 16).jpeg


def picture(seq: int) -> bytes:
    """A JPEG of up to 64 KiB that no other frame has: what follows its end is nobody's business."""
    draw = random.Random(seq)
    return SMALL + draw.randbytes(draw.randrange(1 << 16))


def waiting(seq: int) -> Waiting:
    jpeg = picture(seq)
    return Waiting(store(replace(result(seq), width=16, height=16), picture=Image(jpeg=jpeg)), len(jpeg), 0.0)


def opened(folder: Path) -> SqliteOutbox:
    return SqliteOutbox(folder, "a test", lambda: 0.0, lambda: Moment("", 0.0, 0.0))


def state(entry: Waiting) -> State:
    return entry.tries, entry.stored, entry.decided is not None


def checked(outbox: SqliteOutbox) -> dict[int, State]:
    """What an outbox has; whoever may want a picture finds the right one."""
    found: dict[int, State] = {}
    for entry in outbox.entries():
        found[entry.id.seq] = state(entry)
        if entry.needs_picture:
            assert entry.store.image is not None, f"{entry.id} has lost its picture"
            assert entry.store.image.jpeg == picture(entry.id.seq), f"{entry.id} has another picture"
    return found


def changed(entries: Mapping[int, Waiting], draw: random.Random, next_seq: int) -> dict[FrameId, Waiting | None]:
    """One to four changes such as the uplink makes: new frames, tries, decisions, ends."""
    changes: dict[FrameId, Waiting | None] = {}
    for number in range(draw.randint(1, 4)):
        entry = draw.choice(list(entries.values())) if entries and draw.random() < 0.6 else waiting(next_seq + number)
        if entry.id.seq < next_seq:
            end = result(entry.id.seq, revision=2, ending=Ending.CLOUD)
            entry = draw.choice(
                (
                    replace(entry, tries=entry.tries + 1),
                    replace(entry, stored=True),
                    replace(entry, decided=end),
                    replace(entry, stored=True, decided=end),
                )
            )
        changes[entry.id] = None if entry.stored and entry.decided and draw.random() < 0.5 else entry
    return changes


def applied(states: Mapping[int, State], changes: Mapping[int, State | None]) -> dict[int, State]:
    merged = {**states, **changes}
    return {seq: kept for seq, kept in merged.items() if kept is not None}


def summary(changes: Changes) -> dict[int, State | None]:
    return {frame.seq: entry and state(entry) for frame, entry in changes.items()}


def write_on_and_on(folder: Path, seed: int, next_seq: int, pipe: Connection) -> None:
    """Change the outbox until somebody kills us, and say before and after what."""
    draw = random.Random(seed)
    outbox = opened(folder)
    entries = {entry.id.seq: entry for entry in outbox.entries()}
    while True:
        changes = changed(entries, draw, next_seq)
        next_seq = max(next_seq, *(frame.seq + 1 for frame in changes))
        pipe.send(summary(changes))
        outbox.write(changes)
        pipe.send(None)
        for frame, entry in changes.items():
            entries.pop(frame.seq, None)
            if entry:
                entries[frame.seq] = entry.at_rest()


@dataclass
class Heard:
    """What the other side has said: the states that it has confirmed, and the change that it has only announced."""

    confirmed: dict[int, State]
    under_way: dict[int, State | None] | None = None
    write_s: float = 0.0

    def next(self, pipe: Connection) -> None:
        """Listen once; the time that a write took is from its announcement until its confirmation."""
        began_s, said = time.monotonic(), pipe.recv()
        if said is None:
            self.confirmed, self.write_s = self.ended, time.monotonic() - began_s
        self.under_way = said

    def all(self, pipe: Connection) -> None:
        """Listen to what it has said before it ended, maybe within a word."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                self.next(pipe)

    @property
    def ended(self) -> dict[int, State]:
        """The states as the change that is under way leaves them."""
        return applied(self.confirmed, self.under_way or {})


def test_kill_9_leaves_all_that_was_passed_on(tmp_path: Path) -> None:
    processes = forked()
    states: dict[int, State] = {}
    kills = halves = 0
    while kills < KILLS or (halves < HALVES and kills < MOST_KILLS):
        draw = random.Random(f"kill/{kills}")
        pipe, theirs = processes.Pipe()
        kills += 1
        child = processes.Process(target=write_on_and_on, args=(tmp_path, kills, 10_000 * kills, theirs))
        child.start()
        theirs.close()
        heard = Heard(states)
        for _ in range(draw.randrange(1, 10)):
            heard.next(pipe)  # a write announced
            heard.next(pipe)  # and confirmed
        heard.next(pipe)
        time.sleep(draw.random() * heard.write_s)  # somewhere in the one that has begun, be this machine slow or fast
        child.kill()
        child.join()
        heard.all(pipe)
        with closing(opened(tmp_path)) as outbox:
            states = checked(outbox)
        assert states in (heard.confirmed, heard.ended), f"after kill {kills}"
        halves += heard.under_way is not None
    assert halves >= HALVES, "hardly a kill fell into a write"


# A power cut: only what was synced is sure to be there, and what was not may be


@dataclass(eq=False)
class Inode:
    """A file's bytes, as they are and as they were synced."""

    content: bytes = b""
    synced: bytes = b""


@dataclass
class Disk:
    """A folder under a shim of ``os`` that follows what is written and what is synced.

    Attributes:
        names: the files by their names.
        synced_names: the same, as the folder was synced last.
        database: the last commit; SQLite is trusted with that.
    """

    folder: Path
    names: dict[str, Inode] = field(default_factory=dict)
    synced_names: dict[str, Inode] = field(default_factory=dict)
    database: bytes = b""
    cuts: list[dict[str, bytes]] = field(default_factory=list)
    _open: dict[int, Inode | None] = field(default_factory=dict)

    def shim(self) -> SimpleNamespace:
        """Stands for ``os`` in the module that writes."""
        names = {name: value for name, value in vars(os).items() if not name.startswith("__")}
        own = {"open": self.open, "write": self.write, "fsync": self.fsync, "replace": self.replace}
        return SimpleNamespace(**(names | own))

    def open(self, path: str | Path, flags: int, mode: int = 0o777) -> int:
        number = os.open(path, flags, mode)
        self._open[number] = None
        if not Path(path).is_dir():
            self._open[number] = self.names[Path(path).name] = Inode()
        self.cut()
        return number

    def write(self, number: int, content: bytes) -> int:
        inode = self._open[number]
        assert inode is not None
        written = os.write(number, content if inode.content else content[: len(content) // 2])
        inode.content += bytes(content[:written])
        self.cut()
        return written

    def fsync(self, number: int) -> None:
        inode = self._open[number]
        if inode is None:
            self.synced_names = dict(self.names)
        else:
            inode.synced = inode.content
        self.cut()

    def replace(self, source: str, target: str) -> None:
        Path(source).replace(target)
        self.names[Path(target).name] = self.names.pop(Path(source).name)
        self.cut()

    def unlink(self, path: Path) -> None:
        self.names.pop(path.name, None)
        self.cut()

    def committed(self, connection: sqlite3.Connection) -> None:
        """The database is on disk as it is now."""
        copy = self.folder.parent / "copy.sqlite"
        copy.unlink(missing_ok=True)
        with closing(sqlite3.connect(copy)) as target:
            connection.backup(target)
        self.database = copy.read_bytes()
        self.cut()

    def cut(self) -> None:
        """Keep the disks that a power cut may leave now: unsynced names and bytes there or not."""
        for names in (self.synced_names, self.names):
            for synced in (True, False):
                left = {name: inode.synced if synced else inode.content for name, inode in names.items()}
                self.cuts.append({**left, "outbox.sqlite": self.database})


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(tmp_path / "outbox")
    monkeypatch.setattr("stages.whole_files.os", disk.shim())
    transact, unlink = SqliteOutbox._transact, Path.unlink

    def transact_and_tell(outbox: SqliteOutbox, changes: Changes) -> dict[FrameId, int]:
        places = transact(outbox, changes)
        disk.committed(outbox._connection)
        return places

    def unlink_and_tell(path: Path, missing_ok: bool = False) -> None:  # noqa: FBT001, FBT002 - its signature
        unlink(path, missing_ok)
        if path.parent == disk.folder and not path.name.startswith("outbox.sqlite"):
            disk.unlink(path)

    monkeypatch.setattr(SqliteOutbox, "_transact", transact_and_tell)
    monkeypatch.setattr(Path, "unlink", unlink_and_tell)
    return disk


def test_a_power_cut_leaves_all_that_was_passed_on(disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, entries, passed_on = random.Random(5), dict[int, Waiting](), list[tuple[int, dict[int, State]]]()
    with closing(opened(disk.folder)) as outbox:
        disk.committed(outbox._connection)
        disk.cuts.clear()
        states: dict[int, State] = {}
        for _ in range(12):
            changes = changed(entries, draw, 1 + max(entries, default=0))
            outbox.write(changes)
            states = applied(states, summary(changes))
            passed_on.append((len(disk.cuts), states))
            entries = {seq: entry for seq, entry in entries.items() if FrameId("gate", seq) not in changes}
            entries |= {frame.seq: entry.at_rest() for frame, entry in changes.items() if entry}
    monkeypatch.undo()
    seen: dict[tuple[tuple[str, bytes], ...], dict[int, State]] = {}
    for number, left in enumerate(disk.cuts):
        key = tuple(sorted(left.items()))
        if key not in seen:
            seen[key] = after_the_cut(tmp_path / f"cut-{number}", left)
        before = [states for at, states in passed_on if at <= number]
        later = [states for at, states in passed_on if at > number]
        assert seen[key] in (before[-1:] or [{}]) + later[:1], f"cut {number}"
    assert len(seen) > 50


def after_the_cut(folder: Path, left: Mapping[str, bytes]) -> dict[int, State]:
    """Start again with what the cut has left."""
    folder.mkdir()
    for name, content in left.items():
        (folder / name).write_bytes(content)
    with closing(opened(folder)) as outbox:
        return checked(outbox)
