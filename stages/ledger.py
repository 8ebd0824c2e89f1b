"""The ledger on disk: what became of every frame, in one SQLite file.

Its tables are in ``stages.ledger_schema``, and its rows are read and written in ``stages.ledger_rows``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipeline.errors import ConfigError, StorageError
from pipeline.gain import Gain
from pipeline.messages import SEQ_AHEAD, ReaderProgress, Result, Resume, SourceStatus, UplinkProgress
from pipeline.model import Counts, Ending, FrameId, Tally, Verdict
from stages.database import connect
from stages.fingerprint import refusal, same
from stages.ledger_account import Account
from stages.ledger_rows import INTERRUPTED, LedgerRows
from stages.ledger_schema import prepare
from stages.lock import OwnerLock, lock_of
from stages.retention import Old
from stages.sink_stores import Kept, Written
from stages.whole_files import storage_error

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
            self._rows = LedgerRows(path, connect(path, "ledger", prepare))
            self._opened = path.stat()
            accounts = self._rows.accounts()
        except BaseException:
            self._lock.close()
            raise
        self._committed = {account.stream: account for account in accounts}
        self._accounts = dict(self._committed)
        self._newest: dict[str, int] = {}
        self._replaced: set[tuple[str, str]] = set()
        self._before_uplink: dict[str, set[int]] = {}
        self._heard: set[str] = set()
        self._meeting: set[str] = set()

    def kept(self, frame: FrameId) -> Kept | None:
        return None if frame.seq > self._newest_of(frame.stream) else self._rows.kept(frame)

    def add(self, result: Result, counts: Counts, written: Written) -> None:
        account = self._account(result.id.stream)
        account = account.overtaken() if result.id.seq <= account.last_seq else account.counted(counts)
        self._rows.add(result, counts.admitted, written)
        account = account.holding(written.size_bytes)
        if result.ending is not Ending.FAILED:
            account = account.judged(hard=result.verdict.hard)
        if result.ending is not None:
            account = account.plus(result.ending, result.upload_bytes)
        elif account.stream not in self._heard:
            self._before_uplink.setdefault(account.stream, set()).add(result.id.seq)
        self._accounts[account.stream] = account
        self._newest[account.stream] = max(self._newest_of(account.stream), result.id.seq)

    def end(self, result: Result, written: Written) -> None:
        assert result.ending is not None  # noqa: S101 - the sink checks it
        by_cloud = result.ending is Ending.CLOUD
        hard, came, went = self._rows.compared(result) if by_cloud else (False, None, None)
        # It was given up when its uplink was started again, but that uplink had it: its first report was late or lost.
        given_up = self._rows.ending(result.id) == INTERRUPTED
        self._rows.end(result, written, came, went)
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
        done = self._rows.final(account.stream)
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
        lost = set(self._rows.unended(account.stream)).difference(progress.recovered, early) if account.live else set()
        for seq in sorted(lost):
            lost_frame = FrameId(account.stream, seq)
            self._rows.interrupt(lost_frame, "it waited in the memory of an uplink that was started again")
        account = account._replace(uplink=progress.incarnation)
        self._accounts[account.stream] = account.plus(INTERRUPTED, number=len(lost))
        return True

    def recalled(self, stream: str) -> Sequence[tuple[int, Verdict]]:
        return self._rows.recalled(stream)

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
        return self._rows.oldest(streams, limit)

    def removed(self, frame: FrameId, at_ns: int) -> None:
        size_bytes = self._rows.remove(frame, at_ns)
        self._accounts[frame.stream] = self._account(frame.stream).holding(-size_bytes, removed=1)

    def commit(self) -> None:
        self._check_there()
        changed = [account for name, account in self._accounts.items() if self._committed.get(name) != account]
        for account in changed:
            self._rows.put(account)
        self._rows.commit()
        self._committed.update({account.stream: account for account in changed})
        self._heard |= self._meeting
        for stream in self._meeting:
            self._before_uplink.pop(stream, None)
        self._meeting.clear()

    def rollback(self) -> None:
        self._rows.rollback()
        counts = {name: account.counts for name, account in self._accounts.items()}
        self._accounts = {name: row.counted(counts[name]) for name, row in self._committed.items()}
        self._meeting.clear()

    def close(self) -> None:
        """Close the file and let go of it. What is not committed is forgotten."""
        self._rows.close()
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
        with_row = account.ended - account.lost + len(self._rows.unended(account.stream))
        last_seq = max(account.last_seq, account.position, self._newest_of(account.stream)) + (
            SEQ_AHEAD if account.reader else 0
        )
        return account.begun(last_seq, lost=max(0, account.admitted - with_row))

    def _newest_of(self, stream: str) -> int:
        """No row of a stream has a higher number; most frames are newer than all that are here, and need no look."""
        if stream not in self._newest:
            self._newest[stream] = self._rows.newest(stream)
        return self._newest[stream]
