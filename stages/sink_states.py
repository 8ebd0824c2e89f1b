"""The retained state of each stream: what is known of it, and when it is worth saying again."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Final, Protocol

from pipeline.gain import Gain
from pipeline.messages import Message, ReaderProgress, SourceStatus, State, UplinkProgress
from pipeline.model import Tally

STATE_EVERY_S: Final = 0.5


class Sums(Protocol):
    """What a state needs of the ledger; all of it is cheap."""

    def tally(self, stream: str) -> Tally:
        """The newest counts, and the endings that are committed."""

    def upload_bytes(self, stream: str) -> int:
        """What was sent to workers for the frames whose end is committed."""

    def gain(self, stream: str) -> Gain:
        """What the edge misses and what the cloud corrects, by the frames that are committed."""

    def removed_frames(self, stream: str) -> int:
        """Of how many frames the pictures were removed."""


@dataclass(slots=True)
class _View:
    reader: ReaderProgress | None = None
    uplink: UplinkProgress | None = None
    said: State | None = None
    said_at_s: float = -math.inf
    changed: bool = False
    urgent: bool = False


class States:
    """Says a stream's ``State`` at most every ``STATE_EVERY_S`` while it changes, and at once where it matters.

    That is when the reader's status changes, when the last frame of a source that ended has ended too, and when the
    disk begins or ceases to refuse. A stream whose reader was never heard has no state.
    """

    def __init__(self) -> None:
        self._views: defaultdict[str, _View] = defaultdict(_View)

    def hear_reader(self, progress: ReaderProgress) -> bool:
        """Take a reader's progress; return whether its status has changed."""
        view = self._views[progress.stream]
        moved = view.reader is None or view.reader.status is not progress.status
        view.reader = progress
        view.changed = True
        view.urgent |= moved
        return moved

    def hear_uplink(self, progress: UplinkProgress) -> None:
        view = self._views[progress.stream]
        view.uplink = progress
        view.changed = True

    def touch(self, stream: str) -> None:
        """The ledger has changed."""
        self._views[stream].changed = True

    def touch_all(self) -> None:
        """The disk has begun or ceased to refuse."""
        for view in self._views.values():
            view.changed = view.urgent = True

    @property
    def due_at_s(self) -> float:
        """When the next state is to be said; ``inf`` where nothing has changed."""
        views = self._views.values()
        return min((view.said_at_s + STATE_EVERY_S for view in views if view.changed and view.reader), default=math.inf)

    def due(self, ledger: Sums, refusal: str, now_s: float, *, at_once: bool) -> list[Message]:
        """The states that are to be said now and differ from the last ones.

        Args:
            ledger: has the sums.
            refusal: why the disk takes nothing, or empty.
            now_s: monotonic time.
            at_once: do not wait until ``STATE_EVERY_S`` is over.
        """
        said: list[Message] = []
        for stream, view in self._views.items():
            if not view.changed or view.reader is None:
                continue
            over = view.reader.status is SourceStatus.ENDED and ledger.tally(stream).pending == 0
            if not (at_once or over or view.urgent or now_s >= view.said_at_s + STATE_EVERY_S):
                continue
            state = _state(view.reader, view.uplink, ledger, refusal)
            view.changed = view.urgent = False
            if state != view.said:
                view.said, view.said_at_s = state, now_s
                said.append(state)
        return said


def _state(reader: ReaderProgress, uplink: UplinkProgress | None, ledger: Sums, refusal: str) -> State:
    return State(
        stream=reader.stream,
        source=reader.source,
        live=reader.live,
        status=reader.status,
        reason=reader.reason,
        tally=ledger.tally(reader.stream),
        upload_bytes=ledger.upload_bytes(reader.stream),
        queued=uplink.queued if uplink else 0,
        offered=uplink.offered if uplink else 0,
        workers=uplink.workers if uplink else 0,
        late=uplink.late if uplink else 0,
        waiting=refusal or (uplink.waiting if uplink else ""),
        removed=ledger.removed_frames(reader.stream),
        gain=ledger.gain(reader.stream),
    )
