"""Logging: one line an event, for people on a terminal and as JSON elsewhere."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict


def configure(process: str, *, level: str = "info") -> None:
    """Send every log line to stderr, with the process's name in it.

    Args:
        process: the name of this process, e.g. ``edge``.
        level: ``debug``, ``info``, ``warning`` or ``error``.
    """
    people = sys.stderr.isatty()

    def named(_logger: object, _method: str, event: EventDict) -> EventDict:
        # Not by contextvars: those of one thread are unknown in the others.
        event["process"] = process
        return event

    structlog.configure(
        processors=[
            named,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if people else "iso", utc=not people),
            structlog.processors.StackInfoRenderer(),
            *([] if people else [structlog.processors.format_exc_info]),
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
            if people
            else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(lossy(sys.stderr)),
        cache_logger_on_first_use=True,
    )


def lossy(file: TextIO) -> TextIO:
    """Another way to write to ``file``: nothing is buffered, and what its disk does not take is lost silently."""
    return cast("TextIO", _Lossy(file))  # the two methods that a logger calls


class _Lossy:
    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        # Past the file's own buffer, which would keep what failed and fail again, at the latest when the process ends.
        with contextlib.suppress(OSError):
            os.write(self._file.fileno(), text.encode(errors="backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Nothing is ever left to write."""
