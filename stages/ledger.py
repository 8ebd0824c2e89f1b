"""The ledger on disk: what became of every frame, in one SQLite file. Its tables are in ``stages.ledger_schema``."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from pipeline.errors import ConfigError, StorageError
from pipeline.messages import ReaderProgress, Result, Resume, UplinkProgress
from pipeline.model import Counts, Ending, FrameId, Tally
from stages.ledger_account import COLUMNS, Account
from stages.ledger_schema import encode_boxes, encode_steps, prepare, translated
from stages.lock import OwnerLock
from stages.sink import Kept
from stages.whole_files import storage_error

INTERRUPTED: Final = "interrupted"
"""The ending of a live frame that was only in memory when its process died."""

_NO_ROOM: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_CANTOPEN}
)
_LEAST_BYTES: Final = 1 << 18
"""With less than this a ledger cannot be opened: its shared memory and its first pages."""

_BUSY_S: Final = 1.0
_REFUSED: Final = (
    "the ledger {path} has a stream {stream!r} that was made from another source, model, miner or config; "
    "choose another --out, or start over with --fresh"
)


_PUT_ACCOUNT: Final = (
    f"INSERT INTO streams ({', '.join(COLUMNS)}) VALUES ({', '.join(f':{name}' for name in COLUMNS)}) "  # noqa: S608 - constants
    f"ON CONFLICT (stream) DO UPDATE SET {', '.join(f'{name} = :{name}' for name in COLUMNS[1:])}"
)
_ADD: Final = f"""INSERT INTO frames (
    stream, seq, ordinal, revision, ending, reason, hard, miner, score, threshold, verdict, captured_ns, media_s,
    width, height, edge_model, edge_boxes, edge_ms, edge_steps, edge_files, upload_bytes
) VALUES ({", ".join("?" * 21)})"""  # noqa: S608 - placeholders
_END: Final = """UPDATE frames SET revision = 2, ending = ?, reason = ?, cloud_model = ?, worker = ?, cloud_boxes = ?,
    cloud_ms = ?, cloud_steps = ?, cloud_files = ?, upload_bytes = ? WHERE stream = ? AND seq = ?"""
_KEPT: Final = "SELECT revision, ending, edge_files, cloud_files FROM frames WHERE stream = ? AND seq = ?"
_OPEN: Final = "SELECT seq FROM frames WHERE stream = ? AND ending IS NULL ORDER BY seq"
_INTERRUPT: Final = "UPDATE frames SET ending = ?, reason = ? WHERE stream = ? AND seq = ?"


class SqliteLedger:
    """A ``LedgerStore`` in one SQLite file (WAL, synchronous=FULL): what is committed survives a power cut.

    It has one owner at a time, by a lock file beside it. It may be made in one thread and used in another, but by one
    at a time. Counters are kept in memory, so that ``tally`` costs nothing.
    """

    def __init__(self, path: Path, owner: str) -> None:
        """Open or make the ledger ``path`` for ``owner``, a name for people with process and host in it.

        Raises:
            ConfigError: somebody else owns it, it is damaged or of another format, or it cannot be made.
            StorageError: there is no room for it.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(str(path.parent), f"cannot be made: {error}; choose another --out") from error
        self._lock = OwnerLock(path.with_name(path.name + ".lock"), path, owner)
        try:
            self._connection = _connect(path)
            self._opened = path.stat()
            with translated(path):
                names = ", ".join(COLUMNS)
                rows = self._connection.execute(f"SELECT {names} FROM streams").fetchall()  # noqa: S608 - constants
        except BaseException:
            self._lock.close()
            raise
        self._committed = {row[0]: Account(*row) for row in rows}
        self._accounts = dict(self._committed)
        self._recovered: dict[str, int] = {}
        self._before_uplink: dict[str, set[int]] = {}
        self._heard: set[str] = set()
        self._meeting: set[str] = set()

    def kept(self, frame: FrameId) -> Kept | None:
        with translated(self.path):
            row = self._connection.execute(_KEPT, (frame.stream, frame.seq)).fetchone()
        if row is None:
            return None
        revision, ending, edge_files, cloud_files = row
        edge_final = revision == 1 and ending not in (None, INTERRUPTED)
        return Kept(revision, ending is not None, edge_final, _split(edge_files), _split(cloud_files))

    def add(self, result: Result, counts: Counts, files: tuple[str, ...]) -> None:
        account = self._account(result.id.stream).counted(counts)
        if account.lost and result.id.seq <= account.last_seq:
            # It was given up when its reader was started again, but it was only on its way.
            account = replace(account, lost=account.lost - 1, interrupted=account.interrupted - 1)
        verdict = result.verdict
        self._write(
            _ADD,
            (
                *(result.id.stream, result.id.seq, counts.admitted, 1, result.ending, result.reason),
                *(verdict.hard, verdict.miner, verdict.score, verdict.threshold, verdict.reason),
                *(result.captured_ns, result.media_s, result.width, result.height),
                *(result.edge_model, encode_boxes(result.detections), result.latency_ms),
                *(encode_steps(result.steps_ms), ",".join(files), result.upload_bytes),
            ),
        )
        if result.ending is not None:
            account = account.plus(result.ending, result.upload_bytes)
        elif account.stream not in self._heard:
            self._before_uplink.setdefault(account.stream, set()).add(result.id.seq)
        self._accounts[account.stream] = account

    def end(self, result: Result, files: tuple[str, ...]) -> None:
        assert result.ending is not None  # noqa: S101 - the sink checks it
        boxes = encode_boxes(result.detections) if result.ending is Ending.CLOUD else None
        self._write(
            _END,
            (
                *(result.ending, result.reason, result.cloud_model, result.worker, boxes),
                *(result.latency_ms, encode_steps(result.steps_ms), ",".join(files), result.upload_bytes),
                *(result.id.stream, result.id.seq),
            ),
        )
        account = self._account(result.id.stream)
        self._accounts[account.stream] = account.plus(result.ending, result.upload_bytes)

    def open(self, progress: ReaderProgress) -> Resume:
        account = self._met(progress)
        if account is None:
            refused = _REFUSED.format(path=self.path, stream=progress.stream)
            return Resume(progress.stream, progress.incarnation, Counts(), (), refused)
        if account.reader != progress.incarnation:
            account = replace(account, reader=progress.incarnation)
            if progress.live:
                account = self._interrupted_without_row(account)
        self._accounts[account.stream] = account
        done = ((1, account.last_seq),) if progress.live and account.last_seq else self._done(account)
        return Resume(progress.stream, progress.incarnation, account.counts, done, "")

    def count(self, progress: ReaderProgress) -> None:
        account = self._met(progress)
        if account is not None:
            self._accounts[account.stream] = account.counted(progress.counts)

    def meet(self, progress: UplinkProgress) -> bool:
        account = self._account(progress.stream)
        self._recovered[account.stream] = max(progress.recovered, default=0)
        self._meeting.add(account.stream)
        if account.uplink == progress.incarnation:
            return False
        self._heard.discard(account.stream)
        # What came since the start and before this uplink was heard came from it, and is not lost.
        early = self._before_uplink.get(account.stream, set())
        lost = set(self._open(account.stream)).difference(progress.recovered, early) if account.live else set()
        for seq in sorted(lost):
            reason = "it waited in the memory of an uplink that was started again"
            self._write(_INTERRUPT, (INTERRUPTED, reason, account.stream, seq))
        account = replace(account, uplink=progress.incarnation)
        self._accounts[account.stream] = account.plus(INTERRUPTED, number=len(lost))
        return True

    def tally(self, stream: str) -> Tally:
        ended = self._committed.get(stream, Account(stream))
        counted = self._account(stream)
        return Tally(
            counted.read,
            counted.skipped,
            counted.dropped,
            counted.admitted,
            ended.easy,
            ended.cloud,
            ended.expired,
            ended.failed,
            ended.interrupted,
            pending=counted.admitted - ended.ended,
        )

    def upload_bytes(self, stream: str) -> int:
        return self._committed.get(stream, Account(stream)).upload_bytes

    def commit(self) -> None:
        self._check_there()
        changed = [account for name, account in self._accounts.items() if self._committed.get(name) is not account]
        for account in changed:
            self._write(_PUT_ACCOUNT, {name: getattr(account, name) for name in COLUMNS})
        with translated(self.path):
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
        self._committed.update({account.stream: account for account in changed})
        self._heard |= self._meeting
        for stream in self._meeting:
            self._before_uplink.pop(stream, None)
        self._meeting.clear()

    def rollback(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # what a broken disk undid by itself cannot be undone again
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        counts = {name: account.counts for name, account in self._accounts.items()}
        self._accounts = {name: row.counted(counts[name]) for name, row in self._committed.items()}
        self._meeting.clear()

    def close(self) -> None:
        """Close the file and let go of it. What is not committed is forgotten."""
        self._connection.close()
        self._lock.close()

    def _check_there(self) -> None:
        """SQLite goes on writing into a file that has no name any more, which nobody would ever read.

        Raises:
            StorageError: the ledger was removed, moved or replaced.
        """
        try:
            there = os.path.samestat(self.path.stat(), self._opened)
        except FileNotFoundError:
            there = False
        except OSError as error:
            raise storage_error(self.path, error) from error
        if not there:
            raise StorageError(f"{self.path} is not the ledger that was opened: put that one back, or start again")

    def _account(self, stream: str) -> Account:
        return self._accounts.get(stream) or Account(stream)

    def _met(self, progress: ReaderProgress) -> Account | None:
        account = self._account(progress.stream)
        if not account.fingerprint:
            return replace(account, fingerprint=progress.fingerprint, source=progress.source, live=int(progress.live))
        same = account.fingerprint == progress.fingerprint and account.live == progress.live
        return account if same else None

    def _interrupted_without_row(self, account: Account) -> Account:
        with_row = account.ended - account.lost + len(self._open(account.stream))
        lost = max(0, account.admitted - with_row)
        newest = self._one("SELECT max(seq) FROM frames WHERE stream = ?", account.stream) or 0
        # A durable outbox may know of a frame that the ledger has never met: its number is taken too.
        last_seq = max(account.last_seq, account.read, newest, self._recovered.get(account.stream, 0))
        return replace(account, lost=lost, interrupted=account.interrupted - account.lost + lost, last_seq=last_seq)

    def _done(self, account: Account) -> tuple[tuple[int, int], ...]:
        """Ranges that hold no admitted frame but final ones: their places among the admitted have no gap."""
        query = "SELECT seq, ordinal FROM frames WHERE stream = ? AND ending IS NOT NULL ORDER BY seq"
        ranges: list[tuple[int, int]] = []
        before = -1
        with translated(self.path):
            for seq, ordinal in self._connection.execute(query, (account.stream,)):
                if ordinal == before + 1:
                    ranges[-1] = (ranges[-1][0], seq)
                else:
                    ranges.append((seq, seq))
                before = ordinal
        return tuple(ranges)

    def _open(self, stream: str) -> list[int]:
        with translated(self.path):
            return [seq for (seq,) in self._connection.execute(_OPEN, (stream,))]

    def _one(self, query: str, stream: str) -> int | None:
        with translated(self.path):
            row: tuple[int | None] = self._connection.execute(query, (stream,)).fetchone()
        return row[0]

    def _write(self, statement: str, values: tuple[object, ...] | dict[str, object]) -> None:
        with translated(self.path):
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(statement, values)


def _split(files: str | None) -> tuple[str, ...]:
    return tuple(files.split(",")) if files else ()


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _connect(path: Path) -> sqlite3.Connection:
    try:
        with translated(path):
            connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        with _closed_on_error(connection), translated(path):
            prepare(path, connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
    except StorageError as error:
        if isinstance(error.__cause__, sqlite3.Error) and _is_full(path, error.__cause__):
            raise
        raise ConfigError(str(path), f"cannot be opened: {error}; or choose another --out") from error
    return connection


def _is_full(path: Path, error: sqlite3.Error) -> bool:
    """Whether there is no room; SQLite has words of its own for it, and an I/O error for its shared memory."""
    return error.sqlite_errorcode in _NO_ROOM and shutil.disk_usage(path.parent).free < _LEAST_BYTES
