"""Whose turn it is at a worker that has no room for all who ask."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

PATIENCE_S: Final = 1.0
"""Who comes so much later than it was told has lost its place: it may be gone, or served elsewhere."""


class UplinkQueue:
    """The uplinks that were told to come again, in the order in which they first asked.

    Without it whoever has just been answered, and asks at once, would always find the place that this answer has left
    free, and the others would starve.
    """

    def __init__(self) -> None:
        self._until_s: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until_s)

    def ahead(self, uplink: str, now_s: float) -> int:
        """How many come before ``uplink``; all of them where it is not in line yet."""
        for name in [name for name, until_s in self._until_s.items() if now_s >= until_s]:
            del self._until_s[name]
        return next((place for place, name in enumerate(self._until_s) if name == uplink), len(self._until_s))

    def wait(self, uplink: str, now_s: float, wait_s: float) -> None:
        """It was told to come again in ``wait_s`` seconds; one that is in line keeps its place."""
        self._until_s[uplink] = now_s + 1.25 * wait_s + PATIENCE_S

    def leave(self, uplink: str) -> None:
        """It had its turn."""
        self._until_s.pop(uplink, None)
