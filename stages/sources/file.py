"""A video file, here or behind a URL."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import structlog

from pipeline.errors import SourceError
from pipeline.image import Image
from pipeline.stage import Clock
from stages.source import Ended, Passed, Picture, Wanted, every_frame
from stages.sources.capture import Capture, media_s, open_video, stated_fps, timed_out
from stages.sources.sampling import DEFAULT_FPS, Sampling

PASS_AT_MOST: Final = 64
"""After so many source frames without a picture, ``read`` comes back, so that nobody waits long for it."""

BREAKS: Final = 3
"""So often a remote file may break off at one frame before that counts as its end."""

_TOLERANCE_FRAMES: Final = 3

_GAPS_AT_MOST: Final = 0.05
"""Where more of the frames than this come late after the one before, that is how the video is, and no damage."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Gaps:
    """Where a file has no frame for longer than from one to the next, seconds in the source."""

    count: int = 0
    sum_s: float = 0.0
    longest_s: float = 0.0
    longest_at_s: float = 0.0

    def with_one(self, from_s: float, to_s: float) -> _Gaps:
        took_s = to_s - from_s
        longest = max((self.longest_s, self.longest_at_s), (took_s, from_s), key=lambda gap: gap[0])
        return _Gaps(self.count + 1, self.sum_s + took_s, *longest)

    def __str__(self) -> str:
        many = f"{self.count} gaps" if self.count > 1 else "a gap"
        longest = f"{self.longest_s:.1f} s from {self.longest_at_s:.1f} s on"
        return f"{many} without frames, {self.sum_s:.1f} s in all, the longest {longest}"


