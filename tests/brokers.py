"""Mosquittos with a config of the test's own."""

from __future__ import annotations

import getpass
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from broker.mosquitto import _accepts, _free_port, find_mosquitto


@contextmanager
def configured(folder: Path, *lines: str) -> Iterator[int]:
    """A Mosquitto on the loopback device with these lines in its config; yields its port."""
    port = _free_port()
    with running(folder, f"listener {port} 127.0.0.1", *lines) as process:
        until_s = time.monotonic() + 60
        while not _accepts(port):
            assert process.poll() is None, "it has ended"
            assert time.monotonic() < until_s
            time.sleep(0.005)
        yield port


@contextmanager
def running(folder: Path, *lines: str, prefix: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """A Mosquitto with nothing but these lines in its config; ``prefix`` goes before its command."""
    # As root, Mosquitto would become a user who may not look into this folder.
    config = (f"user {getpass.getuser()}", *lines)
    (folder / "mosquitto.conf").write_text("\n".join(config) + "\n")
    command = [*prefix, find_mosquitto(), "-c", str(folder / "mosquitto.conf")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()
