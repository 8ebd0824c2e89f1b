"""The miner stage: which frames are hard."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.messages import Detected, Example, Message, Undeliverable
from pipeline.stage import Clock
from stages.failed import failed
from stages.mining.audit import NO_AUDIT, Audit
from stages.mining.miner import Miner, View


class MinerStage:
    """Turns a ``Detected`` into an ``Example``. It keeps nothing, so a frame that comes twice gets the same answer.

    A message that cannot be sent on ends its frame as failed.
    """

    def __init__(self, miner: Miner, *, clock: Clock, audit: Audit = NO_AUDIT) -> None:
        """Judge frames by ``miner``; ``clock`` is the monotonic one, and miners never see it, nor the ``audit``."""
        self._miner = miner
        self._clock = clock
        self._audit = audit if miner.audited else NO_AUDIT

    def process(self, message: Message) -> Sequence[Message]:
        """Answer a ``Detected``; see ``Stage.process``."""
        match message:
            case Detected():
                started_s = self._clock()
                view = view_of(message)
                verdict = self._audit.of(self._miner.judge(view), view)
                steps_ms = {**message.steps_ms, "mine": (self._clock() - started_s) * 1000}
                return (Example(message, verdict, steps_ms),)
            case Undeliverable(message=Example() as example, reason=reason):
                return failed(example, reason, self._clock())
        return ()

    @property
    def wakes_at_s(self) -> float:
        """Never: it only answers."""
        return math.inf

    @property
    def drained(self) -> bool:
        """Always: it keeps nothing."""
        return True


def view_of(detected: Detected) -> View:
    """What a miner sees of a detected frame."""
    frame = detected.frame
    return View(
        stream=frame.id.stream,
        seq=frame.id.seq,
        media_s=frame.media_s,
        width=frame.image.width,
        height=frame.image.height,
        candidates=detected.candidates,
        detections=detected.detections,
        confidence=detected.confidence,
        image=frame.image,
    )
