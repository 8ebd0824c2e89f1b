"""JPEGs taken apart into rows of blocks, so that only the rows where something is new are decoded and encoded.

``encode_jpeg`` ends each row of blocks with a restart marker, where prediction begins anew (ITU-T T.81, E.1.4 and
F.2.1.3.1). So a row's bits mean the same picture in every JPEG with the same tables and width, wherever they stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Self

from pipeline.image import BLOCK

_MARKER: Final = re.compile(rb"\xff[\xd0-\xd7]")
"""A restart marker. In coded data, 0xFF is always followed by 0x00 (T.81, B.1.1.5)."""

_END: Final = b"\xff\xd9"
_BASELINE: Final = 0xC0
_RESTART_INTERVAL: Final = 0xDD
_START_OF_SCAN: Final = 0xDA
_HALF_COLOUR: Final = (0x22, 0x11, 0x11)
"""Sampling factors of brightness and the two colours: 4:2:0, blocks of 16 x 16 pixels."""


@dataclass(frozen=True, slots=True)
class JpegRows:
    """A baseline 4:2:0 JPEG with a restart marker after each row of blocks.

    Attributes:
        header: everything before the coded rows, its height set to 0.
        height_at: where the height stands in it.
        height: in pixels.
        rows: the coded data of each row of ``BLOCK`` pixels, without the markers.
    """

    header: bytes
    height_at: int
    height: int
    rows: tuple[bytes, ...]

    @classmethod
    def of(cls, jpeg: bytes) -> Self | None:
        """Take a JPEG apart; None where it is of another kind."""
        height_at = width = height = interval = 0
        for marker, at, end in _segments(jpeg):
            if marker == _BASELINE:
                height_at = at + 5
                height, width = int.from_bytes(jpeg[at + 5 : at + 7]), int.from_bytes(jpeg[at + 7 : at + 9])
                if tuple(jpeg[at + 11 : end : 3]) != _HALF_COLOUR:
                    return None
            elif marker == _RESTART_INTERVAL:
                interval = int.from_bytes(jpeg[at + 4 : at + 6])
            elif marker == _START_OF_SCAN:
                rows = tuple(_MARKER.split(jpeg[end:-2]))
                whole = jpeg.endswith(_END) and interval == -(-width // BLOCK) and len(rows) == -(-height // BLOCK)
                header = jpeg[:height_at] + bytes(2) + jpeg[height_at + 2 : end]
                return cls(header, height_at, height, rows) if whole and height_at else None
        return None

    def cut(self, rows: range) -> JpegRows:
        """These rows alone, as a picture of their own."""
        height = min(self.height, rows.stop * BLOCK) - rows.start * BLOCK
        return replace(self, height=height, rows=self.rows[rows.start : rows.stop])

    def with_rows(self, first: int, strip: JpegRows) -> JpegRows:
        """The same picture with the rows of ``strip`` from row ``first`` on; its header must be the same."""
        return replace(self, rows=self.rows[:first] + strip.rows + self.rows[first + len(strip.rows) :])

    @property
    def jpeg(self) -> bytes:
        """Put together again."""
        height = self.height.to_bytes(2)
        parts = [self.header[: self.height_at], height, self.header[self.height_at + 2 :], self.rows[0]]
        for number, row in enumerate(self.rows[1:]):
            parts += (bytes((0xFF, 0xD0 + number % 8)), row)
        return b"".join((*parts, _END))


def _segments(jpeg: bytes) -> Iterator[tuple[int, int, int]]:
    """The marker, beginning and end of each segment of a header, the start of scan last."""
    at, marker = 2, 0
    while marker != _START_OF_SCAN and at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        yield marker, at, end
        at = end
