"""The outbox on disk: rows in SQLite, and a JPEG file beside it for each. The table is in ``stages.outbox_rows``."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from pipeline.errors import ConfigError, StorageError
from pipeline.image import FileImage
from pipeline.model import FrameId
from pipeline.stage import Clock
from stages import outbox_rows as rows
from stages.database import connect
from stages.host_clock import HostClock, host_clock
from stages.ledger_schema import translated
from stages.lock import OwnerLock
from stages.outbox import Changes, Waiting
from stages.whole_files import FULL, make_folder, publish, storage_error

_NAME: Final = "outbox.sqlite"
LOCK: Final = f"{_NAME}.lock"
_FILES: Final = frozenset({_NAME, f"{_NAME}-wal", f"{_NAME}-shm"})
_PICTURE: Final = re.compile(r"\.?[a-z0-9-]+\.[1-9]\d*\.jpeg(?:\.part)?")


class SqliteOutbox:
    """An ``OutboxStore`` in a folder that survives ``kill -9`` and power cuts.

    A picture is written under a temporary name, synced, renamed, and its name synced, before the row that points at it
    is committed (WAL, synchronous=FULL); a file is removed after the row that needed it. So at every moment each row
    that is committed has its whole picture. What a process that died left half-written is removed at the next start.

    It has one owner at a time, by a lock file. It may be made in one thread and used in another, but by one at a time.
    """

    def __init__(self, folder: Path, owner: str, clock: Clock, host: HostClock | None = None) -> None:
        """Open or make the outbox in ``folder`` for ``owner``, a name for people with process and host in it.

        Args:
            folder: its own.
            owner: who takes it.
            clock: the monotonic clock of the uplink.
            host: the clock that goes on while no process runs.

        Raises:
            ConfigError: somebody else owns it, it is damaged or of another format, or it cannot be made.
            StorageError: there is no room for it.
        """
        self._folder, self._path = folder, folder / _NAME
        self._clock, self._host = clock, host or host_clock()
        try:
            make_folder(folder)
        except OSError as error:
            if error.errno in FULL:
                raise storage_error(folder, error) from error
            raise ConfigError(str(folder), f"cannot be made: {error}; choose another --out (sink.out)") from error
        self._lock = OwnerLock(folder / LOCK, folder, owner)
        with contextlib.ExitStack() as failing:
            failing.callback(self._lock.close)
            self._connection = connect(self._path, "outbox", rows.prepare)
            failing.callback(self._connection.close)
            self._places: dict[FrameId, int] = {}
            self._files: set[Path] = set()
            self._find()
            self._remove_orphans()
            failing.pop_all()

    def write(self, changes: Changes) -> None:
        """Put changes on disk; see ``OutboxStore``."""
        new = {
            self._file(waiting.id): image
            for waiting in changes.values()
            if waiting and waiting.id not in self._places and (image := waiting.store.image)
        }
        try:
            if new:
                publish({str(file): image.jpeg for file, image in new.items()}, durable=True)
            with translated(self._path, "outbox"):
                places = self._transact(changes)
        except StorageError:
            self._unlink(new)
            raise
        for file, image in new.items():
            image.file = file
        self._files.update(new)
        self._places |= places
        self._let_go(changes)

    def entries(self) -> Iterator[Waiting]:
        """What is kept; see ``OutboxStore``."""
        now, now_s = self._host(), self._clock()
        with translated(self._path, "outbox"):
            for row in self._connection.execute(rows.SELECT):
                yield self._with_picture(rows.recovered(row, now, now_s))

    def close(self) -> None:
        """Close the database and let go of it."""
        self._connection.close()
        self._lock.close()

    def _file(self, frame: FrameId) -> Path:
        return self._folder / f"{frame.stream}.{frame.seq}.jpeg"

    def _find(self) -> None:
        with translated(self._path, "outbox"):
            for place, stream, seq, needs_picture in self._connection.execute(rows.SELECT_PLACES):
                frame = FrameId(stream, seq)
                self._places[frame] = place
                if needs_picture:
                    self._files.add(self._file(frame))
        self._next_place = max(self._places.values(), default=0) + 1

    def _remove_orphans(self) -> None:
        found = [path for path in self._folder.iterdir() if _PICTURE.fullmatch(path.name)]
        self._unlink(path for path in found if path not in self._files)
        self._files.intersection_update(found)

    def _with_picture(self, waiting: Waiting) -> Waiting:
        """An example with its picture, if it needs one, and the file is there and has its size."""
        file, result = self._file(waiting.id), waiting.store.result
        if file not in self._files or file.stat().st_size != waiting.size_bytes:
            return waiting
        image = FileImage(file, result.width, result.height, waiting.size_bytes)
        return replace(waiting, store=replace(waiting.store, image=image))

    def _transact(self, changes: Changes) -> dict[FrameId, int]:
        """Commit the rows, and return the places of those that are new."""
        places: dict[FrameId, int] = {}
        execute = self._connection.execute
        now, now_s = self._host(), self._clock()
        try:
            execute("BEGIN IMMEDIATE")
            for frame, waiting in changes.items():
                place = self._places.get(frame)
                if waiting is None:
                    execute(rows.DELETE, (place,))
                elif place is not None:
                    execute(rows.UPDATE, rows.updated(place, waiting))
                else:
                    places[frame] = self._next_place + len(places)
                    execute(rows.INSERT, rows.inserted(places[frame], waiting, now.before(now_s - waiting.born_s)))
            execute("COMMIT")
        except sqlite3.Error:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise
        self._next_place += len(places)
        return places

    def _let_go(self, changes: Changes) -> None:
        """Remove the pictures that nobody needs any more, now that the disk has it."""
        for frame, waiting in changes.items():
            if waiting is None:
                self._places.pop(frame, None)
            if waiting is None or not waiting.needs_picture:
                file = self._file(frame)
                if file in self._files:
                    self._files.discard(file)
                    self._unlink((file,))

    def _unlink(self, files: Iterable[Path]) -> None:
        for file in files:
            with contextlib.suppress(OSError):  # the next start tries again
                file.unlink(missing_ok=True)


def remove_outbox(folder: Path) -> None:
    """Remove an outbox, for ``--fresh``, and its folder if nothing else is in it.

    Raises:
        ConfigError: a process is using it, or a file cannot be removed.
    """
    if not folder.is_dir():
        return
    with OwnerLock(folder / LOCK, folder, "tandem --fresh"):
        ours = [path for path in folder.iterdir() if path.name in _FILES or _PICTURE.fullmatch(path.name)]
        for path in ours:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise ConfigError(str(path), f"cannot be removed: {error}; remove it yourself") from error
    with contextlib.suppress(OSError):
        folder.rmdir()
