"""The ledger on disk: what became of every frame, in one SQLite file. Its tables are in ``stages.ledger_schema``."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipeline.errors import ConfigError, StorageError
from pipeline.gain import Gain
from pipeline.messages import SEQ_AHEAD, ReaderProgress, Result, Resume, SourceStatus, UplinkProgress
from pipeline.model import Counts, Ending, FrameId, Tally, Verdict
from stages import ledger_statements as sql
from stages.compare import changes
from stages.database import connect
from stages.fingerprint import refusal, same
from stages.ledger_account import COLUMNS, Account
from stages.ledger_schema import (
    decode_boxes,
    decode_budget,
    encode_boxes,
    encode_budget,
    encode_steps,
    prepare,
    translated,
)
from stages.lock import OwnerLock, lock_of
from stages.retention import Old
from stages.sink_stores import Kept, Written
from stages.whole_files import storage_error

INTERRUPTED: Final = "interrupted"
"""The ending of a live frame that was only in memory when its process died."""

_REPLACED: Final = "another reader has begun with the stream {stream!r} since; let one process alone read it"


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
            raise ConfigError(str(path.parent), f"cannot be made: {error}; choose another --out (sink.out)") from error
        self._lock = OwnerLock(lock_of(path), path, owner)
        try:
            self._connection = connect(path, "ledger", prepare)
            self._opened = path.stat()
            with translated(path):
                names = ", ".join(COLUMNS)
                rows = self._connection.execute(f"SELECT {names} FROM streams").fetchall()  # noqa: S608 - constants
        except BaseException:
            self._lock.close()
            raise
        self._committed = {row[0]: Account(*row) for row in rows}
        self._accounts = dict(self._committed)
        self._newest: dict[str, int] = {}
        self._replaced: set[tuple[str, str]] = set()
        self._before_uplink: dict[str, set[int]] = {}
        self._heard: set[str] = set()
        self._meeting: set[str] = set()

    def kept(self, frame: FrameId) -> Kept | None:
        if frame.seq > self._newest_of(frame.stream):
            return None
        with translated(self.path):
            row = self._connection.execute(sql.KEPT, (frame.stream, frame.seq)).fetchone()
        if row is None:
            return None
        revision, ending, edge_files, cloud_files, removed_ns = row
        ended = ending not in (None, INTERRUPTED)
        if removed_ns is not None:
            return Kept(revision, final=True, edge_final=ended and revision == 1, edge_files=(), cloud_files=())
        return Kept(revision, ended, ended and revision == 1, _split(edge_files), _split(cloud_files))

    def add(self, result: Result, counts: Counts, written: Written) -> None:
        account = self._account(result.id.stream)
        account = account.overtaken() if result.id.seq <= account.last_seq else account.counted(counts)
        verdict = result.verdict
        self._write(
            sql.ADD,
            (
                *(result.id.stream, result.id.seq, counts.admitted, 1, result.ending, result.reason),
                *(verdict.hard, verdict.miner, verdict.score, verdict.threshold, verdict.reason, verdict.audited),
                *(result.captured_ns, result.media_s, result.width, result.height),
                *(result.edge_model, encode_boxes(result.detections), result.latency_ms),
                *(encode_steps(result.steps_ms), ",".join(written.files), result.upload_bytes, written.size_bytes),
                *(verdict.duplicate_of, encode_budget(verdict.budget)),
            ),
        )
        if verdict.memory:
            self._write(sql.REMEMBER, (result.id.stream, result.id.seq, verdict.memory))
            self._write(sql.FORGET, (result.id.stream, result.id.stream))
        account = account.holding(written.size_bytes)
        if result.ending is not Ending.FAILED:
            account = account.judged(hard=verdict.hard)
        if result.ending is not None:
            account = account.plus(result.ending, result.upload_bytes)
        elif account.stream not in self._heard:
            self._before_uplink.setdefault(account.stream, set()).add(result.id.seq)
        self._accounts[account.stream] = account
        self._newest[account.stream] = max(self._newest_of(account.stream), result.id.seq)

    def end(self, result: Result, written: Written) -> None:
        assert result.ending is not None  # noqa: S101 - the sink checks it
        boxes = encode_boxes(result.detections) if result.ending is Ending.CLOUD else None
        hard, came, went = self._compared(result) if boxes is not None else (False, None, None)
        # It was given up when its uplink was started again, but that uplink had it: its first report was late or lost.
        given_up = self._ending(result.id) == INTERRUPTED
        self._write(
            sql.END,
            (
                *(result.ending, result.reason, result.cloud_model, result.worker, boxes, came, went),
                *(result.latency_ms, encode_steps(result.steps_ms), ",".join(written.files), result.upload_bytes),
                *(written.size_bytes, result.id.stream, result.id.seq),
            ),
        )
        account = self._account(result.id.stream).holding(written.size_bytes).plus(result.ending, result.upload_bytes)
        if came is not None and went is not None:
            account = account.compared(hard=hard, came=came, went=went)
        if given_up:
            account = account._replace(interrupted=account.interrupted - 1)
        self._accounts[account.stream] = account

    def open(self, progress: ReaderProgress) -> Resume:
        account = self._met(progress)
        if account is None:
            then = self._account(progress.stream).fingerprint
            refused = refusal(self.path, progress.stream, then, progress.fingerprint)
            return Resume(progress.stream, progress.incarnation, Counts(), (), refused)
        if (account.stream, progress.incarnation) in self._replaced:
            refused = _REPLACED.format(stream=progress.stream)
            return Resume(progress.stream, progress.incarnation, Counts(), (), refused)
        if account.reader != progress.incarnation:
            self._replaced.add((account.stream, account.reader))
            if progress.live:
                account = self._next_reader(account)
            account = account._replace(reader=progress.incarnation)
        account = account.counted(progress.counts)
        self._accounts[account.stream] = account
        done = self._done(account)
        if progress.live:
            done = ((1, account.position),) if account.position else ()
        return Resume(progress.stream, progress.incarnation, account.counts, done, "")

    def count(self, progress: ReaderProgress) -> None:
        account = self._met(progress)
        if account is None:
            return
        if progress.status is SourceStatus.STOPPED and account.reader == progress.incarnation:
            self._replaced.add((account.stream, account.reader))
            account = account._replace(reader="")
        self._accounts[account.stream] = account.counted(progress.counts)

    def meet(self, progress: UplinkProgress) -> bool:
        account = self._account(progress.stream)
        self._meeting.add(account.stream)
        if account.uplink == progress.incarnation:
            return False
        self._heard.discard(account.stream)
        # What came since the start and before this uplink was heard came from it, and is not lost.
        early = self._before_uplink.get(account.stream, set())
        lost = set(self._open(account.stream)).difference(progress.recovered, early) if account.live else set()
        for seq in sorted(lost):
            reason = "it waited in the memory of an uplink that was started again"
            self._write(sql.INTERRUPT, (INTERRUPTED, reason, account.stream, seq))
        account = account._replace(uplink=progress.incarnation)
        self._accounts[account.stream] = account.plus(INTERRUPTED, number=len(lost))
        return True

    def recalled(self, stream: str) -> Sequence[tuple[int, Verdict]]:
        with translated(self.path):
            rows = self._connection.execute(sql.RECALLED, (stream,) * 3).fetchall()
        return [
            (
                seq,
                Verdict(
                    bool(hard),
                    miner,
                    score,
                    threshold,
                    reason,
                    bool(audited),
                    twin,
                    decode_budget(budget),
                    memory or "",
                ),
            )
            for seq, hard, miner, score, threshold, reason, audited, twin, budget, memory in rows
        ]

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

    def gain(self, stream: str) -> Gain:
        return self._committed.get(stream, Account(stream)).gain

    def removed_frames(self, stream: str) -> int:
        return self._committed.get(stream, Account(stream)).removed

    def kept_bytes(self, streams: Sequence[str]) -> int:
        return sum(self._account(stream).kept_bytes for stream in streams)

    def oldest(self, streams: Sequence[str], limit: int) -> Sequence[Old]:
        with translated(self.path):
            rows = self._connection.execute(sql.OLDEST, (json.dumps(streams), limit)).fetchall()
        return [
            Old(FrameId(stream, seq), captured_ns, tuple(dict.fromkeys(_split(edge_files) + _split(cloud_files))))
            for stream, seq, captured_ns, edge_files, cloud_files in rows
        ]

    def removed(self, frame: FrameId, at_ns: int) -> None:
        ((size_bytes,),) = self._write(sql.REMOVED, (at_ns, frame.stream, frame.seq))
        self._accounts[frame.stream] = self._account(frame.stream).holding(-size_bytes, removed=1)

    def commit(self) -> None:
        self._check_there()
        changed = [account for name, account in self._accounts.items() if self._committed.get(name) != account]
        for account in changed:
            self._write(sql.PUT_ACCOUNT, account)
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
            return account._replace(fingerprint=progress.fingerprint, source=progress.source, live=int(progress.live))
        if not same(account.fingerprint, progress.fingerprint) or account.live != progress.live:
            return None
        return account._replace(fingerprint=progress.fingerprint)  # what an earlier Tandem wrote is without settings

    def _next_reader(self, account: Account) -> Account:
        """A camera goes on: what was only in memory is lost, and no number is given twice.

        A reader that was killed may have used numbers that are not on this disk, but none more than ``SEQ_AHEAD``
        beyond what is: a result with such a number may be public, and a hard example in the outbox. They are left out.
        """
        with_row = account.ended - account.lost + len(self._open(account.stream))
        last_seq = max(account.last_seq, account.position, self._newest_of(account.stream)) + (
            SEQ_AHEAD if account.reader else 0
        )
        return account.begun(last_seq, lost=max(0, account.admitted - with_row))

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
            return [seq for (seq,) in self._connection.execute(sql.OPEN, (stream,))]

    def _compared(self, result: Result) -> tuple[bool, int | None, int | None]:
        """Whether a frame is hard, and how many boxes came and went by the cloud's answer, where the edge had one."""
        with translated(self.path):
            row = self._connection.execute(sql.JUDGED, (result.id.stream, result.id.seq)).fetchone()
        if not row[2]:
            return bool(row[0]), None, None  # mined first: there is nothing to compare with
        came, went = changes(decode_boxes(row[1]), result.detections)
        return bool(row[0]), len(came), len(went)

    def _ending(self, frame: FrameId) -> str | None:
        with translated(self.path):
            row = self._connection.execute(sql.KEPT, (frame.stream, frame.seq)).fetchone()
        return row[1] if row else None

    def _newest_of(self, stream: str) -> int:
        """No row of a stream has a higher number; most frames are newer than all that are here, and need no look."""
        if stream not in self._newest:
            with translated(self.path):
                row = self._connection.execute("SELECT max(seq) FROM frames WHERE stream = ?", (stream,)).fetchone()
            self._newest[stream] = row[0] or 0
        return self._newest[stream]

    def _write(self, statement: str, values: tuple[object, ...]) -> list[tuple[int]]:
        with translated(self.path):
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
            rows: list[tuple[int]] = self._connection.execute(statement, values).fetchall()
        return rows


def _split(files: str | None) -> tuple[str, ...]:
    return tuple(files.split(",")) if files else ()
