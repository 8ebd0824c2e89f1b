"""A broker's folder, served by Mosquitto."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

import psutil

from broker.mosquitto import find_mosquitto
from broker.secure.folder import BrokerFolder
from broker.secure.roles import Access
from pipeline.errors import ConfigError

_PID: Final = "broker.pid"


def prepare(folder: BrokerFolder) -> None:
    """See to all that can be seen to before Mosquitto starts, and renew the server's certificate in time.

    Raises:
        ConfigError: Mosquitto is missing, a port is in use, or the certificate cannot be renewed.
    """
    find_mosquitto()
    plan = folder.plan()
    for port in plan.listeners.values():
        _see_to(plan.bind, port)
    folder.renew(datetime.now(UTC))
    folder.hand_over()


def become_mosquitto(folder: BrokerFolder) -> NoReturn:
    """Turn this process into Mosquitto, which runs until SIGTERM or SIGINT.

    It starts inside of the folder and reads it by relative paths: the user that it becomes where root starts it may
    not be allowed to walk there.
    """
    binary = find_mosquitto()
    with contextlib.suppress(OSError):  # a folder that is read-only serves as well
        (folder.path / _PID).write_text(f"{os.getpid()}\n")
    os.chdir(folder.path / "broker")
    os.execv(binary, [binary, "-c", "mosquitto.conf"])  # noqa: S606 - found by us


def reload(folder: BrokerFolder, listeners_before: dict[Access, int]) -> str:
    """Let the broker that serves the folder here, if one does, know its new users; return what is left to do, or empty.

    Mosquitto reads users and ACL anew at once, but begins or ends to listen on a port only when it is started anew.
    """
    broker = _running(folder)
    if broker is None:
        return ""
    listeners = folder.plan().listeners
    if added := sorted(listeners[access] for access in listeners.keys() - listeners_before.keys()):
        return f"start the broker anew: it does not listen on port {added[0]} yet, which this one needs"
    broker.send_signal(signal.SIGHUP)
    if left := sorted(listeners_before[access] for access in listeners_before.keys() - listeners.keys()):
        return f"nobody needs port {left[0]} any more: the broker listens there, in vain, until it is started anew"
    return ""


def _running(folder: BrokerFolder) -> psutil.Process | None:
    """The Mosquitto that was started in the folder."""
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int((folder.path / _PID).read_text()))
        if Path(process.cwd()) == (folder.path / "broker").resolve():
            return process
    return None


def _see_to(bind: str, port: int) -> None:
    """See that Mosquitto will be able to listen there; it would only say so in its log."""
    try:
        family, _, _, _, address = socket.getaddrinfo(bind or "0.0.0.0", port, type=socket.SOCK_STREAM)[0]  # noqa: S104 - a try
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except PermissionError as error:
        raise ConfigError("--port", f"port {port} needs root: use one from 1024 on") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"port {port} is in use: stop what listens there, or make a broker with another port"
            raise ConfigError("--port", why) from error
        raise ConfigError("--bind", f"{bind!r} is no address of this machine ({error.strerror})") from error
