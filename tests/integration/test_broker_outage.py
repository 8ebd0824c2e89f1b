"""Brokers that are lost in ways that only a kernel or a busy process can make."""

from __future__ import annotations

import contextlib
import itertools
import math
import queue
import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker import connection
from broker.address import BrokerAddress
from broker.mosquitto import PrivateMosquitto
from broker.mqtt import MqttLink
from pipeline import wire
from pipeline.link import ContentType, LinkEvents, Packet
from pipeline.messages import Message, StageState, Tick
from pipeline.runner import Runner
from pipeline.stage import StageName
from tests.brokers import running
from tests.examples import SERVICE, stage_state

PATIENCE_S = 60.0

pytestmark = pytest.mark.mosquitto


class Told:
    """What a link told, with its time."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[str, float]] = queue.Queue()
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()

    @property
    def of_link(self) -> LinkEvents:
        return LinkEvents(
            lambda *message: self.messages.put(message),
            lambda: self.events.put(("connected", time.monotonic())),
            lambda reason: self.events.put((reason, time.monotonic())),
        )

    def next(self) -> tuple[str, float]:
        return self.events.get(timeout=PATIENCE_S)

    def until_connected(self) -> None:
        while self.next()[0] != "connected":
            pass


class Far:
    """A Mosquitto on another host, as far as the kernel can tell: a network namespace behind a veth pair."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        number = secrets.randbelow(1 << 14)  # the kernel removes an old one at its leisure
        self.name = f"tandem-{number}"
        self.near, self.far = f"tdn{number}", f"tdf{number}"
        self.network = f"10.{200 + number % 50}.{number // 50 % 250}"

    def cut(self) -> None:
        """Let every packet vanish: the other host does not have its address any more, and says so to nobody."""
        self._ip("-n", self.name, "address", "del", f"{self.network}.2/24", "dev", self.far)

    def mend(self) -> None:
        """Give it its address again."""
        self._ip("-n", self.name, "address", "add", f"{self.network}.2/24", "dev", self.far)

    @contextlib.contextmanager
    def up(self) -> Iterator[BrokerAddress]:
        """Make it, with its broker; skip where this user or this kernel may not."""
        if shutil.which("ip") is None:
            pytest.skip("needs network namespaces: apt-get install iproute2")
        made = subprocess.run(["ip", "netns", "add", self.name], capture_output=True, text=True, check=False)
        if made.returncode:
            pytest.skip(f"needs root and network namespaces: {made.stderr.strip()}")
        try:
            self._ip("link", "add", self.near, "type", "veth", "peer", "name", self.far, "netns", self.name)
            self._ip("address", "add", f"{self.network}.1/24", "dev", self.near)
            self._ip("link", "set", self.near, "up")
            self._ip("-n", self.name, "link", "set", self.far, "up")
            self.mend()
            inside = ("ip", "netns", "exec", self.name)
            with running(self.folder, "listener 1883 0.0.0.0", "allow_anonymous true", prefix=inside):
                yield BrokerAddress(f"{self.network}.2", 1883)
        finally:
            self._ip("netns", "del", self.name)  # and the pair with it

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.mark.usefixtures("mosquitto")
@pytest.mark.parametrize("sends", [True, False], ids=["sending", "idle"])
def test_a_network_that_swallows_packets_is_noticed_and_what_was_kept_comes_after(tmp_path: Path, sends: bool) -> None:  # noqa: FBT001
    far, told = Far(tmp_path), Told()
    with far.up() as address:
        link = MqttLink(address, "edge", backoff_s=(0.2, 0.5))
        link.start(["t"], told.of_link)
        try:
            told.until_connected()
            far.cut()
            cut_s = time.monotonic()
            if sends:
                link.publish(Packet("t", b"kept", ContentType.JSON, keep=True))
            _, noticed_s = told.next()
            assert noticed_s - cut_s < 1.5 * connection.KEEPALIVE_S + 30  # TCP alone takes minutes
            if not sends:
                link.publish(Packet("t", b"kept", ContentType.JSON, keep=True))
            far.mend()
            told.until_connected()
            assert told.messages.get(timeout=PATIENCE_S) == ("t", b"kept")
        finally:
            link.stop(1.0)


