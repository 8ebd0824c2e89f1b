"""Processes that are forked from one that has loaded what they need: to load it would be nearly all of their work."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext
from typing import Final

LOADED: Final = ["pipeline.cli", "pipeline.app.replay", "tests.e2e.refused", "tests.unit.test_outbox_crash"]
"""All that any test wants there, since the process that is forked is one for the whole run."""


def forked() -> ForkServerContext:
    """Where such processes are made."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    return context
