"""What is MQTT's own, such as properties, refusals and TLS, against Mosquitto and a broker that follows a script."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from structlog.testing import capture_logs

from broker import connection, probe
from broker.address import BrokerAddress
from broker.mosquitto import PrivateMosquitto, _free_port
from broker.mqtt import MqttLink
from pipeline.link import ContentType, LinkEvents, Packet
from tests.brokers import configured

PATIENCE_S = 60.0

paho_leaks = pytest.mark.filterwarnings("ignore:.*unclosed <ssl.SSLSocket|.*<ssl.SSLSocket")
"""paho leaves a socket whose TLS handshake failed to the garbage collector."""

ACCEPTED = b"\x20\x03\x00\x00\x00"
CONNECT, PUBLISH, SUBSCRIBE, DISCONNECT = 1, 3, 8, 14


class ScriptedBroker(threading.Thread):
    """Takes one connection after the other and says what it is told to.

    Attributes:
        heard: the type and body of every packet that came, in order.
    """

    def __init__(
        self, connack: bytes, *, suback: int = 1, puback: int | None = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(daemon=True)
        self.heard: queue.Queue[tuple[int, bytes]] = queue.Queue()
        self.address = BrokerAddress("127.0.0.1", 0)
        self._connack, self._suback, self._puback, self._tls = connack, suback, puback, tls
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.join(PATIENCE_S)

    def next(self, kind: int) -> bytes:
        """Wait for a packet of a kind, and return its body."""
        while True:
            heard, body = self.heard.get(timeout=PATIENCE_S)
            if heard == kind:
                return body

    def run(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            with peer:
                try:
                    self._serve(peer if self._tls is None else self._tls.wrap_socket(peer, server_side=True))
                except OSError:
                    continue

    def _serve(self, peer: socket.socket) -> None:
        with peer, peer.makefile("rb") as stream:
            while first := stream.read(1):
                length, shift = 0, 0
                while True:
                    byte = stream.read(1)[0]
                    length, shift = length | (byte & 127) << shift, shift + 7
                    if byte < 128:
                        break
                body = stream.read(length)
                self.heard.put((first[0] >> 4, body))
                peer.sendall(self._answer(first[0] >> 4, body))

    def _answer(self, kind: int, body: bytes) -> bytes:
        if kind == CONNECT:
            return self._connack
        if kind == SUBSCRIBE:
            return b"\x90\x04" + body[:2] + b"\x00" + bytes([self._suback])
        if kind == PUBLISH and self._puback is not None:
            topic_bytes = int.from_bytes(body[:2])
            return b"\x40\x03" + body[2 + topic_bytes : 4 + topic_bytes] + bytes([self._puback])
        return b""


class Owner:
    """Starts links, and hears what becomes of them."""

    def __init__(self) -> None:
        self.links: list[MqttLink] = []
        self.reasons: queue.Queue[str] = queue.Queue()
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()

    def link(self, address: BrokerAddress, *filters: str, name: str = "edge", backoff_s: float = 0.05) -> MqttLink:
        link = MqttLink(address, name, backoff_s=(backoff_s, backoff_s))
        self.links.append(link)
        link.start(
            filters, LinkEvents(lambda *message: self.messages.put(message), lambda: None, self.reasons.put), None
        )
        return link

    def reason(self) -> str:
        return self.reasons.get(timeout=PATIENCE_S)

    def message(self) -> tuple[str, bytes]:
        return self.messages.get(timeout=PATIENCE_S)


@pytest.fixture
def owner() -> Iterator[Owner]:
    made = Owner()
    yield made
    for link in made.links:
        link.stop(0.0)


@pytest.fixture
def real(mosquitto: str) -> Iterator[PrivateMosquitto]:
    with PrivateMosquitto() as broker:
        yield broker


def at(port: int, **more: str) -> BrokerAddress:
    return BrokerAddress.parse(f"mqtt://127.0.0.1:{port}", **more)


def packet(payload: bytes = b"x", *, expiry_s: int | None = None) -> Packet:
    return Packet("t", payload, ContentType.MSGPACK, expiry_s=expiry_s)


@pytest.mark.mosquitto
def test_content_type_and_expiry_travel(owner: Owner, real: PrivateMosquitto) -> None:
    heard: queue.Queue[MQTTMessage] = queue.Queue()
    ready = threading.Event()
    subscriber = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    subscriber.on_message = lambda _client, _data, message: heard.put(message)
    subscriber.on_subscribe = lambda *_: ready.set()
    subscriber.connect("127.0.0.1", real.port)
    subscriber.subscribe("t", qos=1)
    subscriber.loop_start()
    assert ready.wait(PATIENCE_S)
    link = owner.link(at(real.port))
    assert link.wait_connected(PATIENCE_S)
    link.publish(packet(expiry_s=30))
    link.publish(packet())
    first, second = heard.get(timeout=PATIENCE_S), heard.get(timeout=PATIENCE_S)
    subscriber.disconnect()
    subscriber.loop_stop()
    assert first.properties is not None
    assert second.properties is not None
    assert first.properties.ContentType == "application/msgpack"
    assert first.properties.MessageExpiryInterval in {29, 30}
    assert not hasattr(second.properties, "MessageExpiryInterval")
    assert first.qos == 1


@pytest.mark.mosquitto
def test_the_socket_does_not_wait_for_more(owner: Owner, real: PrivateMosquitto) -> None:
    link = owner.link(at(real.port))
    assert link.wait_connected(PATIENCE_S)
    assert link._connection is not None
    sock = link._connection._paho.socket()
    assert sock is not None
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.mosquitto
def test_a_broker_that_hangs_is_noticed(owner: Owner, real: PrivateMosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEPALIVE_S", 1)
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT_S", 0.5)
    link = owner.link(at(real.port))
    assert link.wait_connected(PATIENCE_S)
    os.kill(real.pid, signal.SIGSTOP)
    try:
        assert "fell silent: check the network" in owner.reason()
        assert not link.connected
    finally:
        os.kill(real.pid, signal.SIGCONT)


@pytest.mark.mosquitto
def test_what_is_too_large_for_us_does_not_reach_us(
    owner: Owner, real: PrivateMosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "RECEIVED_LIMIT_BYTES", 1000)
    link = owner.link(at(real.port), "t")
    assert link.wait_connected(PATIENCE_S)
    link.publish(packet(bytes(2000)))
    link.publish(packet(b"small"))
    assert owner.message() == ("t", b"small")
    assert owner.reasons.empty()


@pytest.mark.mosquitto
def test_two_links_of_one_name_are_told_so(owner: Owner, real: PrivateMosquitto) -> None:
    first = owner.link(at(real.port), backoff_s=3600)
    assert first.wait_connected(PATIENCE_S)
    second = owner.link(at(real.port), backoff_s=3600)
    assert second.wait_connected(PATIENCE_S)
    assert "another client calls itself 'edge'" in owner.reason()


def test_no_broker_there_is_said_once_and_to_the_one_who_waits(owner: Owner) -> None:
    port = _free_port()
    tries = 0
    with capture_logs() as logs:
        link = owner.link(at(port), backoff_s=0.01)
        reason = owner.reason()
        while tries < 3:  # a line for each try would show by now
            tries = link._failed_tries
        assert not link.wait_connected(0.01)
        link.stop(0.0)
    assert reason == link.reason
    assert f"mqtt://127.0.0.1:{port} refuses connections: is a broker running there?" in reason
    assert [line["event"] for line in logs] == ["broker_lost"]
    assert owner.reasons.empty()


def test_a_host_that_is_not_known(owner: Owner) -> None:
    owner.link(BrokerAddress("no-such-host.invalid", 1883))
    assert "the host 'no-such-host.invalid' is not found: correct broker.url" in owner.reason()


@pytest.mark.parametrize(
    ("connack", "username", "said"),
    [
        (b"\x20\x03\x00\x86\x00", "edge", "refuses the user 'edge' (Bad user name or password): correct broker.user"),
        (b"\x20\x03\x00\x87\x00", None, "takes no anonymous clients (Not authorized): set broker.username and"),
        (b"\x20\x02\x00\x01", None, "does not speak MQTT 5"),
        (b"\x20\x03\x00\x84\x00", None, "does not speak MQTT 5"),
        (b"\x20\x03\x00\x85\x00", None, "refuses the client id 'edge'"),
        (b"\x20\x03\x00\x89\x00", None, "refuses the connection (Server busy, code 137)"),
    ],
)
def test_refusals_name_the_remedy(owner: Owner, connack: bytes, username: str | None, said: str) -> None:
    with ScriptedBroker(connack) as broker:
        owner.link(at(broker.port, **({"username": username} if username else {})))
        assert said in owner.reason()


class Peer(threading.Thread):
    """Takes connections and answers the first bytes of each with the same words; without words, with silence."""

    def __init__(self, words: bytes | None, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(daemon=True)
        self._words, self._tls = words, tls
        self._open: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.join(PATIENCE_S)
        for peer in self._open:
            peer.close()

    def run(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            if self._words is None:
                self._open.append(peer)
                continue
            with peer, contextlib.suppress(OSError):
                spoken = peer if self._tls is None else self._tls.wrap_socket(peer, server_side=True)
                with spoken:
                    spoken.recv(1000)
                    spoken.sendall(self._words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is a web server and no MQTT broker: correct the port in broker.url"),
        (b"SSH-2.0-OpenSSH_9\r\n", "is no MQTT broker (it says 'SSH-2.0-OpenSSH_9'): correct the port in broker.url"),
        (b"", "accepts connections and does not answer as an MQTT 5 broker within 0.3 s: see its log, or correct"),
        (None, "accepts connections and says nothing within 0.3 s: if it is a broker, it hangs or is overloaded"),
    ],
)
def test_what_is_no_broker_or_hangs_is_told_apart(
    owner: Owner, monkeypatch: pytest.MonkeyPatch, words: bytes | None, said: str
) -> None:
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(probe, "ANSWER_S", 0.3)
    with Peer(words) as peer:
        link = owner.link(at(peer.port))
        assert said in owner.reason()
        link.stop(0.0)
    assert owner.reasons.empty()


def test_a_port_with_tls_is_told_to_who_speaks_without(
    owner: Owner, monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT_S", 0.3)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Peer(b"", tls=context) as peer:
        owner.link(at(peer.port))
        assert "speaks TLS: write mqtts:// in broker.url" in owner.reason()


@pytest.mark.mosquitto
def test_a_broker_that_hangs_is_not_called_something_else_and_is_back_when_it_goes_on(
    owner: Owner, real: PrivateMosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(probe, "ANSWER_S", 0.3)
    os.kill(real.pid, signal.SIGSTOP)
    try:
        link = owner.link(at(real.port))
        assert "says nothing within 0.3 s: if it is a broker, it hangs" in owner.reason()
    finally:
        os.kill(real.pid, signal.SIGCONT)
    assert link.wait_connected(PATIENCE_S)
    assert link.reason == ""


@pytest.mark.mosquitto
@pytest.mark.parametrize(
    ("user", "said"),
    [
        (
            {"username": "edge", "password": "wrong"},
            "refuses the user 'edge' (Not authorized): correct broker.username",
        ),
        ({}, "takes no anonymous clients (Not authorized): set broker.username and broker.password_file"),
    ],
)
def test_a_real_broker_refuses_a_wrong_password_and_no_user(
    owner: Owner, mosquitto: str, tmp_path: Path, user: dict[str, str], said: str
) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "edge", "right"], check=True, capture_output=True)
    with configured(tmp_path, "allow_anonymous false", f"password_file {passwords}") as port:
        owner.link(at(port, **user), name="refused")
        assert said in owner.reason()
        assert owner.link(at(port, username="edge", password="right")).wait_connected(PATIENCE_S)  # noqa: S106


@pytest.mark.mosquitto
def test_a_real_broker_refuses_a_publication_and_the_link_says_so_and_goes_on(
    owner: Owner, mosquitto: str, tmp_path: Path
) -> None:
    (tmp_path / "acl").write_text("topic readwrite allowed\ntopic read t\n")
    with configured(tmp_path, "allow_anonymous true", f"acl_file {tmp_path}/acl") as port, capture_logs() as logs:
        link = owner.link(at(port), "allowed", "t")
        assert link.wait_connected(PATIENCE_S)
        for _ in range(3):
            link.publish(packet())
        link.publish(Packet("allowed", b"after", ContentType.JSON))
        assert owner.message() == ("allowed", b"after")
        link.stop(PATIENCE_S)
    assert (link.counts().unsent, link.counts().refused) == (0, 3)
    assert [(line["topic"], line["reason"], line["remedy"]) for line in logs if line["event"] == "publish_refused"] == [
        ("t", "Not authorized", "allow this topic in the broker's ACL")
    ]


def test_something_that_says_nothing_is_left_again(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT_S", 0.2)
    with ScriptedBroker(b"") as broker:
        link = owner.link(at(broker.port))
        for _ in range(3):  # it takes one connection at a time, so the one before was closed
            broker.next(CONNECT)
        link.stop(0.0)


def test_a_refused_subscription_is_named(owner: Owner) -> None:
    with ScriptedBroker(ACCEPTED, suback=0x87) as broker:
        link = owner.link(at(broker.port), "t")
        assert "refuses the subscription to t (Not authorized): allow it in the broker's ACL" in owner.reason()
        assert not link.connected


def test_a_refused_publication_is_counted_and_logged_once(owner: Owner) -> None:
    with ScriptedBroker(ACCEPTED, puback=0x87) as broker, capture_logs() as logs:
        link = owner.link(at(broker.port))
        assert link.wait_connected(PATIENCE_S)
        for _ in range(3):
            link.publish(packet())
        link.stop(PATIENCE_S)
    assert link.refused == link.counts().refused == 3
    assert [(line["topic"], line["reason"]) for line in logs if line["event"] == "publish_refused"] == [
        ("t", "Not authorized")
    ]


def test_no_more_is_under_way_than_the_broker_takes(owner: Owner) -> None:
    with ScriptedBroker(b"\x20\x06\x00\x00\x03\x21\x00\x02", puback=None) as broker:  # Receive Maximum 2
        link = owner.link(at(broker.port))
        assert link.wait_connected(PATIENCE_S)
        for _ in range(5):
            link.publish(packet())
        link.stop(0.2)
        kinds = []
        while DISCONNECT not in kinds:  # it comes after all that was sent
            kinds.append(broker.heard.get(timeout=PATIENCE_S)[0])
    assert kinds == [CONNECT, PUBLISH, PUBLISH, DISCONNECT]


@pytest.mark.mosquitto
def test_publishing_after_a_stop_is_a_drop(owner: Owner, real: PrivateMosquitto) -> None:
    link = owner.link(at(real.port))
    assert link.wait_connected(PATIENCE_S)
    link.stop(1.0)
    link.publish(packet())
    assert link.outgoing.dropped == 1


def test_a_link_starts_once(owner: Owner) -> None:
    link = owner.link(at(_free_port()))
    with pytest.raises(RuntimeError, match="starts once"):
        link.start([], LinkEvents(lambda *_: None, lambda: None, lambda _: None))


def test_a_link_that_was_never_started_stops(owner: Owner) -> None:
    MqttLink(at(1883), "edge").stop(0.0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that signed itself, with its key in one file."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    made = subprocess.run([*command.split(), "-keyout", "-", "-out", "-"], capture_output=True, check=True)
    file.write_bytes(made.stdout)
    return file


@pytest.fixture
def tls_broker(certificate: Path) -> Iterator[ScriptedBroker]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ScriptedBroker(ACCEPTED, tls=context) as broker:
        yield broker


def test_tls_with_a_ca_file(tls_broker: ScriptedBroker, owner: Owner, certificate: Path) -> None:
    link = owner.link(BrokerAddress.parse(f"mqtts://localhost:{tls_broker.port}", ca_file=certificate))
    assert link.wait_connected(PATIENCE_S), link.reason
    payload = bytes(300_000)
    link.publish(packet(payload))
    assert tls_broker.next(PUBLISH).endswith(payload)


@paho_leaks
def test_an_unknown_certificate_names_the_setting(tls_broker: ScriptedBroker, owner: Owner) -> None:
    owner.link(BrokerAddress.parse(f"mqtts://localhost:{tls_broker.port}"))
    reason = owner.reason()
    assert "is not trusted" in reason
    assert "set broker.ca_file" in reason


@paho_leaks
@pytest.mark.mosquitto
def test_tls_to_a_port_without_it(owner: Owner, real: PrivateMosquitto) -> None:
    owner.link(BrokerAddress.parse(f"mqtts://localhost:{real.port}"))
    assert "a port without TLS is written mqtt://" in owner.reason()


@pytest.mark.mosquitto
def test_a_socket_that_closes_at_the_wrong_moment_breaks_the_connection_and_not_the_link(
    owner: Owner, real: PrivateMosquitto
) -> None:
    def trip() -> None:
        with socket.socket() as gone:
            number = gone.fileno()
        asyncio.get_running_loop().add_writer(number, trip)

    link = owner.link(at(real.port), "t")
    assert link.wait_connected(PATIENCE_S)
    link._call(trip)
    assert "the connection to mqtt://127.0.0.1" in owner.reason()
    assert link.wait_connected(PATIENCE_S)
    link.publish(packet())
    assert owner.message() == ("t", b"x")
    assert link.failure is None


@pytest.mark.mosquitto
@pytest.mark.parametrize("bug", [RuntimeError("a bug"), KeyError("a bug")])
def test_any_other_fault_on_the_loop_is_a_bug_and_ends_the_link(real: PrivateMosquitto, bug: Exception) -> None:
    def trip() -> None:
        raise bug

    link = MqttLink(at(real.port), "edge")
    link.start((), LinkEvents(lambda *_: None, lambda: None, lambda _: None), None)
    assert link.wait_connected(PATIENCE_S)
    link._call(trip)
    with pytest.raises(type(bug), match="a bug"):
        link.stop(1.0)


@pytest.mark.mosquitto
def test_a_round_trip_comes_after_all_that_the_broker_keeps(mosquitto: str) -> None:
    """Mosquitto has 100 messages under way at most."""
    topics = {f"kept/{number}" for number in range(250)}
    heard: set[str] = set()
    with PrivateMosquitto() as broker:
        address = BrokerAddress.parse(broker.url)
        writer = MqttLink(address, "writer")
        writer.start((), LinkEvents(lambda *_: None, lambda: None, lambda _: None))
        for topic in topics:
            writer.publish(Packet(topic, b"x", ContentType.JSON, retain=True))
        assert writer.wait_connected(PATIENCE_S)
        writer.stop(flush_s=PATIENCE_S)
        link = MqttLink(address, "reader")
        link.start(["kept/+"], LinkEvents(lambda topic, _: heard.add(topic), lambda: None, lambda _: None))
        assert link.wait_connected(PATIENCE_S)
        before = -1
        while len(heard) != before:
            before = len(heard)
            assert link.round_trip(PATIENCE_S)
        assert heard == topics
        link.stop(flush_s=0)
        assert not link.round_trip(0.01)
