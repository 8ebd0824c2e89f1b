"""A picture as pixels, as JPEG, or as both."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.errors import DropMessage

Pixels = npt.NDArray[np.uint8]
"""(H, W, 3) uint8 in BGR order, as OpenCV has it."""

MAX_PIXELS: Final = 64_000_000
"""The largest picture that is decoded: 64 megapixels, 192 MB of pixels."""

MAX_JPEG_SIDE: Final = 65_500
"""The largest side that libjpeg takes."""

BLOCK: Final = 16
"""Rows of pixels that a JPEG codes together, where colour has half the resolution, as OpenCV writes it."""
MAX_SCANS: Final = 40
"""A progressive JPEG paints its picture over and over, each time with a few bytes; encoders do so about ten times."""

_MOST_SEGMENTS: Final = 4096
"""So many headers of a JPEG are looked at: real ones have dozens, and a search through megabytes holds others up."""

_START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN: Final = b"\xff\xda"
_ENDS_HEADERS: Final = frozenset({0x00, 0xDA})
"""The start of scan; and what is no marker, of which libjpeg skips two bytes alone: no length follows."""
_SEQUENTIAL: Final = frozenset({0xC0, 0xC1})
_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD9)})


class Image:
    """A picture that converts between pixels and JPEG at most once each way, and only when asked.

    Two threads may ask at the same time. The pixels are shared, so nobody may draw on them.

    Attributes:
        file: where the same JPEG lies on disk, if it does: who would write it there again may link it.
    """

    __slots__ = ("_jpeg", "_lock", "_pixels", "file", "height", "quality", "width")

    def __init__(self, *, pixels: Pixels | None = None, jpeg: bytes | None = None, quality: int = 90) -> None:
        """Take pixels, JPEG, or both where they are the same picture.

        Raises:
            DropMessage: the JPEG has no readable size, or is larger than ``MAX_PIXELS``.
        """
        self._pixels = pixels
        self._jpeg = jpeg
        self._lock = threading.Lock()
        self.file: Path | None = None
        self.quality = quality
        if pixels is not None:
            self.height, self.width = pixels.shape[0], pixels.shape[1]
        elif jpeg is not None:
            self.width, self.height = jpeg_size(jpeg)
        else:
            raise ValueError("an image needs pixels or a JPEG")

    @property
    def pixels(self) -> Pixels:
        """The picture as (H, W, 3) uint8 BGR.

        Raises:
            DropMessage: the JPEG cannot be decoded.
        """
        if self._pixels is not None:  # who wants what is there does not wait for who converts
            return self._pixels
        with self._lock:
            if self._pixels is None:
                assert self._jpeg is not None  # noqa: S101 - one of the two is always there
                self._pixels = decode_jpeg(self._jpeg)
            return self._pixels

    def pixels_at_least(self, width: int, height: int) -> Pixels:
        """The picture, perhaps smaller, but no smaller than ``width`` x ``height`` if it is not so itself.

        Pixels that are there come as they are. A JPEG is decoded at 1/8, 1/4 or 1/2 where that is enough, which takes
        a fraction of the time, and not kept; or in full, and kept.

        Raises:
            DropMessage: the JPEG cannot be decoded.
        """
        reduce = next((by for by in (8, 4, 2) if self.width >= by * width and self.height >= by * height), 1)
        jpeg = self._jpeg
        if self._pixels is not None or jpeg is None or reduce == 1:
            return self.pixels
        return decode_jpeg(jpeg, reduce=reduce)

    @property
    def jpeg(self) -> bytes:
        """The picture as JPEG: the one it came as, or encoded now at ``quality``.

        Raises:
            DropMessage: the pixels cannot be encoded.
        """
        if self._jpeg is not None:
            return self._jpeg
        with self._lock:
            if self._jpeg is None:
                assert self._pixels is not None  # noqa: S101 - one of the two is always there
                self._jpeg = encode_jpeg(self._pixels, self.quality)
            return self._jpeg

    def check_size(self) -> None:
        """See that the picture can be encoded, and decoded again by whoever gets it.

        Raises:
            DropMessage: it is empty, larger than ``MAX_PIXELS``, or wider or higher than a JPEG can be.
        """
        _check_sides(self.width, self.height)
        if self.width * self.height > MAX_PIXELS:
            raise DropMessage(
                f"a picture of {self.width}x{self.height} pixels is larger than the {MAX_PIXELS} that are taken"
            )

    def encoded_only(self) -> Image:
        """The same picture as JPEG alone, which takes a tenth of the memory to wait with."""
        image = Image(jpeg=self.jpeg, quality=self.quality)
        image.file = self.file
        return image

    def at_rest(self) -> Image:
        """The same picture with as little memory as may be: in its file, or as JPEG alone."""
        if self.file is None:
            return self.encoded_only()
        return FileImage(self.file, self.width, self.height, len(self.jpeg))


class FileImage(Image):
    """A picture that lies on disk as JPEG. It is read each time that somebody asks for it, and not kept."""

    __slots__ = ("_size_bytes",)

    def __init__(self, file: Path, width: int, height: int, size_bytes: int) -> None:
        """Stand for the JPEG of ``size_bytes`` in ``file``, which is not looked at yet."""
        self._pixels = self._jpeg = None
        self._lock = threading.Lock()
        self.file: Path = file
        self.width, self.height, self._size_bytes = width, height, size_bytes
        self.quality = 0

    @property
    def jpeg(self) -> bytes:
        """The file.

        Raises:
            DropMessage: it cannot be read, or is another one.
        """
        try:
            jpeg = self.file.read_bytes()
        except OSError as error:
            raise DropMessage(f"the picture {self.file} cannot be read: {error.strerror or error}") from error
        if len(jpeg) != self._size_bytes or jpeg_size(jpeg) != (self.width, self.height):
            raise DropMessage(f"the picture {self.file} is damaged")
        return jpeg

    @property
    def pixels(self) -> Pixels:
        """The file, decoded; see ``Image.pixels``."""
        return decode_jpeg(self.jpeg)

    def encoded_only(self) -> Image:
        """It is."""
        return self

    def at_rest(self) -> Image:
        """It is."""
        return self


def encode_jpeg(pixels: Pixels, quality: int) -> bytes:
    """Encode (H, W, 3) uint8 BGR pixels as JPEG at ``quality`` (1 to 100).

    A restart marker ends each row of blocks, so that single rows can be exchanged later.

    Raises:
        DropMessage: the picture is empty, or wider or higher than the 65500 pixels of a JPEG.
    """
    height, width = pixels.shape[:2]
    _check_sides(width, height)
    options = (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_RST_INTERVAL, -(-width // BLOCK))
    ok, data = cv2.imencode(".jpg", pixels, options)
    if not ok:
        raise DropMessage(f"a picture of {width}x{height} pixels cannot be encoded as JPEG")
    return bytes(data.data)


def _check_sides(width: int, height: int) -> None:
    if not (0 < height <= MAX_JPEG_SIDE and 0 < width <= MAX_JPEG_SIDE):
        raise DropMessage(f"a picture of {width}x{height} pixels does not fit a JPEG, whose sides are 1 to 65500")


def decode_jpeg(jpeg: bytes, *, reduce: int = 1) -> Pixels:
    """Decode a JPEG to (H, W, 3) uint8 BGR, at 1/``reduce`` (1, 2, 4 or 8) of its size, rounded up, never turned.

    Raises:
        DropMessage: the data is no JPEG, is cut short, or is larger than ``MAX_PIXELS``.
    """
    width, height = jpeg_size(jpeg)
    flag = {
        1: cv2.IMREAD_COLOR,
        2: cv2.IMREAD_REDUCED_COLOR_2,
        4: cv2.IMREAD_REDUCED_COLOR_4,
        8: cv2.IMREAD_REDUCED_COLOR_8,
    }[reduce]
    # Turned as its EXIF says, the picture would not have the size that the JPEG states.
    try:
        pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise DropMessage(f"a JPEG of {width}x{height} pixels cannot be decoded: {error.err}") from error
    if pixels is None:
        raise DropMessage(f"a JPEG of {len(jpeg)} bytes cannot be decoded: it is damaged or cut short")
    return np.asarray(pixels, np.uint8)


def jpeg_size(jpeg: bytes) -> tuple[int, int]:
    """The width and height that a JPEG states, read before anything is allocated (ITU-T T.81, B.2.2).

    Raises:
        DropMessage: the data is no JPEG, states more than ``MAX_PIXELS``, or has more than ``MAX_SCANS`` scans.
    """
    if jpeg[:2] != b"\xff\xd8":
        raise DropMessage(f"{len(jpeg)} bytes that begin with {jpeg[:4].hex() or 'nothing'} are no JPEG")
    at, frame = 2, 0
    for _ in range(_MOST_SEGMENTS):
        if at + 9 > len(jpeg) or jpeg[at] != 0xFF:
            break
        marker = jpeg[at + 1]
        if marker in _START_OF_FRAME and not frame:
            frame = at
        if marker in _ENDS_HEADERS:
            break
        at += 1 if marker == 0xFF else 2 if marker in _WITHOUT_LENGTH else 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    if not frame:
        raise DropMessage(f"a JPEG of {len(jpeg)} bytes states no size: it is damaged or cut short")
    height, width = int.from_bytes(jpeg[frame + 5 : frame + 7]), int.from_bytes(jpeg[frame + 7 : frame + 9])
    if not 0 < width * height <= MAX_PIXELS:
        raise DropMessage(f"a JPEG of {width}x{height} pixels is outside of the 1 to {MAX_PIXELS} that are taken")
    if not _in_one_scan(jpeg, frame, at) and (scans := jpeg.count(_START_OF_SCAN)) > MAX_SCANS:
        raise DropMessage(f"a JPEG with {scans} scans has more than the {MAX_SCANS} that are decoded")
    return width, height


def _in_one_scan(jpeg: bytes, frame: int, scan: int) -> bool:
    """Whether the scan that begins at ``scan`` paints the whole picture: libjpeg takes no other after it then.

    So it is where a frame that is not progressive has all its components in one scan. To count the scans takes as long
    as it takes to read each byte.
    """
    starts = jpeg[scan : scan + 2] == _START_OF_SCAN and jpeg[frame + 1] in _SEQUENTIAL
    return starts and jpeg[scan + 4 : scan + 5] == jpeg[frame + 9 : frame + 10]
