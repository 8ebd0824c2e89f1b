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

_BLOCK_BYTES: Final = 4096

_REMEDIES: Final = {
    errno.ENOSPC: "make room on its disk",
    errno.EDQUOT: "make room on its disk, or raise the quota",
    errno.EROFS: "mount its disk writable again",
    errno.EACCES: "make its folder writable for us",
    errno.EPERM: "make its folder writable for us",
    errno.ENOENT: "make its folder again, or mount its disk again",
}

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The errors that pass when somebody makes room."""


class FolderGoneError(StorageError):
    """The folder of a file is not there."""


def publish(files: Mapping[Path, bytes | Path]) -> int:
    """Write files, each from bytes or as another name of a file of the same call; all are written before one appears.

    Returns:
        What they take on a disk with blocks of 4 KiB; two names of one file take it once.

    Raises:
        FolderGoneError: a folder is not there.
        StorageError: one cannot be written; the temporary files are gone again.
    """
    parts = {path: path.with_name(f".{path.name}.part") for path in files}
    path = next(iter(files))
    size_bytes = 0
    try:
        for path, content in files.items():
            if isinstance(content, Path):
                _link(parts[content], parts[path])
            else:
                _write(parts[path], content)
                size_bytes += -(-len(content) // _BLOCK_BYTES) * _BLOCK_BYTES
        for path, part in parts.items():
            os.replace(part, path)  # noqa: PTH105 - this runs for every picture, and pathlib takes its time
    except OSError as error:
        for part in parts.values():
            _forget(part)
        if isinstance(error, FileNotFoundError):
            raise FolderGoneError(str(storage_error(path, error))) from error
        raise storage_error(path, error) from error
    return size_bytes


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
    """What ``error`` means for who asked to store ``path``, and what is to be done."""
    remedy = _REMEDIES.get(error.errno or 0, "see to its disk")
    return StorageError(f"{path} cannot be stored: {error.strerror or error}; {remedy}")
