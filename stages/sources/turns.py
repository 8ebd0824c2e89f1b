"""Who may open a video next: OpenCV opens one at a time in a process, and one that hangs keeps the others waiting."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pipeline.errors import SourceError

WAIT_S: Final = 20.0
"""So long a video waits for its turn before it is tried again later."""


class Turns:
    """Gives one turn after the other, to who failed least often first.

    So a camera that works waits for one that hangs once at most, however many hang.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, int]] = []
        self._came = 0
        self._taken = False

    @contextmanager
    def turn(self, failures: int, wait_s: float = WAIT_S) -> Iterator[None]:
        """Wait for a turn, and have it until the block ends.

        Raises:
            SourceError: none came within ``wait_s`` seconds.
        """
        with self._changed:
            place = (failures, self._came)
            self._came += 1
            self._waiting.append(place)
            mine = self._changed.wait_for(lambda: not self._taken and min(self._waiting) == place, wait_s)
            self._waiting.remove(place)
            self._taken |= mine
            self._changed.notify_all()
        if not mine:
            raise SourceError("waits for other videos here that hang while they are opened; check those")
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()
