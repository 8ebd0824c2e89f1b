"""Where hard examples wait for their end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from pipeline.messages import Result, Store
from pipeline.model import FrameId


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A hard example in the outbox.

    Attributes:
        store: its revision 1, with the picture as JPEG. A decided one that comes without picture has its revision 1
            on disk.
        tries: how many workers it has ended, or had an error from.
        decided: its revision 2, once there is one.
    """

    store: Store
    tries: int = 0
    decided: Result | None = None

    @property
    def id(self) -> FrameId:
        return self.store.id

    @property
    def size_bytes(self) -> int:
        """What its picture takes."""
        return len(self.store.image.jpeg) if self.store.image else 0


class OutboxStore(Protocol):
    """Keeps hard examples until they are removed. What it has taken is kept when the method returns."""

    def put(self, waiting: Waiting) -> None:
        """Keep an example, or its newer version."""

    def remove(self, frame: FrameId) -> None:
        """Forget an example whose revision 2 is stored. One that is not there is no error."""

    def entries(self) -> Iterable[Waiting]:
        """What was kept when the process started, in the order in which it came."""


class MemoryOutbox:
    """An outbox that lives and dies with its process."""

    def __init__(self) -> None:
        self._kept: dict[FrameId, Waiting] = {}

    def put(self, waiting: Waiting) -> None:
        """Keep an example, or its newer version, as JPEG alone."""
        image = waiting.store.image
        store = replace(waiting.store, image=image and image.encoded_only())
        self._kept[waiting.id] = replace(waiting, store=store)

    def remove(self, frame: FrameId) -> None:
        """Forget an example."""
        self._kept.pop(frame, None)

    def entries(self) -> Iterable[Waiting]:
        """Everything that is kept."""
        return list(self._kept.values())
