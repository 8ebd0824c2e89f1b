"""What a reader needs of a video source. ``stages.sources`` has files, folders and cameras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline.image import Image

Wanted = Callable[[int], bool]
"""Whether the source frame of this number must still be read; a resumed file says no to those that are done."""


def every_frame(_seq: int) -> bool:
    """Want every frame: nothing was done before."""
    return True


@dataclass(frozen=True, slots=True)
class Passed:
    """Source frames that gave no picture, since the last answer of ``read``.

    Alone it means: no picture among these, ask again at once. A source answers so from time to time while it skips
    many frames, so that nobody waits long for it.

    Attributes:
        skipped: left out by sampling, or unreadable.
        dropped: sampled, but a newer one took their place before anybody asked (live only).
        done: sampled, but not wanted, since they were handled before.
    """

    skipped: int = 0
    dropped: int = 0
    done: int = 0

    @property
    def count(self) -> int:
        """How many source frames these are."""
        return self.skipped + self.dropped + self.done

    def __add__(self, other: Passed) -> Passed:
        return Passed(self.skipped + other.skipped, self.dropped + other.dropped, self.done + other.done)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A sampled frame.

    Attributes:
        seq: the 1-based number of the source frame.
        captured_ns: wall clock at capture, nanoseconds since the epoch.
        media_s: position in the source, seconds.
        age_s: how long ago it was captured.
        passed: the source frames before it that gave no picture.
    """

    seq: int
    image: Image
    captured_ns: int
    media_s: float
    age_s: float
    passed: Passed


@dataclass(frozen=True, slots=True)
class Ended:
    """The source has no more frames, and never will.

    Attributes:
        passed: the source frames since the last answer, which gave no picture.
        note: what people should know of the source, e.g. that it is cut short; else empty.
    """

    passed: Passed
    note: str


class VideoSource(Protocol):
    """A file, folder or camera that gives sampled pictures in the order of ``seq``.

    It is used by one thread at a time. After ``close`` or a ``SourceError`` it can be opened again.
    """

    @property
    def live(self) -> bool:
        """Whether it is a camera: it waits for nobody, cannot be read again, and has no end."""

    @property
    def name(self) -> str:
        """What people call it. Passwords are left out."""

    @property
    def fps(self) -> float | None:
        """Source frames per second of media time, or None before it is opened."""

    @property
    def length(self) -> int | None:
        """How many frames it says that it has, or None where nobody knows or before it is opened."""

    def open(self, first_seq: int = 1, wanted: Wanted = every_frame) -> None:
        """Open it; its first frame has the number ``first_seq``. A camera may connect later, at its own pace.

        Raises:
            SourceError: it cannot be opened now; the text names it and the remedy.
        """

    def read(self) -> Picture | Passed | Ended | None:
        """The next sampled and wanted picture; None where a camera has nothing new yet.

        Raises:
            SourceError: the camera is lost, or was never reached. Nothing that it counted is lost with it.
        """

    def close(self) -> None:
        """Let go of the file or camera. It may be called twice."""
