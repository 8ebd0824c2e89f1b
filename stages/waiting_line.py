"""Which hard frame is offered to a worker next."""

from __future__ import annotations

import itertools
from typing import Final

from pipeline.model import FrameId
from stages.ranked import Ranked

LIVE_S: Final = 2.0
"""A frame counts as live for so long after its capture."""


class WaitingLine:
    """The frames that wait for a worker with credit.

    They are taken in this order:

    1. those that a worker was offered and did not answer, first given back, first taken;
    2. the live ones, which were captured less than ``LIVE_S`` ago, first come, first taken;
    3. the backlog, which is all others: the hardest first, and of equally hard ones the one that came first.

    So after an outage what the cameras see now is answered at once, and what waits is worked off behind it, the best
    part first. Where the workers cannot keep up, a frame is live for ``LIVE_S`` and then backlog too, so that none is
    answered late merely since others are before it. Each call takes O(log n).
    """

    def __init__(self) -> None:
        self._returned: dict[FrameId, None] = {}
        self._live: dict[FrameId, tuple[float, float]] = {}
        self._backlog: Ranked[tuple[float, int]] = Ranked()
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._returned) + len(self._live) + len(self._backlog)

    def join(self, frame: FrameId, hardness: float, born_s: float) -> None:
        """Let a frame wait that was not offered yet.

        Args:
            frame: it is not in the line.
            hardness: higher is harder.
            born_s: when it was captured, monotonic.
        """
        self._live[frame] = born_s, hardness

    def give_back(self, frame: FrameId) -> None:
        """Let a frame wait that was offered in vain."""
        self._returned[frame] = None

    def leave(self, frame: FrameId) -> None:
        """Forget a frame, if it is here."""
        self._returned.pop(frame, None)
        self._live.pop(frame, None)
        self._backlog.discard(frame)

    def take(self, now_s: float) -> FrameId | None:
        """The next frame, which leaves the line; None if nobody waits."""
        self._let_age(now_s)
        ranked = self._backlog.first()
        frame = next(iter(self._returned), None) or next(iter(self._live), None) or (ranked and ranked[1])
        if frame:
            self.leave(frame)
        return frame

    def _let_age(self, now_s: float) -> None:
        while self._live:
            frame, (born_s, hardness) = next(iter(self._live.items()))
            if now_s - born_s < LIVE_S:
                return
            del self._live[frame]
            self._backlog.set(frame, (-hardness, next(self._order)))
