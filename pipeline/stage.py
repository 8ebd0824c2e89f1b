"""What a stage is: a plain synchronous object that answers messages with messages, and does no I/O itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Protocol

from pipeline.messages import Message

Clock = Callable[[], float]
"""The monotonic time in seconds; tests bring their own."""


class StageName(StrEnum):
    """The six stages, in the order in which a frame meets them."""

    READER = "reader"
    DETECTOR = "detector"
    MINER = "miner"
    UPLINK = "uplink"
    CLOUD = "cloud"
    SINK = "sink"


class Stage(Protocol):
    """One step of the pipeline. It is called by one thread at a time."""

    def process(self, message: Message) -> Iterable[Message]:
        """Handle one message and return those that follow from it.

        A message that was handled before changes nothing and gets the same answer again.

        Raises:
            DropMessage: this message cannot be handled; it is counted and skipped.
        """

    @property
    def wakes_at_s(self) -> float:
        """The monotonic time from which on the stage wants a ``Tick`` if no message is waiting; ``inf`` for never."""

    @property
    def drained(self) -> bool:
        """After ``Drain``: whether nothing is left to do here."""