class Busy:
    """A stage whose inference holds its thread, and every so often the interpreter too."""

    wakes_at_s = -math.inf
    drained = True

    def __init__(self, seconds: float) -> None:
        self.done = threading.Event()
        self._seconds = seconds

    def process(self, message: Message) -> list[Message]:
        """Run one long inference at the first Tick."""
        if isinstance(message, Tick):
            self.wakes_at_s = math.inf
            until_s = time.monotonic() + self._seconds
            while time.monotonic() < until_s:
                sum(itertools.repeat(1, 5_000_000))  # in C, and lets go of the interpreter only at its end
            self.done.set()
        return []


@pytest.mark.usefixtures("mosquitto")
def test_an_inference_that_holds_thread_and_interpreter_does_not_starve_the_keepalive() -> None:
    with PrivateMosquitto() as broker:
        told = Told()
        link = MqttLink(BrokerAddress.parse(broker.url), "edge")
        runner = Runner(SERVICE, stage_state(), link)
        runner._disconnected = told.of_link.disconnected  # type: ignore[method-assign]
        stage = Busy(2.1 * connection.KEEPALIVE_S)
        runner.add(StageName.DETECTOR, stage)
        runner.start()
        hog = threading.Thread(target=lambda: [None for _ in iter(stage.done.is_set, True)], daemon=True)
        hog.start()
        assert stage.done.wait(2 * PATIENCE_S)
        hog.join(PATIENCE_S)
        assert link.connected
        assert told.events.empty()
        log = broker.log_file.read_text()
        assert "as edge (p5, c1, k5)" in log, "the keepalive is 5 s"
        assert "exceeded timeout" not in log
        assert runner.drain(60.0)


@pytest.mark.usefixtures("mosquitto")
def test_what_an_outage_cost_is_told_on_the_stages_topic_of_a_broker_that_was_wiped() -> None:
    with PrivateMosquitto() as broker:
        address, told = BrokerAddress.parse(broker.url), Told()
        link = MqttLink(address, "edge", backoff_s=(0.05, 0.1), kept_limit=5)
        runner = Runner(SERVICE, stage_state(), link)
        runner.start()
        try:
            assert link.wait_connected(PATIENCE_S)
            runner.tell_losses()
            broker.stop()
            while link.connected:
                time.sleep(0.001)
            for number in range(8):
                link.publish(Packet("t", str(number).encode(), ContentType.JSON, keep=True))
            runner.tell_losses()  # nobody would hear it yet
            broker.start()
            assert link.wait_connected(PATIENCE_S)
            runner.tell_losses()
            watch = MqttLink(address, "watch")
            watch.start([f"tandem/{SERVICE}/stages/+"], told.of_link)
            state = None
            while state is None or state.unsent == 0:
                topic, payload = told.messages.get(timeout=PATIENCE_S)
                state = wire.decode(topic, payload, 0.0)
                assert isinstance(state, StageState)
            assert (state.online, state.unsent, state.refused) == (True, 3, 0)
            watch.stop(0.0)
        finally:
            runner.drain(1.0)


def test_a_link_that_stops_while_a_server_says_nothing_does_not_ask_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT_S", 0.5)
    asked: list[BrokerAddress] = []
    monkeypatch.setattr("broker.mqtt.diagnose", lambda address, _: asked.append(address) or "it hangs")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        link = MqttLink(BrokerAddress.parse(f"mqtt://127.0.0.1:{silent.getsockname()[1]}"), "a-test")
        link.start((), Told().of_link)
        with silent.accept()[0]:
            link.stop(flush_s=0.5)
    assert not asked
    assert "does not answer as an MQTT 5 broker" in link.reason
