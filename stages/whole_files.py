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


def publish(files: Mapping[str, bytes | Path], *, durable: bool = False) -> int:
    """Write files, each from bytes or as another name of a file; all are written before one appears.

    Args:
        files: what each path is to hold; plain strings, since this runs for every picture and pathlib takes its time.
            A ``Path`` in place of bytes is that of a file of the same call, or of one that is there.
        durable: survive a power cut. What was written is synced before it appears, and so are the names before this
            returns; that costs a sync for each file and one for each folder.

    Returns:
        What they take on a disk with blocks of 4 KiB; two names of one file take it once.

    Raises:
        FolderGoneError: a folder is not there.
        StorageError: one cannot be written; the temporary files are gone again.
    """
    parts = {path: _part_of(path) for path in files}
    path = next(iter(files))
    size_bytes = 0
    try:
        for path, content in files.items():
            if isinstance(content, Path):
                file = os.fspath(content)
                _link(parts.get(file, file), parts[path])
                size_bytes += 0 if file in parts else _blocks_bytes(os.stat(parts[path]).st_size)
            else:
                _write(parts[path], content, durable=durable)
                size_bytes += _blocks_bytes(len(content))
        for path, part in parts.items():
            os.replace(part, path)
            if isinstance(files[path], Path):
                _forget(part)  # two names of one file stay where they are (rename(2)), as when this is done again
        if durable:
            for folder in {os.path.dirname(file) for file in files}:
                _sync_folder(folder or os.curdir)
    except OSError as error:
        for part in parts.values():
            _forget(part)
        if isinstance(error, FileNotFoundError):
            raise FolderGoneError(str(storage_error(path, error))) from error
        raise storage_error(path, error) from error
    return size_bytes


def _part_of(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.part")


def _blocks_bytes(size_bytes: int) -> int:
    return -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES


def _write(path: str, content: bytes, *, durable: bool) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file, rest) :]
        if durable:
            os.fsync(file)
    finally:
        os.close(file)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, so that they survive a power cut.

    Raises:
        OSError: that does not work.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        _sync_folder(folder.parent)


def _sync_folder(path: str | Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _link(file: str, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)
    try:
        os.link(file, name)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(file, name)


def _forget(part: str) -> None:
    # A disk that fails may refuse this too; then the next start removes it.
    with contextlib.suppress(OSError):
        os.unlink(part)


def storage_error(path: str | Path, error: OSError) -> StorageError:
    """What ``error`` means for who asked to store ``path``, and what is to be done."""
    remedy = _REMEDIES.get(error.errno or 0, "see to its disk")
    return StorageError(f"{path} cannot be stored: {error.strerror or error}; {remedy}")
