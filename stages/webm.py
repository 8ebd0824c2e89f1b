"""WebM from VP8, so that a frame may stand as long as it should without being encoded again and again.

OpenCV encodes VP8 at a fixed rate only, and its own WebM carries a random number. So it writes IVF, the plainest
container of VP8, and this module puts the same frames into WebM with times of their own. The same frames give the same
bytes. Sources: https://www.webmproject.org/docs/container/, RFC 8794 (EBML), RFC 6386 (VP8).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

_CLUSTER_MS: Final = 30_000
_KEY_CLUSTER_MS: Final = 1_000
_TRACK: Final = b"\x81"
_IVF_HEADER: Final = struct.Struct("<4sHH4sHHIIII")
_IVF_FRAME: Final = struct.Struct("<IQ")


def read_ivf(file: BinaryIO) -> Iterator[bytes]:
    """The VP8 frames of an IVF file, in order.

    Raises:
        ValueError: it is no IVF file with VP8 in it, or its last frame is cut short.
    """
    header = file.read(_IVF_HEADER.size)
    if len(header) < _IVF_HEADER.size or header[:4] != b"DKIF" or header[8:12] != b"VP80":
        raise ValueError("this is no IVF file with VP8 in it")
    while len(head := file.read(_IVF_FRAME.size)) == _IVF_FRAME.size:
        size, _ = _IVF_FRAME.unpack(head)
        frame = file.read(size)
        if len(frame) < size:
            raise ValueError("its last frame is not all there")
        yield frame


class WebmWriter:
    """Writes one VP8 track to a file that can seek; ``close`` makes it whole, with an index for seeking."""

    def __init__(self, file: BinaryIO, width: int, height: int) -> None:
        self._file = file
        self._size = (width, height)
        self._cues: list[tuple[int, int]] = []
        self._cluster = b""
        self._cluster_ms = 0
        self._head = self._header(0, 0, 0)
        file.write(self._head)
        self._body = len(_EBML) + len(_SEGMENT) + 8

    def add(self, frame: bytes, at_ms: int) -> None:
        """Append a VP8 frame that is shown from ``at_ms`` on; times must not go back."""
        key = not frame[0] & 1  # RFC 6386, 9.1: the lowest bit is clear in a key frame
        age_ms = at_ms - self._cluster_ms
        if not self._cluster or age_ms >= _CLUSTER_MS or (key and age_ms >= _KEY_CLUSTER_MS):
            self._flush()
            self._cluster_ms, age_ms = at_ms, 0
            self._cluster = _unsigned(b"\xe7", at_ms)
            if key:
                self._cues.append((at_ms, self._file.tell() - self._body))
        self._cluster += _element(b"\xa3", _TRACK + struct.pack(">hB", age_ms, 0x80 * key) + frame)

    def close(self, duration_ms: int) -> None:
        """Write the index and the sizes; the last frame stands until ``duration_ms``."""
        self._flush()
        cues_at = self._file.tell() - self._body
        points = (
            _element(
                b"\xbb",
                _unsigned(b"\xb3", at_ms) + _element(b"\xb7", _unsigned(b"\xf7", 1) + _unsigned(b"\xf1", position)),
            )
            for at_ms, position in self._cues
        )
        self._file.write(_element(b"\x1c\x53\xbb\x6b", b"".join(points)))
        segment_bytes = self._file.tell() - self._body
        self._file.seek(0)
        self._file.write(self._header(segment_bytes, cues_at, duration_ms))

    def _flush(self) -> None:
        if self._cluster:
            self._file.write(_element(b"\x1f\x43\xb6\x75", self._cluster))
            self._cluster = b""

    def _header(self, segment_bytes: int, cues_at: int, duration_ms: int) -> bytes:
        """Everything before the first cluster; its length does not depend on the numbers."""
        info = _element(
            b"\x15\x49\xa9\x66",
            _unsigned(b"\x2a\xd7\xb1", 1_000_000)  # times in milliseconds
            + _element(b"\x44\x89", struct.pack(">d", duration_ms))
            + _element(b"\x4d\x80", b"tandem")
            + _element(b"\x57\x41", b"tandem"),
        )
        width, height = self._size
        video = _element(b"\xe0", _unsigned(b"\xb0", width) + _unsigned(b"\xba", height))
        track = (_unsigned(b"\xd7", 1), _unsigned(b"\x73\xc5", 1), _unsigned(b"\x83", 1), _unsigned(b"\x9c", 0))
        tracks = _element(b"\x16\x54\xae\x6b", _element(b"\xae", b"".join(track) + _element(b"\x86", b"V_VP8") + video))
        seek = _element(b"\x4d\xbb", _element(b"\x53\xab", b"\x1c\x53\xbb\x6b") + _unsigned(b"\x53\xac", cues_at))
        seek_head = _element(b"\x11\x4d\x9b\x74", seek)
        return _EBML + _SEGMENT + _length(segment_bytes) + seek_head + info + tracks


def _length(size: int) -> bytes:
    return (size | 1 << 56).to_bytes(8, "big")


def _element(name: bytes, content: bytes) -> bytes:
    return name + _length(len(content)) + content


def _unsigned(name: bytes, value: int) -> bytes:
    return _element(name, value.to_bytes(8, "big"))


_SEGMENT: Final = b"\x18\x53\x80\x67"
_EBML: Final = _element(
    b"\x1a\x45\xdf\xa3",
    _unsigned(b"\x42\x86", 1)
    + _unsigned(b"\x42\xf7", 1)
    + _unsigned(b"\x42\xf2", 4)
    + _unsigned(b"\x42\xf3", 8)
    + _element(b"\x42\x82", b"webm")
    + _unsigned(b"\x42\x87", 2)
    + _unsigned(b"\x42\x85", 2),
)
