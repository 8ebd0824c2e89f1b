"""A folder of pictures, read in the order in which people number them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import structlog

from pipeline.errors import DropMessage, SourceError
from pipeline.image import Image, Pixels, decode_jpeg
from stages.source import Ended, Passed, Picture, Wanted, every_frame
from stages.sources.capture import media_s
from stages.sources.file import PASS_AT_MOST
from stages.sources.sampling import DEFAULT_FPS, Sampling

PICTURE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})

_EXIF_WITHIN: Final = 1 << 17
"""EXIF stands in the first segments of a JPEG, each at most 64 KiB."""

_log = structlog.get_logger()


def natural_order(path: Path) -> tuple[list[tuple[bool, int, str]], str]:
    """A sort key by which frame2 comes before frame10."""
    parts = re.findall(r"\d+|\D+", path.name.lower())
    return [(False, int(part), "") if part.isdecimal() else (True, 0, part) for part in parts], path.name


class FolderSource:
    """The pictures of a folder (.jpg .jpeg .png .bmp .webp), each a source frame, numbered in natural order.

    A JPEG goes on as the bytes that it is. A picture that cannot be read is skipped, counted and logged, and
    ``Ended.note`` says how many there were.
    """

    live = False

    def __init__(
        self,
        folder: str,
        sampling: Sampling,
        *,
        name: str | None = None,
        fps: float = DEFAULT_FPS,
        quality: int = 90,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Read the pictures in ``folder`` as if they were taken at ``fps`` pictures per second."""
        self.name = name or folder
        self.fps: float | None = fps
        self.length: int | None = None
        self._folder = Path(folder)
        self._sampling = sampling
        self._quality = quality
        self._wall_ns = wall_ns
        self._paths: list[Path] = []
        self._at = 0
        self._first_seq = 1
        self._wanted: Wanted = every_frame
        self._unreadable: list[str] = []

    def open(self, first_seq: int = 1, wanted: Wanted = every_frame) -> None:
        """List the pictures.

        Raises:
            SourceError: there is no such folder, or no picture in it.
        """
        self._paths = pictures_in(self._folder, self.name)
        self.length = len(self._paths)
        self._at, self._first_seq, self._wanted, self._unreadable = 0, first_seq, wanted, []

    def read(self) -> Picture | Passed | Ended:
        """The next sampled and wanted picture, or the end."""
        skipped = done = 0
        for _ in range(PASS_AT_MOST):
            if self._at >= len(self._paths):
                return Ended(Passed(skipped, done=done), self._note())
            path, seq = self._paths[self._at], self._first_seq + self._at
            self._at += 1
            if not self._sampling.takes(seq, self.fps or DEFAULT_FPS):
                skipped += 1
            elif not self._wanted(seq):
                done += 1
            elif (image := self._image(path)) is not None:
                passed = Passed(skipped, done=done)
                return Picture(seq, image, self._wall_ns(), media_s(seq, self.fps), 0.0, passed)
            else:
                skipped += 1
        return Passed(skipped, done=done)

    def close(self) -> None:
        """Forget the list."""
        self._paths = []

    def _image(self, path: Path) -> Image | None:
        try:
            return picture_file(path, self._quality)
        except (OSError, DropMessage) as error:
            _log.warning("picture_unreadable", source=self.name, picture=path.name, reason=str(error))
            self._unreadable.append(f"{path.name} ({error})")
            return None

    def _note(self) -> str:
        if not self._unreadable:
            return ""
        many = len(self._unreadable)
        what = "a picture that cannot be read" if many == 1 else f"{many} pictures that cannot be read, the first one"
        return f"{self.name} has {what}: {self._unreadable[0]}; copy it anew, since damaged ones are skipped"


def pictures_in(folder: Path, name: str) -> list[Path]:
    """The pictures of a folder in natural order; a source and those who ask which file a ``seq`` is agree on it.

    Raises:
        SourceError: there is no such folder, or no picture in it; ``name`` is what people call it.
    """
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES]
    except FileNotFoundError as error:
        raise SourceError(f"{name} does not exist; check the path ({folder})") from error
    except OSError as error:
        raise SourceError(f"{name} cannot be read as a folder ({error.strerror}); check the path") from error
    pictures = sorted((path for path in found if not path.name.startswith(".")), key=natural_order)
    if not pictures:
        known = " ".join(sorted(PICTURE_SUFFIXES))
        raise SourceError(f"{name} is a folder without pictures ({known}); put some there, or name a video file")
    return pictures


def picture_file(path: Path, quality: int) -> Image:
    """Read a picture file; a JPEG keeps its bytes.

    Raises:
        OSError: the file cannot be read.
        DropMessage: it is no picture, or is damaged.
    """
    data = path.read_bytes()
    pixels = _decode(data)
    if data[:2] != b"\xff\xd8":
        return Image(pixels=pixels, quality=quality)
    # A camera that was turned says so in the file (EXIF), which is obeyed here and by nobody later on: such a picture
    # is encoded anew, so that edge and cloud see the same.
    if b"Exif" not in data[:_EXIF_WITHIN] or np.array_equal(decode_jpeg(data), pixels):
        return Image(pixels=pixels, jpeg=data, quality=quality)
    return Image(pixels=pixels, quality=quality)


def _decode(data: bytes) -> Pixels:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise DropMessage("it is empty, or too large to decode") from error
    if pixels is None:
        raise DropMessage("it is no picture, or is damaged")
    return np.asarray(pixels, np.uint8)
