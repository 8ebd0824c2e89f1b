"""The reader's window: what it has sent, and must send again until the sink has stored it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.messages import Frame, Store

LEAST_TIMEOUT_S: Final = 5.0
MOST_TIMEOUT_S: Final = 60.0
"""Doubling ends here, unless the measured times ask for more: after a long cut, nobody waits as long again."""

_MEASURED: Final = 256


@dataclass(slots=True)
class _Held:
    message: Frame | Store
    sent_s: float
    due_s: float
    timeout_s: float
    sent_again: bool = False


class Unconfirmed:
    """Frames that are under way, by their ``seq``, with the time at which each is sent again.

    The timeout is max(5 s, 4 x p99 of the last 256 times to Stored), and is doubled each time for that frame. Of a
    frame that was sent twice nobody knows which copy was stored, so its time is not measured (Karn); instead its
    longer timeout holds for the next frames until a time is measured again.
    """

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}
        self._times_s: deque[float] = deque(maxlen=_MEASURED)
        self._timeout_s = LEAST_TIMEOUT_S

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, seq: int) -> bool:
        return seq in self._held

    @property
    def next_due_s(self) -> float:
        """When something must be sent again, ``inf`` if nothing is held."""
        return min((held.due_s for held in self._held.values()), default=math.inf)

    def hold(self, seq: int, message: Frame, now_s: float) -> None:
        """Keep what was just sent."""
        self._held[seq] = _Held(message, now_s, now_s + self._timeout_s, self._timeout_s)

    def replace(self, seq: int, message: Store) -> None:
        """From now on send this in the frame's place; the frame's pixels are let go."""
        self._held[seq].message = message
        self._held[seq].sent_again = True

    def postpone(self, seq: int, until_s: float) -> None:
        """Do not send this again before ``until_s``."""
        self._held[seq].due_s = max(self._held[seq].due_s, until_s)
        self._held[seq].sent_again = True

    def confirm(self, seq: int, now_s: float) -> None:
        """It is stored: let it go. What is not held is ignored."""
        held = self._held.pop(seq, None)
        if held is not None and not held.sent_again:
            self._times_s.append(now_s - held.sent_s)
            if self._timeout_s > LEAST_TIMEOUT_S or now_s - held.sent_s > LEAST_TIMEOUT_S / 4:
                self._timeout_s = max(LEAST_TIMEOUT_S, 4 * self._p99_s())

    def due(self, now_s: float) -> Sequence[Frame | Store]:
        """What must be sent again now, oldest first."""
        late = [held for held in self._held.values() if held.due_s <= now_s]
        for held in late:
            held.sent_again = True
            held.timeout_s = min(2 * held.timeout_s, max(MOST_TIMEOUT_S, 4 * self._p99_s()))
            held.due_s = now_s + held.timeout_s
            self._timeout_s = max(self._timeout_s, held.timeout_s)
        return [held.message for held in late]

    def _p99_s(self) -> float:
        times = sorted(self._times_s)
        return times[math.ceil(0.99 * len(times)) - 1] if times else 0.0


class Backlog:
    """The frames that are not final, by their ``seq``. It holds no pixels.

    A frame is forgotten after ``forget_s``, which is longer than any hard frame may wait for its end: the message that
    said so may be lost, and nobody sends that one again.
    """

    def __init__(self, forget_s: float) -> None:
        self._forget_s = forget_s
        self._forgotten_at_s: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._forgotten_at_s)

    @property
    def next_forgotten_s(self) -> float:
        """When the oldest one is forgotten, ``inf`` if there is none."""
        return next(iter(self._forgotten_at_s.values()), math.inf)

    def add(self, seq: int, now_s: float) -> None:
        """A frame is under way."""
        self._forgotten_at_s[seq] = now_s + self._forget_s

    def final(self, seq: int) -> None:
        """A frame has reached its end. One that is not here is ignored."""
        self._forgotten_at_s.pop(seq, None)

    def forget(self, now_s: float) -> None:
        """Let go of those whose time has come."""
        while self.next_forgotten_s <= now_s:
            del self._forgotten_at_s[next(iter(self._forgotten_at_s))]
