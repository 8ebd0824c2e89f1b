"""``tandem fetch``: a model from a server into a file, whole or not at all."""

from __future__ import annotations

import http.client
import re
import tempfile
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

from pipeline.errors import ConfigError, SourceError
from stages.whole_files import storage_error

_BLOCK_BYTES: Final = 1 << 20
_TIMEOUT_S: Final = 30.0


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows where a server sends us on, but not out of the web: urllib would go on by ftp."""

    def redirect_request(  # noqa: PLR0917 - urllib's
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if (scheme := urlsplit(newurl).scheme) not in ("http", "https"):
            raise ValueError(f"the server sends us on by {scheme}; name an http or https URL that has the file itself")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER: Final = urllib.request.build_opener(_Redirects)


def fetch(url: str, file: Path) -> None:
    """Fetch a file over http or https.

    Raises:
        ConfigError: the URL is none of these, or the server says that there is no such file for us.
        SourceError: the server does not answer, or breaks off.
        StorageError: it cannot be stored, e.g. for want of room.
    """
    _check(url)
    try:
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as folder:
            part = Path(folder) / file.name
            _copy(url, part)
            part.replace(file)
    except OSError as error:
        raise storage_error(file, error) from error


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError(_shown(url), "is no URL; write http://HOST/PATH or https://HOST/PATH") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(_shown(url), "write http://HOST/PATH or https://HOST/PATH")
    if "@" in parts.netloc:
        raise ConfigError(_shown(url), "its user and password would not be sent: name a URL that needs none")


def _copy(url: str, part: Path) -> None:
    with _opened(url) as answer, part.open("wb") as out:
        while block := _read(url, answer):
            out.write(block)
        wanted = answer.headers.get("Content-Length", "")
        if wanted.isdecimal() and out.tell() != int(wanted):  # what is no number says nothing
            raise SourceError(f"{_shown(url)}: it broke off after {out.tell()} of {wanted} bytes")


def _opened(url: str) -> http.client.HTTPResponse:
    try:
        answer: http.client.HTTPResponse = _OPENER.open(url, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ConfigError(_shown(url), f"the server says {error.code} {error.reason}") from error
        raise SourceError(f"{_shown(url)}: the server says {error.code} {error.reason}") from error
    except (http.client.InvalidURL, UnicodeError) as error:  # whose words may have a password in them
        raise ConfigError(_shown(url), "is no URL; write a blank in it as %20, and so on") from error
    except ValueError as error:  # where the server sends us on
        raise ConfigError(_shown(url), str(error)) from error
    except urllib.error.URLError as error:
        raise SourceError(f"{_shown(url)}: {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise SourceError(f"{_shown(url)}: {error}") from error
    return answer


def _read(url: str, answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read(_BLOCK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise SourceError(f"{_shown(url)}: it broke off: {error}") from error


def _shown(url: str) -> str:
    """A URL without user, password and query: a query may have a signature in it."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = re.split("[?#]", rest)[0].rpartition("@")[2].partition("/")
    return f"{scheme}{mark}{host}{slash}{path}"
