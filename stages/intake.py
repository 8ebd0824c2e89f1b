"""A video source with its pace and its failures: opened again as often as it takes, read when it is due."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pipeline.errors import SourceError
from pipeline.stage import Clock
from stages.source import Ended, Passed, Picture, VideoSource, Wanted, every_frame

RETRY_S: Final = (1.0, 30.0)
"""The first and the longest pause before a source is opened again."""

POLL_S: Final = 0.01
"""How often a camera is asked for its newest frame."""


class Retries:
    """The pauses between tries: 1 s at first, doubled up to 30 s, and a little different for each stream."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._failures = 0

    def pause_s(self) -> float:
        """How long to wait after one more failure."""
        shortest_s, longest_s = RETRY_S
        pause_s = min(longest_s, shortest_s * (1 << min(self._failures, 16)))
        draw = hashlib.blake2b(f"{self._stream}/{self._failures}".encode(), digest_size=1).digest()[0] / 255
        self._failures += 1
        return max(shortest_s, pause_s * (0.5 + 0.5 * draw))

    def succeeded(self) -> None:
        """Begin with short pauses again."""
        self._failures = 0


class Pace(StrEnum):
    """How fast a file is read. A camera has its own pace."""

    MAX = "max"
    REAL = "real"


@dataclass(frozen=True, slots=True)
class Taken:
    """A picture whose time has come.

    Attributes:
        born_s: the monotonic clock at its capture; for a file that is read at its own speed, now.
        captured_ns: the wall clock then.
        read_ms: how long reading took.
    """

    picture: Picture
    born_s: float
    captured_ns: int
    read_ms: float


class Intake:
    """Reads pictures from a source at the right time.

    A file at its own speed is read one picture ahead, and each picture is handed out when as much time has passed
    since the first one as lies between them in the file. It may come later, never earlier, and none is left out.
    """

    def __init__(self, source: VideoSource, stream: str, clock: Clock, pace: Pace) -> None:
        """Read ``source``; ``stream`` makes the pauses of several readers differ."""
        self._source, self._clock = source, clock
        self._pace = Pace.MAX if source.live else pace
        self._open = False
        self._next_seq = 1
        self._wanted: Wanted = every_frame
        self._retries = Retries(stream)
        self._ahead: Taken | None = None
        self._epoch_s: float | None = None
        self.next_at_s = -math.inf
        """When ``take`` may have something; in the past while it is worth asking at once."""

    def start(self, first_seq: int, wanted: Wanted) -> None:
        """Say where the source begins, before the first ``take``; see ``VideoSource.open``."""
        self._next_seq, self._wanted = first_seq, wanted

    def take(self, now_s: float) -> Taken | Passed | Ended | None:
        """What the source gives now, None if nothing is due.

        Raises:
            SourceError: it cannot be opened, or is lost. It is tried again at ``next_at_s``.
        """
        if self.next_at_s > now_s:
            return None
        if self._ahead is None:
            got = self._next(now_s)
            if not isinstance(got, Picture):
                return got
            self.next_at_s = self._due_s(got, now_s)
        assert self._ahead is not None  # noqa: S101 - a picture was there, or has just been read
        if self.next_at_s > now_s:
            return None
        taken, self._ahead = self._ahead, None
        return self._now(taken, now_s) if self._pace is Pace.REAL else taken

    def close(self) -> None:
        """Let go of the source, and of a picture that was read ahead."""
        self._source.close()
        self._open, self._ahead = False, None

    def _next(self, now_s: float) -> Picture | Passed | Ended | None:
        started_s = self._clock()
        try:
            if not self._open:
                self._source.open(self._next_seq, self._wanted)
                self._open = True
            got = self._source.read()
        except SourceError:
            self.close()
            self.next_at_s = now_s + self._retries.pause_s()
            raise
        if got is None:
            self.next_at_s = now_s + POLL_S
            return None
        self._retries.succeeded()
        passed = got if isinstance(got, Passed) else got.passed
        self._next_seq += passed.count + isinstance(got, Picture)
        if isinstance(got, Picture):
            read_ms = (self._clock() - started_s) * 1000
            self._ahead = Taken(got, started_s - got.age_s, got.captured_ns, read_ms)
        return got

    def _due_s(self, picture: Picture, now_s: float) -> float:
        if self._pace is Pace.MAX:
            return -math.inf
        if self._epoch_s is None:
            self._epoch_s = now_s - picture.media_s
        return self._epoch_s + picture.media_s

    def _now(self, taken: Taken, now_s: float) -> Taken:
        waited_ns = int((now_s - taken.born_s) * 1e9)
        return Taken(taken.picture, now_s, taken.captured_ns + waited_ns, taken.read_ms)
