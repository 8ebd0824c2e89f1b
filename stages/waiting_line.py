"""Which hard frame is offered to a worker next."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pipeline.model import FrameId
from stages.ranked import Ranked

LIVE_S: Final = 2.0
"""A frame counts as live for so long after its capture."""

LEAD: Final = 4
"""By so many frames live ones may put their stream ahead of one whose frames wait: what a worker holds by default."""


@dataclass(slots=True)
class _OfStream:
    """What waits of one stream.

    Attributes:
        turns: how many frames of it were taken, but for those that were given back. What others had while nothing of
            it waited counts as had, even if nothing of theirs waits any more.
    """

    turns: int = 0
    live: dict[FrameId, tuple[float, float]] = field(default_factory=dict)
    backlog: Ranked[tuple[float, int]] = field(default_factory=Ranked)

    def __len__(self) -> int:
        return len(self.live) + len(self.backlog)

    def leave(self, frame: FrameId) -> None:
        self.live.pop(frame, None)
        self.backlog.discard(frame)

    def first(self) -> FrameId | None:
        """The oldest live frame, else the hardest of the backlog."""
        ranked = self.backlog.first()
        return next(iter(self.live), None) or (ranked[1] if ranked else None)


class WaitingLine:
    """The frames that wait for a worker with credit.

    They are taken in this order:

    1. those that a worker was offered and did not answer, first given back, first taken;
    2. the live ones, which were captured less than ``LIVE_S`` ago, the streams in turn and in each first come, first
       taken;
    3. the backlog, which is all others: the streams in turn, and of each the hardest first, and of equally hard ones
       the one that came first.

    So after an outage what the cameras see now is answered at once, and what waits is worked off behind it, the best
    part first. Where the workers cannot keep up, a frame is live for ``LIVE_S`` and then backlog too, so that none is
    answered late merely since others are before it.

    Whatever its frames are, each stream with frames that wait gets its share: one whose frames are hard, or always
    live, is taken from at most ``LEAD`` frames more than any other meanwhile. Each call takes O(log n), and O(streams).
    """

    def __init__(self) -> None:
        self._returned: dict[FrameId, None] = {}
        self._streams: dict[str, _OfStream] = {}
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._returned) + sum(map(len, self._streams.values()))

    def join(self, frame: FrameId, hardness: float, born_s: float) -> None:
        """Let a frame wait that was not offered yet.

        Args:
            frame: it is not in the line.
            hardness: higher is harder.
            born_s: when it was captured, monotonic.
        """
        stream = self._streams.setdefault(frame.stream, _OfStream())
        if not stream:
            most = max(map(_turns, self._streams.values()))
            stream.turns = max(stream.turns, min(map(_turns, self._waiting()), default=most))
        stream.live[frame] = born_s, hardness

    def give_back(self, frame: FrameId) -> None:
        """Let a frame wait that was offered in vain."""
        self._streams.setdefault(frame.stream, _OfStream()).turns -= 1
        self._returned[frame] = None

    def leave(self, frame: FrameId) -> None:
        """Forget a frame, if it is here."""
        stream = self._streams.get(frame.stream)
        if stream is None:
            return
        if frame in self._returned:
            del self._returned[frame]
            stream.turns += 1
        stream.leave(frame)

    def take(self, now_s: float) -> FrameId | None:
        """The next frame, which leaves the line; None if nobody waits."""
        self._let_age(now_s)
        frame = next(iter(self._returned), None)
        if frame is None and (frame := self._next()):
            self._streams[frame.stream].turns += 1
        if frame:
            self.leave(frame)
        return frame

    def _next(self) -> FrameId | None:
        behind = min(self._waiting(), key=_turns, default=None)
        live = min((stream for stream in self._waiting() if stream.live), key=_turns, default=behind)
        if live is None or behind is None:
            return None
        return (live if live.turns < behind.turns + LEAD else behind).first()

    def _waiting(self) -> Iterator[_OfStream]:
        return (stream for stream in self._streams.values() if stream)

    def _let_age(self, now_s: float) -> None:
        for stream in self._waiting():
            while stream.live:
                frame, (born_s, hardness) = next(iter(stream.live.items()))
                if now_s - born_s < LIVE_S:
                    break
                del stream.live[frame]
                stream.backlog.set(frame, (-hardness, next(self._order)))


def _turns(stream: _OfStream) -> int:
    return stream.turns
