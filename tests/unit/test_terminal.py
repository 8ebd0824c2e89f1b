"""Who writes to a terminal that was closed goes on."""

from __future__ import annotations

import contextlib
import os
import pty
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.terminal import closable


def test_what_a_closed_terminal_does_not_take_is_lost_silently() -> None:
    ours, its = pty.openpty()
    with os.fdopen(its, "w", buffering=1) as terminal:
        console = Console(file=closable(terminal))
        assert console.is_terminal
        console.print("before")
        assert b"before" in os.read(ours, 100)
        os.close(ours)
        for _ in range(2):
            console.print("after")


def test_what_a_full_disk_does_not_take_is_an_error() -> None:
    with contextlib.suppress(OSError), Path("/dev/full").open("w") as full:  # it tries once more as it is closed
        file = closable(full)
        file.write("a line")
        with pytest.raises(OSError, match="No space left"):
            file.flush()
