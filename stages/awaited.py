"""Frames that an earlier process left behind, and that their reader may bring again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final

from pipeline.model import FrameId
from stages.held import Held

AWAITED_S: Final = 300.0
"""So long revision 1 of a frame that an earlier process left behind is left to its reader."""


class Awaited:
    """What the outbox has kept of which the sink may lack revision 1.

    A reader of a file brings such a frame again, with its pixels, and what is drawn from those differs from what is
    drawn from the JPEG in the outbox. So revision 1 is left to the reader until a later frame of the stream shows that
    it has gone on, or ``AWAITED_S`` have passed.
    """

    def __init__(self, recovered: Iterable[Held], now_s: float) -> None:
        """Await those of ``recovered`` that are ``awaited``."""
        self._frames = {held.id: held for held in recovered if held.awaited}
        self._until_s = now_s + AWAITED_S

    @property
    def wakes_at_s(self) -> float:
        """When ``overdue`` has something."""
        return self._until_s if self._frames else math.inf

    def end(self, frame: FrameId) -> Held | None:
        """A frame has come, or is stored: it is awaited no longer. None where it was not."""
        held = self._frames.pop(frame, None)
        if held:
            held.awaited = False
        return held

    def passed(self, came: FrameId) -> Iterator[Held]:
        """Those that will not come again, since a later frame of their stream has come; they are awaited no longer."""
        yield from self._ended(frame for frame in self._frames if frame.stream == came.stream and frame.seq < came.seq)

    def overdue(self, now_s: float) -> Iterator[Held]:
        """Those that no reader has brought in time; they are awaited no longer."""
        yield from self._ended(self._frames if now_s >= self._until_s else ())

    def _ended(self, frames: Iterable[FrameId]) -> Iterator[Held]:
        for frame in list(frames):
            if held := self.end(frame):
                yield held