class FileSource:
    """A video file that is read as fast as it is asked for, every time with the same frames and numbers.

    It decodes what it must (``grab``), and converts to pixels only what is sampled and wanted (``retrieve``). A file
    that is cut short or has holes ends normally, and ``Ended.note`` says how much of it could be read. Behind a URL
    that may be the connection's fault: the file is opened again, and ends when it has broken off at the same frame
    ``BREAKS`` times.
    """

    live = False

    def __init__(
        self,
        location: str,
        sampling: Sampling,
        *,
        name: str | None = None,
        quality: int = 90,
        wall_ns: Callable[[], int] = time.time_ns,
        clock: Clock = time.monotonic,
        connect: Callable[[str], Capture] = open_video,
        breaks: Counter[int] | None = None,
    ) -> None:
        """Read the file at ``location``: an absolute path or a URL.

        Args:
            location: where the file is, as OpenCV takes it.
            sampling: which frames become pictures.
            name: what to call it in messages, ``location`` if None.
            quality: the JPEG quality (1 to 100) of pictures that must leave this process.
            wall_ns: the wall clock.
            clock: the monotonic clock.
            connect: opens the file.
            breaks: how often a remote file has broken off after which frame, where it was read before.
        """
        self.name = name or location
        self.fps: float | None = None
        self.length: int | None = None
        self._location = location
        self._sampling = sampling
        self._quality = quality
        self._wall_ns = wall_ns
        self._clock = clock
        self._connect = connect
        self._capture: Capture | None = None
        self._wanted: Wanted = every_frame
        self._seq = 0
        self._first_seq = 1
        self._ahead = False
        self._last_s = 0.0
        self._gaps = _Gaps()
        self._remote = "://" in location
        self._silent_s = 0.0
        self._breaks = Counter() if breaks is None else breaks

    def open(self, first_seq: int = 1, wanted: Wanted = every_frame) -> None:
        """Open the file and look at its first frame; those before ``first_seq`` are passed over and not counted again.

        Raises:
            SourceError: it is missing, empty, a folder, not readable, or no video that FFmpeg knows.
        """
        self.close()
        if not self._remote:
            _check_file(Path(self._location), self.name)
        try:
            capture = self._connect(self._location)
        except SourceError as error:
            raise SourceError(f"{self.name} {error}" if self._remote else self._unplayable()) from error
        if not capture.grab():
            capture.release()
            raise SourceError(self._unplayable())
        self._capture, self._ahead, self._wanted = capture, True, wanted
        self._seq, self._first_seq, self._last_s, self._gaps = 0, first_seq, 0.0, _Gaps()
        self.fps = stated_fps(capture)
        self.length = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))) or None

    def read(self) -> Picture | Passed | Ended:
        """The next sampled and wanted picture, or the end.

        Raises:
            SourceError: the connection to a remote file is lost.
        """
        skipped = done = 0
        for _ in range(PASS_AT_MOST):
            if not self._advance():
                if self._remote and (skipped or done):
                    return Passed(skipped, done=done)  # what was counted goes before an error
                self._check_end()
                return Ended(Passed(skipped, done=done), self._note())
            if self._seq < self._first_seq:
                continue
            if not self._sampling.takes(self._seq, self.fps or DEFAULT_FPS):
                skipped += 1
            elif not self._wanted(self._seq):
                done += 1
            elif (picture := self._picture(Passed(skipped, done=done))) is not None:
                return picture
            else:
                skipped += 1
        return Passed(skipped, done=done)

    def close(self) -> None:
        """Let go of the file."""
        if self._capture is not None:
            self._capture.release()
        self._capture = None

    def _advance(self) -> bool:
        if self._capture is None:
            return False
        asked_s = self._clock()
        if not self._ahead and not self._capture.grab():
            self._silent_s = max(self._silent_s, self._clock() - asked_s)
            return False
        self._ahead, self._silent_s = False, 0.0
        self._seq += 1
        at_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self._seq > 1 and self.fps and at_s - self._last_s > (1 + _TOLERANCE_FRAMES) / self.fps:
            self._gaps = self._gaps.with_one(self._last_s, at_s)
        self._last_s = max(self._last_s, at_s)
        return True

    def _picture(self, passed: Passed) -> Picture | None:
        assert self._capture is not None  # noqa: S101 - there is a frame, so it is open
        ok, pixels = self._capture.retrieve()
        if not ok:
            _log.warning("frame_unreadable", source=self.name, seq=self._seq)
            return None
        image = Image(pixels=pixels, quality=self._quality)
        return Picture(self._seq, image, self._wall_ns(), media_s(self._seq, self.fps), 0.0, passed)

    def _check_end(self) -> None:
        """Tell a lost connection from an end: by a time-out, or by what the file says of its length."""
        silent = timed_out(self._silent_s)
        if not self._remote or self._capture is None or not (silent or self._cut_short(self._capture)):
            return
        self._breaks[self._seq] += 1
        if self._breaks[self._seq] < BREAKS:
            how = f"has sent nothing for {self._silent_s:.0f} s" if silent else "broke off"
            raise SourceError(
                f"{self.name} {how} after frame {self._seq}; it is read again from there, "
                "check the network and the server, or download the file"
            )

    def _note(self) -> str:
        notes = [] if self.fps else [f"{self.name} states no frame rate: {DEFAULT_FPS:g} frames per second are assumed"]
        if self._capture is not None and (stated := self._cut_short(self._capture)):
            notes.append(
                f"{self.name} is cut short or damaged: {self._seq} of the {stated} frames that it states "
                "could be read; copy it anew if you need the rest"
            )
        elif 0 < self._gaps.count <= max(1, _GAPS_AT_MOST * self._seq):
            notes.append(f"{self.name} has {self._gaps}; copy it anew if it should have none")
        return "; ".join(notes)

    def _cut_short(self, capture: Capture) -> int:
        """How many frames the container states, if much of them is missing, by number and by time; else 0.

        Some containers state twice the frames that they have, so the number alone proves nothing.
        """
        stated = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if self.fps is None or stated - self._seq < _TOLERANCE_FRAMES:
            return 0
        return stated if (stated - _TOLERANCE_FRAMES) / self.fps > self._last_s else 0

    def _unplayable(self) -> str:
        if self._remote:
            return f"{self.name} gives no video; check that the address is right and reachable, or download the file"
        return (
            f"{self.name} is no video that can be read: it is damaged, or of an unknown kind; "
            "try it in a player, or convert it with: ffmpeg -i FILE good.mp4"
        )


def _check_file(path: Path, name: str) -> None:
    """Say plainly what FFmpeg would not.

    Raises:
        SourceError: there is no file that could be read.
    """
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise SourceError(f"{name} {reason}; check the path ({path})") from error
    if path.is_dir():
        raise SourceError(f"{name} is a folder; name a video file in it, or a folder of pictures")
    if not os.access(path, os.R_OK):
        raise SourceError(f"{name} may not be read by this user; change its permissions: chmod a+r {path}")
    if size_bytes == 0:
        raise SourceError(f"{name} is empty (0 bytes); copy or record it anew")
