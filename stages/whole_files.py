"""Files that appear whole or not at all, whenever the process is killed."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pipeline.errors import StorageError

_NO_LINKS: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def publish(files: Mapping[Path, bytes | Path]) -> None:
    """Write files, each from bytes or as another name of a file of the same call; all are written before one appears.

    Raises:
        StorageError: one cannot be written; the temporary files are gone again.
    """
    parts = {path: path.with_name(f".{path.name}.part") for path in files}
    path = next(iter(files))
    try:
        for path, content in files.items():
            if isinstance(content, Path):
                _link(parts[content], parts[path])
            else:
                _write(parts[path], content)
        for path, part in parts.items():
            os.replace(part, path)  # noqa: PTH105 - this runs for every picture, and pathlib takes its time
    except OSError as error:
        for part in parts.values():
            _forget(part)
        raise storage_error(path, error) from error


def _write(path: Path, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file, rest) :]
    finally:
        os.close(file)


def _link(file: Path, name: Path) -> None:
    name.unlink(missing_ok=True)
    try:
        os.link(file, name)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(file, name)


def _forget(part: Path) -> None:
    # A disk that fails may refuse this too; then the next start removes it.
    with contextlib.suppress(OSError):
        part.unlink(missing_ok=True)


def storage_error(path: Path, error: OSError) -> StorageError:
    """What ``error`` means for who asked to store ``path``."""
    return StorageError(f"{path} cannot be stored: {error.strerror or error}; make room on its disk, writable for us")
