"""Logging: one line an event, for people on a terminal and as JSON elsewhere."""

from __future__ import annotations

import logging
import sys

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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
