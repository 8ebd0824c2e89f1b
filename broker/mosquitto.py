"""A Mosquitto of one's own, for replays and tests."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

from pipeline.errors import ConfigError

MAX_PACKET_BYTES: Final = 32 * 1024 * 1024

_PLACES: Final = ("/usr/sbin", "/usr/local/sbin")
_START_TIMEOUT_S: Final = 10.0
_STOP_TIMEOUT_S: Final = 5.0
_SURE_AFTER_S: Final = 1.0
_TRIES: Final = 5

_PORTS: Final = range(20_000, 32_768)
"""Linux gives higher ones to outgoing connections, which might take a port before Mosquitto has it."""

_FREE_FROM: Final = 1024
"""Ports below are root's; a Mosquitto that root starts opens its own when it is root no more."""

LIMITS: Final = """\
set_tcp_nodelay true
max_packet_size {max_packet_bytes}
max_inflight_messages 100
max_queued_messages 10000
max_queued_bytes 268435456
persistence false
sys_interval 0
log_dest stderr
log_type error
log_type warning
log_type notice
log_type information
"""
"""What every Mosquitto of ours is told, wherever it listens."""

_CONFIG: Final = """\
listener {port} 127.0.0.1
allow_anonymous true
"""


class PrivateMosquitto:
    """A Mosquitto on the loopback device with its own port, config and directory; a context manager.

    Anyone on this machine may connect. A Ctrl-C in the terminal does not reach it; ``stop`` ends it, and it ends by
    itself when this process is killed.

    Attributes:
        port: where it listens; chosen anew where 0 was asked for.
        directory: its config and log, while it is not closed.
    """

    def __init__(self, port: int = 0, *, max_packet_bytes: int = MAX_PACKET_BYTES, folder: Path | None = None) -> None:
        """Prepare a broker; it starts with ``start`` or ``with``.

        Args:
            port: where it is to listen; 0 chooses a free one.
            max_packet_bytes: the largest packet that it takes.
            folder: where its directory is made, in place of the system's folder for temporary files.

        Raises:
            ConfigError: Mosquitto is not installed, or is too old for MQTT 5 as it is used here.
        """
        self.port = port
        self._binary = find_mosquitto()
        self._chosen = port == 0
        self._max_packet_bytes = max_packet_bytes
        self._folder = folder
        self._home: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._spent_s = 0.0

    @property
    def url(self) -> str:
        """Its address as ``broker.url`` takes it."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it was started, not stopped, and has not ended by itself."""
        return self._process is not None and not _ended(self._process)

    @property
    def pid(self) -> int:
        """The id of its process, while it runs."""
        if self._process is None:
            raise RuntimeError("this Mosquitto does not run")
        return self._process.pid

    @property
    def directory(self) -> Path:
        """Where its config and log are, until it is closed."""
        if self._home is None:
            self._home = tempfile.TemporaryDirectory(prefix="tandem-mosquitto-", dir=self._folder)
        return Path(self._home.name)

    @property
    def log_file(self) -> Path:
        """What it has said."""
        return self.directory / "mosquitto.log"

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all its runs, user and system."""
        if self._process is None:
            return self._spent_s
        times = psutil.Process(self._process.pid).cpu_times()
        return self._spent_s + times.user + times.system

    def start(self) -> None:
        """Start it, and wait until it takes connections.

        Raises:
            ConfigError: the port is in use, or Mosquitto does not start.
        """
        for _ in range(_TRIES):
            if self._chosen:
                self.port = _free_port()
            if not _is_free(self.port):
                break
            self._spawn()
            if self._answers():
                self._chosen = False  # clients know the port now
                return
            self.stop()
            if "Address already in use" not in self.log_file.read_text():
                raise self._unable()
        raise ConfigError(
            "--port",
            f"port {self.port} is in use: stop what listens there, or name another port (0 chooses a free one)",
        )

    def stop(self) -> None:
        """End it and wait for its end; ``start`` starts it again on the same port. Fine where it does not run."""
        if self._watcher is not None:
            self._watcher.kill()  # before the broker: it must never find the broker's id in other hands
            self._watcher.communicate()
            self._watcher = None
        if self._process is not None:
            self._spent_s += _end(self._process)
            self._process = None

    def kill(self) -> None:
        """End it at once, as a power cut would, and wait for its end; ``restart`` starts it again."""
        os.kill(self.pid, signal.SIGKILL)
        while self.running:
            time.sleep(0.005)

    def restart(self) -> None:
        """Stop it and start it on the same port. It forgets everything, retained messages too."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop it and remove its directory."""
        self.stop()
        if self._home is not None:
            self._home.cleanup()
            self._home = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _spawn(self) -> None:
        config = self.directory / "mosquitto.conf"
        config.write_text((_CONFIG + LIMITS).format(port=self.port, max_packet_bytes=self._max_packet_bytes))
        with self.log_file.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - found by us
                [self._binary, "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        # Its standard input closes when this process ends in whatever way. PR_SET_PDEATHSIG would not do: it follows
        # the thread that started the broker, and is void once Mosquitto has changed its user.
        self._watcher = subprocess.Popen(  # noqa: S603 - a fixed command
            ["/bin/sh", "-c", 'read -r _; kill "$0"', str(self._process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _answers(self) -> bool:
        """Wait until it takes connections; False where it ended or takes none."""
        assert self._process is not None  # noqa: S101 - it was spawned just now
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        sure_s = deadline_s
        while time.monotonic() < deadline_s and not _ended(self._process):
            if _accepts(self.port):
                # somebody else may have taken the port just now: ours has it when it says so, or does not end of it
                sure_s = min(sure_s, time.monotonic() + _SURE_AFTER_S)
                if " running" in self.log_file.read_text(errors="replace") or time.monotonic() >= sure_s:
                    return not _ended(self._process)
            time.sleep(0.005)
        return False

    def _unable(self) -> ConfigError:
        """Why it does not start, which it tells in the last of its lines that is an error."""
        lines = [re.sub(r"^\d+: ", "", line) for line in self.log_file.read_text(errors="replace").splitlines()]
        errors = [line for line in lines if line.startswith("Error")] or lines
        if self.port < _FREE_FROM and any("Permission denied" in line for line in errors):
            return ConfigError(
                "--port", f"Mosquitto's user may not have port {self.port}: use one from {_FREE_FROM} on"
            )
        return ConfigError("mosquitto", f"{self._binary} does not start: {errors[-1] if errors else 'it says nothing'}")


def find_mosquitto() -> str:
    """The path of a Mosquitto that can be used.

    Raises:
        ConfigError: there is none, or it is older than 2.0.
    """
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), *_PLACES))
    binary = shutil.which("mosquitto", path=places)
    if binary is None:
        raise ConfigError(
            "mosquitto", "the broker is not installed: apt-get install mosquitto, or name a running one with --broker"
        )
    said = subprocess.run([binary, "-h"], capture_output=True, text=True, check=False).stdout  # noqa: S603 - found by us
    version = re.search(r"mosquitto version (\d+)\.(\d+)\S*", said)
    if version is None or int(version[1]) < 2:
        found = version[0] if version else "not a Mosquitto that tells its version"
        raise ConfigError("mosquitto", f"{binary} is {found}, but 2.0 or newer is needed: apt-get install mosquitto")
    return binary


def _free_port() -> int:
    while not _is_free(port := random.SystemRandom().choice(_PORTS)):
        pass
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError as error:
            raise ConfigError("--port", f"port {port} needs root: use one from {_FREE_FROM} on") from error
        except OSError:
            return False
        return True


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended, without reaping it: its id and its CPU time stay until ``_end``."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: subprocess.Popen[bytes]) -> float:
    """End a process that is not reaped yet; return the CPU seconds of its life."""
    os.kill(process.pid, signal.SIGTERM)  # Popen's own way would reap it
    deadline_s = time.monotonic() + _STOP_TIMEOUT_S
    while not _ended(process):
        if time.monotonic() > deadline_s:
            os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.005)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime
