"""Threads that were given up, since a call in them does not come back."""

from __future__ import annotations

import threading
from typing import Final

from pipeline.errors import SourceError

GIVE_UP_S: Final = 60.0
"""So long one call into OpenCV may take. Its own time-outs are shorter: this is for calls that do not heed them."""

LIMIT: Final = 3
"""So many threads of one source may hang at a time."""


class Hung:
    """The threads of one source that were told to stop and have not ended yet."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def add(self, thread: threading.Thread) -> None:
        """Remember a thread, where it has not ended."""
        self._threads = [one for one in (*self._threads, thread) if one.is_alive()]

    def check(self, name: str) -> None:
        """See that there is room for one more thread.

        Raises:
            SourceError: too many hang; it names the source.
        """
        self._threads = [one for one in self._threads if one.is_alive()]
        if len(self._threads) >= LIMIT:
            raise SourceError(
                f"{name} hangs: {len(self._threads)} tries to read it have not come back; "
                "check it and its driver, and restart this process if this goes on"
            )
