"""What people write to name a video source, and what to call its stream."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from pipeline.errors import ConfigError
from pipeline.model import RESERVED_NAMES

VIDEO_SUFFIXES: Final = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv"}
    | {".ts", ".webm", ".wmv"}
)
_ALWAYS_LIVE: Final = frozenset({"rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp"})
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_NAME_LENGTH: Final = 63
_WITH_HOST: Final = frozenset({"http", "https", "rtmp", "rtmps", "rtsp", "rtsps"})
_SECRET: Final = re.compile(
    r"auth|cred|date|expire|hmac|key|login|nonce|pass|psw|pwd|secret|sess|sig|token|user|usr|^s[et]$", re.IGNORECASE
)
_RIGHT: Final = "write it as rtsp://user:password@host:port/path"
_NO_URL: Final = f"is no URL; {_RIGHT}, and in user and password / as %2F, ? as %3F, # as %23 and @ as %40"


class SourceKind(Enum):
    """How a source behaves."""

    LOCAL = "local"  # a file or a folder here; which of them is seen when it is there
    REMOTE_FILE = "remote file"  # has an end, and can be read again
    CAMERA_URL = "camera URL"
    CAMERA_INDEX = "camera index"


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """A parsed source.

    Attributes:
        location: an absolute path, a URL, or a camera's number, as OpenCV takes it.
        name: the same for people, without user and password, however these are written.
    """

    kind: SourceKind
    location: str
    name: str

    @property
    def identity(self) -> str:
        """What tells it from other sources: ``name``, and of its query what is no secret, nor made anew at each login.

        One address may serve many cameras, as ``/realmonitor?channel=2`` does.
        """
        query = urlsplit(_without_password(self.location)).query if "://" in self.location else ""
        said = [part for part in re.split("[&;]", query) if part and not _SECRET.search(part.partition("=")[0])]
        return f"{self.name}?{'&'.join(said)}" if said else self.name


def parse_source(text: str, field: str = "video") -> SourceAddress:
    """Tell a file, a folder, a ``file://`` URL, a camera's number and any other URL apart.

    ``file://data/video/video.mp4`` is Sedna's way to write /data/video/video.mp4, and means that here too. A URL is a
    file where its path ends as a video file does (``.mp4``), and a camera otherwise; schemes that only streams have,
    such as ``rtsp``, are cameras whatever their path.

    Raises:
        ConfigError: the text is empty, or no UTF-8; ``field`` is named in it.
    """
    if not text.strip() or "\0" in text:
        raise ConfigError(
            field, "no source is given; name a video file, a folder of pictures, a URL or a camera (0, 1)"
        )
    shown = text.encode(errors="replace").decode()
    if shown != text:
        raise ConfigError(field, f"the name {shown!r} is no UTF-8, so no message can carry it; rename it")
    if text.isascii() and text.isdigit():
        return SourceAddress(SourceKind.CAMERA_INDEX, str(int(text)), f"camera {int(text)}")
    scheme = _SCHEME.match(text)
    if scheme is None:
        return SourceAddress(SourceKind.LOCAL, str(Path(text).absolute()), text)
    if scheme[1].lower() == "file":
        path = _file_url_path(text[scheme.end() :])
        return SourceAddress(SourceKind.LOCAL, path, path)
    return _remote(text, field)


def _file_url_path(rest: str) -> str:
    local = rest.removeprefix("localhost/") if rest.startswith("localhost/") else rest
    return "/" + unquote(local).lstrip("/")


def _remote(text: str, field: str) -> SourceAddress:
    shown = _without_password(text)
    try:
        url = urlsplit(text)
        _ = url.port
        plain = urlsplit(shown)
        name = urlunsplit((plain.scheme, plain.netloc, plain.path, "", ""))
    except ValueError:
        raise ConfigError(field, f"{shown!r} {_NO_URL}") from None  # its words may have a part of a password in them
    if url.scheme in _WITH_HOST and not url.hostname:
        raise ConfigError(field, f"{shown!r} names no host; {_RIGHT}")
    is_file = url.scheme not in _ALWAYS_LIVE and PurePosixPath(url.path).suffix.lower() in VIDEO_SUFFIXES
    return SourceAddress(SourceKind.REMOTE_FILE if is_file else SourceKind.CAMERA_URL, text, name)


def _without_password(text: str) -> str:
    """A URL without user and password, which may have a / ? # or @ in them that ought to be escaped."""
    scheme, _, rest = text.partition("://")
    maybe = re.match(r"[^/?#]*[:@]", rest)  # a password stands behind a colon; where there is none, an @ means nothing
    return f"{scheme.lower()}://{rest.rpartition('@')[2] if maybe else rest}"


def stream_names(addresses: Iterable[SourceAddress]) -> list[str]:
    """A stream name for each source, from its file's or host's name: valid, never reserved, and no two the same."""
    names: list[str] = []
    for address in addresses:
        wish = _clean(_stem(address))
        name, number = wish, 1
        while name in names or name in RESERVED_NAMES:
            number += 1
            name = f"{wish[: _NAME_LENGTH - len(str(number)) - 1]}-{number}"
        names.append(name)
    return names


def _stem(address: SourceAddress) -> str:
    if address.kind is SourceKind.CAMERA_INDEX:
        return f"camera-{address.location}"
    if address.kind is SourceKind.LOCAL:
        path = PurePosixPath(address.location)
        return path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name
    url = urlsplit(address.name)
    host = url.netloc.partition(":")[0]
    return PurePosixPath(url.path).stem or host


def _clean(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_NAME_LENGTH].strip("-") or "video"
