"""Who looks on while a stage works, and sees its messages pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pipeline.messages import Message


class Observer(Protocol):
    """Sees what one stage takes and what it sends, on that stage's own thread.

    It returns at once, raises nothing, changes nothing, and keeps no picture.
    """

    def took(self, message: Message) -> None:
        """The stage is about to handle this."""

    def sent(self, message: Message) -> None:
        """The stage has sent this, and it is on its way."""


Observe = Callable[[str, str], Observer]
"""Makes the observer of a stage, from the stage's name and the stream that it is for (empty for all)."""
