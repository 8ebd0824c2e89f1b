"""The errors of Tandem, and what each asks of whoever catches it.

::

    TandemError
    ├── ConfigError         wrong call, config, model or source, seen before the start: exit 2
    ├── DropMessage         this one message cannot be handled: count it, log it, go on
    │   └── DecodeError     it does not follow the wire format
    ├── RetryLater          it did not work now: try again in ``delay_s``
    │   ├── BrokerError     the broker is away, refuses, or breaks the connection
    │   ├── SourceError     the camera or file cannot be opened or read
    │   └── StorageError    the disk takes nothing (full, read-only, gone)
    └── PacketTooLarge      a message is larger than the broker takes

Anything else that is raised is a bug and ends the process, loudly.
"""

from __future__ import annotations

from collections.abc import Sequence


class TandemError(Exception):
    """Everything that Tandem raises on purpose."""


class ConfigError(TandemError):
    """The call or config is wrong: the process cannot start (exit code 2).

    Attributes:
        field: the config field, option or file that is wrong, e.g. ``miner.threshold_img``.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


def together(errors: Sequence[ConfigError]) -> ConfigError:
    """One error that says all of what ``errors`` say; at least one of them."""
    first, *others = errors
    if not others:
        return first
    words = str(first).removeprefix(f"{first.field}: ")
    return ConfigError(first.field, "; ".join((words, *map(str, others))))


class DropMessage(TandemError):
    """One message cannot be handled; it is counted, logged and skipped."""


class DecodeError(DropMessage):
    """A payload does not follow the wire format.

    Attributes:
        topic: the topic that it came on.
    """

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"{topic}: {reason}")
        self.topic = topic
        self.reason = reason


class RetryLater(TandemError):
    """Something outside did not work; the same may work in ``delay_s`` seconds."""

    def __init__(self, message: str, delay_s: float = 1.0) -> None:
        super().__init__(message)
        self.delay_s = delay_s


class BrokerError(RetryLater):
    """The broker is away, refuses the connection, or broke it."""


class SourceError(RetryLater):
    """A video source cannot be opened or read now."""


class StorageError(RetryLater):
    """The disk takes nothing now."""


class PacketTooLarge(TandemError):
    """A message is larger than the largest packet that the broker takes.

    Attributes:
        size_bytes: what the packet would take on the wire.
        limit_bytes: what the broker said it takes (CONNACK, Maximum Packet Size).
    """

    def __init__(self, topic: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"{topic}: a packet of {size_bytes} bytes is larger than the {limit_bytes} that the broker takes; "
            "raise max_packet_size in mosquitto.conf or lower reader.jpeg_quality"
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes
