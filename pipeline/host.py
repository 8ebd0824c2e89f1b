"""A stage as the runner hosts it."""

from __future__ import annotations

import math
import queue
import threading
from dataclasses import dataclass, field
from typing import Final

from pipeline.messages import Message, Tick
from pipeline.observer import Observer
from pipeline.stage import Clock, Stage, StageName
from pipeline.vitals import HasLevels, Pulse, Vitals

TICK_LATE_S: Final = 0.1
"""A stage whose inbox never empties gets its ``Tick`` at most so late."""


@dataclass(slots=True)
class Host:
    """A stage, its inbox and its thread. A reader belongs to one stream, the others serve all."""

    name: StageName
    stage: Stage
    stream: str
    inbox: queue.SimpleQueue[Message | None] = field(default_factory=queue.SimpleQueue)
    thread: threading.Thread | None = None
    due_since_s: float = math.inf
    told_to_drain: bool = False
    drained: bool = False
    pulse: Pulse = field(default_factory=Pulse)
    observer: Observer | None = None

    @property
    def vitals(self) -> Vitals:
        """How it is now; any thread may ask."""
        alive = self.thread is not None and self.thread.is_alive()
        levels = self.stage.levels if isinstance(self.stage, HasLevels) else None
        return Vitals.of(self.pulse, self.name, self.stream, alive=alive, inbox=self.inbox.qsize(), levels=levels)

    def next(self, clock: Clock) -> Message | None:
        """The next message, or a ``Tick`` where the stage wants one and no message is waiting, or it is overdue."""
        now_s = clock()
        wait_s = self.stage.wakes_at_s - now_s
        self.due_since_s = min(self.due_since_s, now_s) if wait_s <= 0 else math.inf
        try:
            if now_s - self.due_since_s > TICK_LATE_S:
                raise queue.Empty  # noqa: TRY301 - as good as empty: messages may not keep time out
            return self.inbox.get(timeout=min(wait_s, 3600.0)) if wait_s > 0 else self.inbox.get_nowait()
        except queue.Empty:
            self.due_since_s = math.inf
            return Tick(clock())
