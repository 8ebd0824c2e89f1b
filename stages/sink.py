"""The sink: keeps every revision on disk, says so, and owns the ledger and the retained state of each stream."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import structlog

from pipeline.errors import DropMessage, StorageError
from pipeline.messages import (
    Drain,
    Message,
    MinerProgress,
    NotStored,
    ReaderProgress,
    Recalled,
    SourceStatus,
    Store,
    Stored,
    Tick,
    Undeliverable,
    UplinkProgress,
)
from pipeline.model import Ending, FrameId
from pipeline.stage import Clock
from stages.refusal import Refusal
from stages.retention import Retention
from stages.sink_states import States
from stages.sink_stores import Kept, LedgerStore, OutputStore, Written

_log = structlog.get_logger()

COMMIT_AT: Final = 16
"""How many answers may wait for one commit."""

COMMIT_AFTER_S: Final = 0.02
"""How long an answer may wait for one. Each commit costs a sync of the disk, of which flash has only so many."""

_Key = tuple[FrameId, int]


class _PicturesRefused(StorageError):
    """The disk did not take the pictures of one revision; the ledger has not been touched."""


class Sink:
    """Stores revisions, answers ``Stored`` once the ledger has committed them, and says each stream's ``State``.

    Commits are grouped: answers wait until there are ``COMMIT_AT`` of them, or for ``COMMIT_AFTER_S``. A revision
    that was stored before changes nothing and is answered as before; nothing changes a frame that has ended.

    Where the disk takes nothing, ``NotStored`` is said, and the revision waits here for a retry (1 s, doubled to 30 s).
    How many can wait is bounded by the windows of those who sent them. Pictures that are not to be kept any longer are
    removed after a commit, and when their time has come.

    Attributes:
        ahead: how many second revisions came before their first was stored; they are ignored, and will be sent again.
    """

    def __init__(
        self, ledger: LedgerStore, outputs: OutputStore, clock: Clock, retention: Retention | None = None
    ) -> None:
        """Keep revisions in ``ledger`` and ``outputs``, and all of them unless there is a ``retention``."""
        self.ahead = 0
        self._ledger = ledger
        self._outputs = outputs
        self._clock = clock
        self._retention = retention
        self._states = States()
        self._asks: dict[str, ReaderProgress] = {}
        self._uncommitted: dict[_Key, tuple[Store, Stored]] = {}
        self._held: dict[_Key, Store] = {}
        self._told: set[_Key] = set()
        self._refusal = Refusal()
        self._commit_at_s = math.inf
        self._draining = False

    def process(self, message: Message) -> Iterable[Message]:
        """Handle a ``Store``, progress, ``Tick`` or ``Drain``; see ``pipeline.stage.Stage``."""
        now_s = message.now_s if isinstance(message, Tick) else self._clock()
        answers: list[Message] = []
        match message:
            case Store():
                answers += self._store(message, now_s)
            case ReaderProgress():
                answers += self._hear_reader(message, now_s)
            case UplinkProgress():
                answers += self._hear_uplink(message, now_s)
            case MinerProgress():
                answers += self._hear_miner(message, now_s)
            case Undeliverable(message=Recalled(judged=judged) as recalled) if judged:
                answers.append(replace(recalled, judged=judged[(len(judged) + 1) // 2 :]))  # the newest half may fit
            case Tick():
                answers += self._work(now_s)
            case Drain():
                self._draining = True
                answers += self._work(now_s)
                self._say_what_is_left()
            case _:
                return answers
        return answers + self._states.due(self._ledger, self._refusal.reason, now_s, at_once=self._draining)

    @property
    def wakes_at_s(self) -> float:
        """When a commit, a retry, a removal or a state is due."""
        return min(self._commit_at_s, self._refusal.retry_at_s, self._removal_at_s, self._states.due_at_s)

    @property
    def drained(self) -> bool:
        """After ``Drain``: whether all that came is on disk. It is false for as long as the disk takes nothing."""
        return self._draining and not (self._uncommitted or self._held or self._asks)

    @property
    def levels(self) -> Mapping[str, int]:
        """The revisions that wait for a commit, and those that the disk does not take. Any thread may ask."""
        return {"uncommitted": len(self._uncommitted), "refused": len(self._held)}

    def _store(self, store: Store, now_s: float) -> list[Message]:
        key = (store.id, store.result.revision)
        _check(store)
        if key in self._uncommitted:
            return []
        if key in self._held:
            return [NotStored(*key, self._refusal.reason)]
        try:
            answers = self._take(key, store)
        except StorageError as error:
            self._held[key] = store
            return self._block(error, now_s)
        if self._uncommitted:
            self._commit_at_s = min(self._commit_at_s, now_s + COMMIT_AFTER_S)
        return answers + self._commit(now_s) if len(self._uncommitted) >= COMMIT_AT else answers

    def _take(self, key: _Key, store: Store) -> list[Message]:
        kept = self._ledger.kept(store.id)
        if kept is None and key[1] == 2:
            self.ahead += 1
            return []
        if kept is not None and (kept.final or kept.revision >= key[1]):
            return self._store_again(key, kept)
        if kept is None:
            written = self._write(store, ())
            self._ledger.add(store.result, store.counts, written)
        else:
            written = self._write(store, kept.edge_files)
            self._ledger.end(store.result, written)
        stored = Stored(*key, store.result.final, self._outputs.paths(store.id, written.files))
        self._uncommitted[key] = (store, stored)
        return []

    def _write(self, store: Store, before: tuple[str, ...]) -> Written:
        try:
            if store.result.revision == 2:
                return self._outputs.cloud(store.result, before)
            return self._outputs.edge(store.result, store.image) if store.image else Written()
        except StorageError as error:
            raise _PicturesRefused(str(error)) from error

    def _store_again(self, key: _Key, kept: Kept) -> list[Message]:
        if kept.final and (key[0], 1) in self._uncommitted:
            return []  # a row that is not committed confirms nothing; who asks so early asks again
        files = kept.edge_files if key[1] == 1 else kept.cloud_files
        final = kept.edge_final if key[1] == 1 else kept.final
        return [Stored(*key, final, self._outputs.paths(key[0], files))]

    def _work(self, now_s: float) -> list[Message]:
        if self._refusal.reason and (self._draining or now_s >= self._refusal.retry_at_s):
            return self._retry(now_s)
        due = self._uncommitted or self._asks or self._draining or now_s >= self._removal_at_s
        return self._commit(now_s) if due else []

    def _retry(self, now_s: float) -> list[Message]:
        answers: list[Message] = []
        try:
            for key in tuple(self._held):
                answers += self._take_held(key)
                del self._held[key]
        except StorageError as error:
            answers += self._block(error, now_s)
        return answers + self._commit(now_s)

    def _take_held(self, key: _Key) -> list[Message]:
        try:
            return self._take(key, self._held[key])
        except DropMessage as error:
            # Its file was damaged meanwhile. The others must not wait for it; who sent it asks again in a minute, and
            # finds out.
            _log.warning("held_picture_dropped", stream=key[0].stream, seq=key[0].seq, reason=str(error))
            return []

    def _commit(self, now_s: float) -> list[Message]:
        try:
            resumes = [self._ledger.open(ask) for ask in self._asks.values()]
            self._ledger.commit()
        except StorageError as error:
            return self._block(error, now_s)
        stored = [answer for _, answer in self._uncommitted.values()]
        for frame, _ in self._uncommitted:
            self._states.touch(frame.stream)
        self._told.difference_update(self._uncommitted)
        self._uncommitted.clear()
        self._asks.clear()
        self._commit_at_s = math.inf
        return [*stored, *resumes, *self._remove(now_s)]

    @property
    def _removal_at_s(self) -> float:
        # While the disk refuses, a removal waits for the next try: it may be what the disk refuses.
        return self._retention.due_at_s if self._retention and not self._refusal.reason else math.inf

    def _remove(self, now_s: float) -> list[Message]:
        """What follows a commit: the disk is in order, unless it refuses to remove what is not to be kept."""
        try:
            for stream in self._retention.prune(now_s) if self._retention else ():
                self._states.touch(stream)
        except StorageError as error:
            return self._block(error, now_s)
        if not self._held and self._refusal.over(now_s):
            self._states.touch_all()
        return []

    def _block(self, error: StorageError, now_s: float) -> list[Message]:
        if not isinstance(error, _PicturesRefused):
            # One statement that fails may have undone its whole transaction: all of it waits, in the order it came in.
            self._ledger.rollback()
            self._held = {key: store for key, (store, _) in self._uncommitted.items()} | self._held
            self._uncommitted.clear()
            self._commit_at_s = math.inf
        if self._refusal.met(str(error), now_s):
            self._states.touch_all()
        untold = [key for key in self._held if key not in self._told]
        self._told.update(untold)
        return [NotStored(*key, self._refusal.reason) for key in untold]

    def _say_what_is_left(self) -> None:
        """The last word of a sink that ends while the disk takes nothing."""
        if self._held:
            frames = sorted({frame for frame, _ in self._held}, key=lambda frame: (frame.stream, frame.seq))
            _log.error(
                "not_stored",
                frames=len(frames),
                first=str(frames[0]),
                reason=self._refusal.reason,
                then="start again when there is room: a file goes on from there, what a camera had in memory is lost",
            )

    def _hear_reader(self, progress: ReaderProgress, now_s: float) -> list[Message]:
        moved = self._states.hear_reader(progress)
        if progress.status is SourceStatus.OPENING:
            self._asks[progress.stream] = progress
        else:
            self._asks.pop(progress.stream, None)
            self._ledger.count(progress)
        return self._commit(now_s) if moved or self._asks else []

    def _hear_miner(self, progress: MinerProgress, now_s: float) -> list[Message]:
        """Say what is remembered. While the disk takes nothing there is no answer, and the miner asks again."""
        answers = self._commit(now_s)
        if self._held:
            return answers
        try:
            judged = self._ledger.recalled(progress.stream)
        except StorageError as error:
            return answers + self._block(error, now_s)
        return [*answers, Recalled(progress.stream, progress.incarnation, tuple(judged))]

    def _hear_uplink(self, progress: UplinkProgress, now_s: float) -> list[Message]:
        self._states.hear_uplink(progress)
        try:
            new = self._ledger.meet(progress)
        except StorageError as error:
            return self._block(error, now_s)
        return self._commit(now_s) if new else []


def _check(store: Store) -> None:
    result = store.result
    if result.revision not in (1, 2):
        raise DropMessage(f"{store.id}: revision {result.revision} is neither 1 nor 2")
    if result.revision == 2 and result.ending is None:
        raise DropMessage(f"{store.id}: revision 2 without an ending")
    if result.revision == 1 and store.image is None and result.ending is not Ending.FAILED:
        raise DropMessage(f"{store.id}: revision 1 without a picture")
