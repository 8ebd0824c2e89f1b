"""The processes that a replay starts, watches and stops."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pipeline.config import without_settings

POLL_S: Final = 0.02

TUNING: Final[Mapping[str, str]] = {
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(64 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}
"""Keeps glibc from giving each picture back to the kernel only to ask for it again, and numpy from starting threads."""


class Child:
    """``tandem run STAGE...`` in a process and session of its own, so that a Ctrl-C reaches only its parent.

    Attributes:
        name: what people call it, e.g. ``edge``.
        incarnation: with which it announces itself, so that nobody else is taken for it.
        exit_code: how it ended, or None while it runs.
        cpu_s: user and system CPU seconds, once it has ended.
        peak_rss_bytes: its largest resident set, once it has ended.
    """

    def __init__(self, name: str, stages: Sequence[str], config_file: Path, log_file: Path) -> None:
        """Start it, held until ``begin``; what it says goes to ``log_file``."""
        self.name = name
        self.incarnation = secrets.token_hex(4)
        self.log_file = log_file
        self.exit_code: int | None = None
        self.cpu_s = 0.0
        self.peak_rss_bytes = 0
        # -P: a folder with a "pipeline" of its own may be the one that we were started in.
        command = [sys.executable, "-P", "-m", "pipeline", "run", *stages]
        command += ["--config", str(config_file), "--held", self.incarnation]
        with log_file.open("ab") as log:
            self._log_from = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**TUNING, **without_settings(os.environ)},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def begin(self) -> None:
        """Let it start its stages, as soon as it has loaded what they need."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(BrokenPipeError):  # it has ended: whoever looks after it will see
            self._process.stdin.write(b"begin\n")
            self._process.stdin.flush()

    def ended(self) -> bool:
        """Whether it has ended; then ``exit_code`` and ``cpu_s`` are known."""
        if self.exit_code is None:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self.exit_code = self._process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_s = usage.ru_utime + usage.ru_stime
                self.peak_rss_bytes = usage.ru_maxrss * 1024
        return self.exit_code is not None

    def stop(self, grace_s: float) -> None:
        """Ask it to drain and wait for its end; after ``grace_s`` seconds it is killed."""
        self.signal(signal.SIGTERM)
        until_s = time.monotonic() + grace_s
        while not self.ended() and time.monotonic() < until_s:
            time.sleep(POLL_S)
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)
        while not self.ended():
            time.sleep(POLL_S)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if not self.ended():
            os.kill(self._process.pid, number)

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if self.exit_code is not None and self.exit_code < 0:
            return f"was killed by {signal.Signals(-self.exit_code).name}"
        return f"ended with {self.exit_code}"

    def last_words(self) -> str:
        """The error that it ended with, or the end of its log."""
        lines = self.log_file.read_bytes()[self._log_from :].decode(errors="replace").splitlines()
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return errors[-1] if errors else " | ".join(lines[-3:]) or "it said nothing"
