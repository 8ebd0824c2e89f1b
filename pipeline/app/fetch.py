"""``tandem fetch``: a model from a server into a file, whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pipeline.errors import ConfigError, SourceError, StorageError

_TIMEOUT_S: Final = 30.0


def fetch(url: str, file: Path) -> None:
    """Fetch a file over http or https.

    Raises:
        ConfigError: the URL is none of these, or the server says that there is no such file for us.
        SourceError: the server does not answer, or breaks off.
        StorageError: there is no room for it.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(url, "write http://HOST/PATH or https://HOST/PATH")
    try:
        part = tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False)  # noqa: SIM115
    except OSError as error:
        raise StorageError(f"{file}: {error.strerror}") from error
    with part:
        try:
            _copy(url, part.name)
        except BaseException:
            Path(part.name).unlink()
            raise
    Path(part.name).chmod(0o644)
    Path(part.name).replace(file)


def _copy(url: str, to: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer, Path(to).open("wb") as out:  # noqa: S310 - http(s) alone
            shutil.copyfileobj(answer, out, 1 << 20)
            wanted = answer.headers.get("Content-Length")
            if wanted is not None and out.tell() != int(wanted):
                raise SourceError(f"{url}: it broke off after {out.tell()} of {wanted} bytes")
    except urllib.error.HTTPError as error:
        if error.code < 500:
            raise ConfigError(url, f"the server says {error.code} {error.reason}") from error
        raise SourceError(f"{url}: the server says {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise SourceError(f"{url}: {error.reason}") from error
    except OSError as error:
        raise SourceError(f"{url}: {error}") from error
