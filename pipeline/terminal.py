"""A terminal that may be closed while something is written to it."""

from __future__ import annotations

import errno
import os
from typing import Any, TextIO, cast


def closable(file: TextIO) -> TextIO:
    """Another way to write to a terminal: once it is closed, what is written is lost silently.

    Who writes to it would fail otherwise, and had no time to end in good order.
    """
    return cast("TextIO", _Closable(file))


class _Closable:
    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        try:
            return self._file.write(text)
        except OSError as error:
            self._see(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            self._see(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def _see(self, error: OSError) -> None:
        if error.errno != errno.EIO:
            raise error
        # What is in the file's buffer would fail again, at the latest when the process ends.
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._file.fileno())
        os.close(nothing)
