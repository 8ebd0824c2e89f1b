"""Brokers made and run as a user does it, for tests."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from broker.address import BrokerAddress
from broker.mosquitto import _free_port
from broker.mqtt import MqttLink
from broker.secure.folder import BrokerFolder
from broker.secure.plan import Plan, checked
from broker.secure.roles import Access, User
from pipeline.app.parts import broker_address
from pipeline.config import load
from pipeline.link import ContentType, LinkEvents, Packet

PATIENCE_S = 60.0


def make_folder(path: Path, *users: User, **settings: Any) -> BrokerFolder:
    """A broker on free ports of the loopback device, for the service ``helmet``."""
    ports = dict(zip(Access, free_ports(len(Access)), strict=True))
    given = {
        "service": "helmet",
        "hosts": ("localhost",),
        "reached_as": "localhost",
        "bind": "127.0.0.1",
        "ports": ports,
    }
    return BrokerFolder.create(path, checked(Plan, **given | settings, users=users))


def free_ports(number: int) -> list[int]:
    """Ports that differ."""
    ports: set[int] = set()
    while len(ports) < number:
        ports.add(_free_port())
    return sorted(ports)


@contextmanager
def served(folder: BrokerFolder, command: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """``tandem broker run``, or another such command, from when it answers to SIGTERM."""
    command = command or [sys.executable, "-m", "pipeline", "broker", "run", str(folder.path)]
    log = folder.path / "log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            until_s = time.monotonic() + PATIENCE_S
            while not _answers(folder.plan().ports[Access.PASSWORD]):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until_s, log.read_text()
                time.sleep(0.01)
            yield process
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE_S)
            process.kill()


def _answers(port: int) -> bool:
    """Whether it shakes hands: Mosquitto listens before it heeds signals."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        context.wrap_socket(plain).close()
        return True
    return False


def address_of(folder: BrokerFolder, name: str) -> BrokerAddress:
    """Where the files of a client say that the broker is, and who it is there."""
    place = folder.client(name)
    if (place / "tandem.yaml").exists():
        return broker_address(load(place / "tandem.yaml"))
    options = dict(line.split(" ", 1) for line in (place / "mosquitto_sub").read_text().splitlines())
    url = f"mqtts://{options['-h']}:{options['-p']}"
    return BrokerAddress.parse(url, options["-u"], options["-P"], ca_file=place / options["--cafile"])


@dataclass
class Client:
    """A link that keeps what it hears, and says on which topics it may publish."""

    address: BrokerAddress
    client_id: str
    filters: tuple[str, ...] = ()
    will: Packet | None = None
    heard: list[tuple[str, bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._news = threading.Condition()
        self._link = MqttLink(self.address, self.client_id, backoff_s=(0.01, 0.1))
        self._link.start(self.filters, LinkEvents(self._received, lambda: None, lambda _: None), self.will)
        assert self._link.wait_connected(PATIENCE_S), self._link.reason
        return self

    def __exit__(self, *_: object) -> None:
        self._link.stop(flush_s=0)

    def publish(self, topics: Sequence[str], payload: bytes = b"x") -> set[str]:
        """Publish to each topic; return those that the broker took."""
        for topic in topics:
            self._link.publish(Packet(topic, payload, ContentType.JSON))
        until_s = time.monotonic() + PATIENCE_S
        while not self._link.outgoing.idle:
            assert time.monotonic() < until_s
            time.sleep(0.002)
        assert self._link.connected, self._link.reason
        return set(topics) - set(self._link.refusals)

    def cut(self) -> None:
        """Break the connection without a goodbye, and wait for the next: the broker has seen to the will by then."""
        connection = self._link._connection
        assert connection is not None
        sock = connection._paho._sock
        assert sock is not None
        sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
        until_s = time.monotonic() + PATIENCE_S
        while self._link._connection in {None, connection}:
            assert time.monotonic() < until_s
            time.sleep(0.002)

    def until(self, payload: bytes) -> set[str]:
        """Wait for a payload; return the topics of all that came before it."""
        with self._news:
            assert self._news.wait_for(lambda: any(said == payload for _, said in self.heard), PATIENCE_S)
            return {topic for topic, said in self.heard if said != payload}

    def _received(self, topic: str, payload: bytes) -> None:
        with self._news:
            self.heard.append((topic, payload))
            self._news.notify_all()


def refusal(address: BrokerAddress) -> str:
    """Why the broker is not reached."""
    told = threading.Event()
    link = MqttLink(address, f"refused-{os.getpid()}")
    link.start(["a"], LinkEvents(lambda *_: None, told.set, lambda _: told.set()))
    try:
        assert told.wait(PATIENCE_S)
        return link.reason
    finally:
        link.stop(flush_s=0)
