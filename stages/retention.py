"""What is kept of the outputs: the oldest pictures go where there are too many bytes, or when they are too old."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from pipeline.model import FrameId

AT_ONCE: Final = 256
"""So many frames go at most before the sink looks at its messages again."""

LOOK_MOST_S: Final = 60.0
"""The longest time between two looks at the age; a shorter age is looked at more often, to a hundredth of it."""

_SLACK: Final = 64


@dataclass(frozen=True, slots=True)
class Old:
    """A frame that has ended, and its files."""

    id: FrameId
    captured_ns: int
    files: tuple[str, ...]


class Removals(Protocol):
    """What retention needs of a ledger; every method raises ``StorageError`` where the disk takes nothing."""

    def kept_bytes(self, streams: Sequence[str]) -> int:
        """What the pictures of these streams take that were not removed. Cheap."""

    def oldest(self, streams: Sequence[str], limit: int) -> Sequence[Old]:
        """The frames with pictures that have ended, oldest capture first."""

    def removed(self, frame: FrameId, at_ns: int) -> None:
        """Record that a frame's pictures are gone."""

    def commit(self) -> None:
        """Put it on disk."""


class Removable(Protocol):
    """What retention needs of outputs."""

    def remove(self, frame: FrameId, files: Iterable[str]) -> None:
        """Remove a frame's files; those that are gone are no error. Raises ``StorageError``."""


class Retention:
    """Removes the oldest pictures of frames that have ended: over ``budget_bytes``, and beyond ``age_s`` since capture.

    All files of a frame go together, and before the ledger says so: where the process dies in between, the next one
    finds them gone and says so then. What is not final stays, however old, since its revision 2 is drawn on it. Over
    the budget it removes a 64th of it more than it must, so that the ledger is not synced again for every frame.

    Attributes:
        due_at_s: when to look again, monotonic; ``inf`` where only a commit can change anything.
    """

    def __init__(
        self,
        ledger: Removals,
        outputs: Removable,
        streams: Iterable[str],
        *,
        budget_bytes: int | None = None,
        age_s: float | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Keep what the pictures of ``streams`` take within these limits; None is no limit."""
        self._ledger, self._outputs, self._streams = ledger, outputs, tuple(streams)
        self._budget_bytes = math.inf if budget_bytes is None else budget_bytes
        self._age_s = math.inf if age_s is None else age_s
        self._wall_ns = wall_ns
        self.due_at_s = -math.inf

    def prune(self, now_s: float) -> frozenset[str]:
        """Where it is time or something is over, remove what is over, and commit that. Call it after a commit.

        Returns:
            The streams that something was removed of.

        Raises:
            StorageError: the disk refuses; call it again later.
        """
        kept_bytes = self._ledger.kept_bytes(self._streams)
        if now_s < self.due_at_s and kept_bytes <= self._budget_bytes:
            return frozenset()
        enough_bytes = self._budget_bytes * (1 - 1 / _SLACK) if kept_bytes > self._budget_bytes else math.inf
        wall_ns = self._wall_ns()
        oldest_ns, streams = None, set()
        for old in (found := self._ledger.oldest(self._streams, AT_ONCE)):
            if self._ledger.kept_bytes(self._streams) <= enough_bytes and not self._is_too_old(old, wall_ns):
                oldest_ns = old.captured_ns
                break
            self._outputs.remove(old.id, old.files)
            self._ledger.removed(old.id, wall_ns)
            streams.add(old.id.stream)
        if streams:
            self._ledger.commit()
        more = len(found) == AT_ONCE and oldest_ns is None
        self.due_at_s = now_s if more else now_s + self._pause_s(oldest_ns, wall_ns)
        return frozenset(streams)

    def _is_too_old(self, old: Old, wall_ns: int) -> bool:
        return wall_ns - old.captured_ns > self._age_s * 1e9

    def _pause_s(self, oldest_ns: int | None, wall_ns: int) -> float:
        if self._age_s == math.inf:
            return math.inf
        left_s = self._age_s if oldest_ns is None else self._age_s - (wall_ns - oldest_ns) / 1e9
        return min(LOOK_MOST_S, max(left_s, self._age_s / 100))
