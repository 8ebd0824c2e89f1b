"""What the uplink changes in its outbox, committed in groups, and what it may say only then."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import structlog

from pipeline.errors import StorageError
from pipeline.messages import Message, Result, Store
from pipeline.model import FrameId
from stages.outbox import OutboxStore, Waiting

COMMIT_AT: Final = 16
"""How many frames may wait for one commit. Fewer wait only while messages come without a pause."""

LAZY_S: Final = 1.0
"""How long a change may wait for a commit where no harm is done if it is lost."""

RETRY_S: Final = (1.0, 30.0)
"""The first and the longest pause before a disk that takes nothing is asked again; it doubles."""

log = structlog.get_logger()


class OutboxGroup:
    """Nothing is said of a frame whose change is not on disk.

    Changes are collected and committed together: as soon as no message waits for the uplink, or there are
    ``COMMIT_AT`` of them. While a sync of the disk takes its time, messages gather, so the slower the disk, the larger
    the groups.

    Where the disk takes nothing, all of it waits here, and is tried again. How much can wait is bounded by the windows
    of the readers, who get no word of their frames. Decisions are tried without the new pictures too: they take little
    room, and what they bring to an end makes some.

    Attributes:
        refusal: why the disk takes nothing, or empty.
    """

    def __init__(self, store: OutboxStore) -> None:
        self.refusal = ""
        self._store = store
        self._changes: dict[FrameId, Waiting | None] = {}
        self._urgent: set[FrameId] = set()
        self._new: set[FrameId] = set()
        self._withheld: dict[tuple[FrameId, type[Message], int], Message] = {}
        self._lazy_at_s = self._retry_at_s = math.inf
        self._delay_s = RETRY_S[0]
        self._draining = False

    def __contains__(self, frame: FrameId) -> bool:
        """Whether a change of this frame must be on disk before anything is said of it."""
        return frame in self._urgent

    @property
    def empty(self) -> bool:
        """Whether everything is on disk."""
        return not self._changes

    @property
    def changes(self) -> dict[FrameId, Waiting | None]:
        """What is not on disk yet."""
        return dict(self._changes)

    @property
    def wakes_at_s(self) -> float:
        """When a commit is due; in the past for as soon as no message waits."""
        if self.refusal:
            return self._retry_at_s
        return -math.inf if self._urgent or (self._changes and self._draining) else self._lazy_at_s

    def drain(self) -> None:
        """From now on leave no change for later, and try a disk that takes nothing once more at once."""
        self._draining, self._retry_at_s = True, -math.inf

    def add(self, waiting: Waiting) -> None:
        """A new frame, with its picture."""
        self._new.add(waiting.id)
        self.change(waiting)

    def change(self, waiting: Waiting) -> None:
        """A newer version of a frame. Nothing is said of it before it is on disk."""
        self._changes[waiting.id] = waiting
        self._urgent.add(waiting.id)

    def note(self, waiting: Waiting, now_s: float) -> None:
        """A newer version of a frame that may be lost."""
        self._changes[waiting.id] = waiting
        self._lazy_at_s = min(self._lazy_at_s, now_s + LAZY_S)

    def forget(self, frame: FrameId, now_s: float) -> None:
        """A frame that is over; if this is lost, the sink only says once more that it has it."""
        self._changes[frame] = None
        self._new.discard(frame)
        self._lazy_at_s = min(self._lazy_at_s, now_s + LAZY_S)

    def through(self, said: Iterable[Message]) -> list[Message]:
        """What may be said now; the rest is kept back, each message once, until its frame's change is on disk."""
        passed: list[Message] = []
        for message in said:
            if isinstance(message, Result | Store) and message.id in self._urgent:
                self._withheld.setdefault((message.id, type(message), _revision(message)), message)
            else:
                passed.append(message)
        return passed

    def due(self, now_s: float, *, idle: bool) -> bool:
        """Whether it is time to commit; ``idle`` is it where no other message waits for the uplink."""
        return (idle and now_s >= self.wakes_at_s) or (not self.refusal and len(self._urgent) >= COMMIT_AT)

    def commit(self, now_s: float) -> list[Message]:
        """Put the changes on disk, and return what was kept back for that; nothing if the disk takes nothing."""
        light = {frame: waiting for frame, waiting in self._changes.items() if frame not in self._new}
        try:
            self._store.write(self._changes)
        except StorageError as error:
            self._refused(error, now_s)
        else:
            self._accepted()
            return self._written(self._changes)
        if light and self._new:
            try:
                self._store.write(light)
            except StorageError:
                return []
            return self._written(light)
        return []

    def _written(self, changes: Iterable[FrameId]) -> list[Message]:
        written = frozenset(changes)
        self._urgent -= written
        self._new -= written
        self._changes = {frame: change for frame, change in self._changes.items() if frame not in written}
        self._lazy_at_s = math.inf
        freed = [key for key in self._withheld if key[0] in written]
        return [self._withheld.pop(key) for key in freed]

    def _refused(self, error: StorageError, now_s: float) -> None:
        if not self.refusal:
            log.warning("outbox_refuses", reason=str(error))
        self.refusal = str(error)
        self._retry_at_s = now_s + self._delay_s
        self._delay_s = min(2 * self._delay_s, RETRY_S[1])

    def _accepted(self) -> None:
        if self.refusal:
            log.info("outbox_accepts_again")
        self.refusal, self._delay_s, self._retry_at_s = "", RETRY_S[0], math.inf


def _revision(message: Result | Store) -> int:
    return message.result.revision if isinstance(message, Store) else message.revision
