"""The one place that opens a ``cv2.VideoCapture``, without the noise that FFmpeg and OpenCV write to stderr."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import cv2

from pipeline.errors import SourceError
from stages.cpus import threads_each
from stages.sources.reach import reach
from stages.sources.sampling import DEFAULT_FPS
from stages.sources.turns import Turns

TIMEOUT_MS: Final = 10_000
"""How long a remote source may take to open, and each of its frames to come."""

_NO_VIDEO: Final = "is there, but gives no video; check the path of its address, and user and password where it asks"

_SILENT: Final = 0
_AV_LOG_QUIET: Final = "-8"
_PLAUSIBLE_FPS: Final = 1000.0

_turns: Final = Turns()  # one for the process, as the lock inside OpenCV is


class Capture(Protocol):
    """What sources use of ``cv2.VideoCapture``."""

    def grab(self) -> bool:
        """Advance to the next frame; False where there is none."""

    def retrieve(self) -> tuple[bool, Any]:
        """Whether the frame just grabbed could be decoded, and its (H, W, 3) uint8 BGR pixels."""

    def get(self, prop: int, /) -> float:
        """A property, 0 or less where it is unknown."""

    def release(self) -> None:
        """Close it."""


def open_video(location: str) -> Capture:
    """Open a video file or URL by FFmpeg.

    Raises:
        SourceError: FFmpeg cannot open it; the text follows the source's name and has the remedy.
    """
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS]
    return _opened(location, cv2.CAP_FFMPEG, [*timeouts, cv2.CAP_PROP_N_THREADS, threads_each(2)], _NO_VIDEO)


class Remote:
    """Opens one URL, as often as it takes."""

    def __init__(self, location: str) -> None:
        """Open ``location``, a URL as FFmpeg takes it."""
        self._location = location
        self._failures = 0

    def __call__(self) -> Capture:
        """Open it now.

        Raises:
            SourceError: it is not reached, or gives no video; the text follows the source's name and has the remedy.
        """
        try:
            reach(self._location)
            with _turns.turn(self._failures):
                capture = open_video(self._location)
        except SourceError:
            self._failures += 1
            raise
        self._failures = 0
        return capture


def open_camera(index: int, devices: Path = Path("/dev")) -> Capture:
    """Open the camera of this number on this machine.

    Raises:
        SourceError: there is none, or it is in use; the text follows the camera's name and has the remedy.
    """
    device = devices / f"video{index}"
    if not device.exists():
        raise SourceError(f"is not there: this machine has no {device}; plug it in, or pass it into the container")
    if not os.access(device, os.R_OK | os.W_OK):
        raise SourceError(f"may not be used by this user ({device}); add the user to the group video")
    return _opened(index, cv2.CAP_V4L2, [], f"gives no video ({device}); check that no other program uses it")


def _opened(location: str | int, backend: int, parameters: Sequence[int], failure: str) -> Capture:
    _silence()
    try:
        capture = cv2.VideoCapture(location, backend, parameters)
    except cv2.error as error:  # its text may have the URL in it, and so a password
        raise SourceError(failure) from error
    if not capture.isOpened():
        raise SourceError(failure)
    return capture


def _silence() -> None:
    """Keep OpenCV's and FFmpeg's own lines off stderr: our errors say the same in words that name a remedy.

    FFmpeg inside OpenCV can only be told by an environment variable, which it reads at the first capture. One that is
    set already is left alone, for whoever wants to see its lines.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", _AV_LOG_QUIET)
    cv2.utils.logging.setLogLevel(_SILENT)


def timed_out(waited_s: float) -> bool:
    """Whether a call that gave nothing after so long was ended by the time-out."""
    return waited_s >= 0.9 * TIMEOUT_MS / 1000


def stated_fps(capture: Capture) -> float | None:
    """The frame rate that the source states, or None where it states none that can be."""
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    return fps if 0 < fps <= _PLAUSIBLE_FPS else None


def media_s(seq: int, fps: float | None) -> float:
    """Where the source frame ``seq`` stands in the source, seconds; the first one at 0."""
    return (seq - 1) / (fps or DEFAULT_FPS)
