"""What a process shows to Prometheus and to probes: the real server, over real sockets, before a real runner."""

from __future__ import annotations

import math
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from http.client import HTTPConnection

import pytest
from prometheus_client.parser import text_string_to_metric_families

from broker.memory import MemoryBroker
from pipeline.app.http import AT_ONCE
from pipeline.app.outside import Outside
from pipeline.config import Config, validated
from pipeline.errors import ConfigError
from pipeline.messages import Message, Tick
from pipeline.runner import Runner
from pipeline.stage import StageName
from tests.examples import SERVICE, detected, frame, stage_state, state

PATIENCE_S = 60.0


class Toy:
    """A stage that answers as it is told."""

    wakes_at_s = math.inf
    drained = True

    def __init__(self, answer: Callable[[Message], Iterable[Message]]) -> None:
        self.process = answer


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    """The status and the body of a page."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def until(what: Callable[[], bool]) -> None:
    """Wait for something that is told to nobody but those who ask."""
    until_s = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < until_s
        time.sleep(0.002)


def metrics(port: int) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels."""
    families = text_string_to_metric_families(get(port, "/metrics")[1])
    return {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def broker(stack: ExitStack) -> MemoryBroker:
    return stack.enter_context(MemoryBroker())


def outside(stack: ExitStack, **http: object) -> Outside:
    """What is seen of a process, on a free port."""
    return Outside(validated({"http": http}), 0, stack)


@contextmanager
def hosting(seen: Outside, broker: MemoryBroker, **stages: Toy) -> Iterator[Runner]:
    """A runner with these stages that is seen from outside."""
    runner = Runner(SERVICE, stage_state(), broker.link("edge"), observe=seen.observe)
    for name, stage in stages.items():
        runner.add(StageName(name), stage, "gate" if name == "reader" else "")  # type: ignore[arg-type]
    runner.start()
    seen.started(runner)
    broker.settle()
    try:
        yield runner
    finally:
        seen.stopping()
        runner.drain(0.5)


class TestPages:
    def test_before_the_models_are_there_it_is_alive(self, stack: ExitStack) -> None:
        port = outside(stack).port
        assert get(port, "/healthz") == (200, "ok\n")
        assert get(port, "/readyz") == (503, "the models are not loaded yet\n")
        assert metrics(port)["process_cpu_seconds_total",] > 0

    def test_head_has_no_body_and_the_query_is_nobodys(self, stack: ExitStack) -> None:
        port = outside(stack).port
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
            connection.sendall(b"HEAD /healthz HTTP/1.0\r\n\r\n")
            answer = connection.makefile("rb").read()  # http.client would not look for a body
        assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
        assert b"Content-Length: 3\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")
        assert get(port, "/readyz", "HEAD") == (503, "")
        assert get(port, "/healthz?verbose=1")[0] == 200

    def test_other_paths_are_not_there_and_other_methods_neither(self, stack: ExitStack) -> None:
        port = outside(stack).port
        assert get(port, "/") == (404, "there are /metrics, /healthz, /readyz\n")
        assert get(port, "/healthz/")[0] == 404
        assert get(port, "/healthz", "POST")[0] == 501

    def test_a_port_in_use_is_an_error_that_names_it(self, stack: ExitStack) -> None:
        port = outside(stack).port
        with pytest.raises(ConfigError, match=f"^http.port: nobody can listen on 127.0.0.1:{port} .*choose another"):
            Outside(Config(), port, stack)

    def test_a_host_that_is_none_is_an_error(self, stack: ExitStack) -> None:
        with pytest.raises(ConfigError, match=r"^http\.host: 'no host' is no address"):
            outside(stack, host="no host")

    def test_it_listens_where_it_is_told(self, stack: ExitStack) -> None:
        port = outside(stack, host="127.0.0.2").port
        with pytest.raises(ConnectionRefusedError):
            get(port, "/healthz")
        with socket.create_connection(("127.0.0.2", port), timeout=PATIENCE_S):
            pass

    def test_when_it_is_closed_the_port_is_free(self) -> None:
        with ExitStack() as first:
            port = outside(first).port
            assert get(port, "/healthz")[0] == 200
        with ExitStack() as second:
            assert Outside(Config(), port, second).port == port

    def test_clients_that_say_nothing_are_bounded_and_do_not_last(
        self, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pipeline.app.http.PATIENCE_S", 0.2)
        port = outside(stack).port
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
            for _ in range(AT_ONCE + 4)
        ]
        turned_away = idle[-1].recv(1)
        assert turned_away == b""
        assert sum(thread.name.endswith("(process_request_thread)") for thread in threading.enumerate()) <= AT_ONCE
        assert [one.recv(1) for one in idle[:AT_ONCE]] == [b""] * AT_ONCE
        until(lambda: _answers(port))

    def test_a_client_that_says_little_at_a_time_does_not_last(
        self, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pipeline.app.http.PATIENCE_S", 0.5)
        slow = socket.create_connection(("127.0.0.1", outside(stack).port), timeout=PATIENCE_S)
        stack.enter_context(slow)
        with pytest.raises(ConnectionError):
            until(lambda: slow.send(b"G") == 0)

    def test_a_page_that_fails_takes_nothing_with_it(
        self, stack: ExitStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fail(_: object, __: str) -> None:
            raise ZeroDivisionError("a bug")

        seen = outside(stack)
        with monkeypatch.context() as broken:
            broken.setattr("pipeline.app.exposition.Exposition.page", fail)
            with pytest.raises(ConnectionError):
                get(seen.port, "/metrics")
        assert get(seen.port, "/metrics")[0] == 200
        assert "http_request_failed" in capsys.readouterr().out


class TestProcess:
    def test_it_is_ready_while_the_broker_is_there(self, stack: ExitStack, broker: MemoryBroker) -> None:
        broker.refuse("it refuses connections")
        seen = outside(stack)
        with hosting(seen, broker, sink=Toy(lambda _: ())):
            for reached in (False, True, False, True):
                (broker.start if reached else broker.stop)()
                assert get(seen.port, "/readyz")[0] == (200 if reached else 503)
                assert get(seen.port, "/healthz") == (200, "ok\n")
                assert metrics(seen.port)["tandem_broker_connected",] == reached
            assert metrics(seen.port)["tandem_broker_connections_total",] == 2

    def test_it_says_why_the_broker_is_not_there(self, stack: ExitStack, broker: MemoryBroker) -> None:
        seen = outside(stack)
        with hosting(seen, broker, sink=Toy(lambda _: ())):
            broker.stop("mqtt://broker refuses connections")
            assert get(seen.port, "/readyz") == (
                503,
                "the broker is not reached: mqtt://broker refuses connections\n",
            )

    def test_a_stage_that_is_stuck_is_not_alive(self, stack: ExitStack, broker: MemoryBroker) -> None:
        stuck, on = threading.Event(), threading.Event()

        def block(message: Message) -> Iterable[Message]:
            if isinstance(message, Tick):
                stuck.set()
                on.wait(PATIENCE_S)
            return ()

        seen = outside(stack, stuck_s=0.05)
        with hosting(seen, broker, reader=Toy(block), sink=Toy(lambda _: ())) as runner:
            assert get(seen.port, "/healthz") == (200, "ok\n")
            runner.deliver(StageName.READER, Tick(0.0))
            assert stuck.wait(PATIENCE_S)
            until(lambda: get(seen.port, "/healthz")[0] == 503)
            assert re.fullmatch(r"reader of gate has been at one Tick for \d+ s\n", get(seen.port, "/healthz")[1])
            assert get(seen.port, "/readyz")[0] == 503
            on.set()
            until(lambda: get(seen.port, "/healthz") == (200, "ok\n"))

    def test_a_task_that_is_stuck_is_not_alive(self, stack: ExitStack, broker: MemoryBroker) -> None:
        on = threading.Event()
        seen = outside(stack, stuck_s=0.05)
        with hosting(seen, broker, cloud=Toy(lambda _: ())) as runner:
            runner.submit(partial(on.wait, PATIENCE_S))  # type: ignore[arg-type]
            until(lambda: get(seen.port, "/healthz")[0] == 503)
            assert re.fullmatch(r"background has been at one task for \d+ s\n", get(seen.port, "/healthz")[1])
            on.set()
            until(lambda: get(seen.port, "/healthz") == (200, "ok\n"))

    def test_a_stage_that_has_failed_is_not_alive(self, stack: ExitStack, broker: MemoryBroker) -> None:
        def fail(_: Message) -> Iterable[Message]:
            raise ZeroDivisionError("a bug")

        seen = outside(stack)
        with hosting(seen, broker, sink=Toy(fail)) as runner:
            runner.deliver(StageName.SINK, Tick(0.0))
            assert runner.failed.wait(PATIENCE_S)
            assert get(seen.port, "/healthz") == (503, "the process has failed with ZeroDivisionError: see its log\n")

    def test_a_link_that_has_failed_is_not_alive(
        self, stack: ExitStack, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = outside(stack)
        with hosting(seen, broker, sink=Toy(lambda _: ())) as runner, monkeypatch.context() as broken:
            broken.setattr(type(runner.link), "failure", ZeroDivisionError("a bug"))
            assert get(seen.port, "/healthz") == (503, "the process has failed with ZeroDivisionError: see its log\n")
            assert get(seen.port, "/readyz")[0] == 503

    def test_a_thread_that_has_ended_is_not_alive(self, stack: ExitStack, broker: MemoryBroker) -> None:
        seen = outside(stack)
        with hosting(seen, broker, sink=Toy(lambda _: ())) as runner:
            runner._hosts[0].inbox.put(None)
            until(lambda: get(seen.port, "/healthz") == (503, "the thread of sink has ended\n"))

    def test_while_it_stops_it_is_alive_and_not_ready(self, stack: ExitStack, broker: MemoryBroker) -> None:
        seen = outside(stack)
        with hosting(seen, broker, sink=Toy(lambda _: ())):
            pass
        assert get(seen.port, "/healthz") == (200, "ok\n")
        assert get(seen.port, "/readyz") == (503, "the process is stopping\n")

    def test_what_stages_send_is_in_the_metrics(self, stack: ExitStack, broker: MemoryBroker) -> None:
        seen = outside(stack)
        detector = Toy(lambda message: (detected(),) if isinstance(message, Tick) else ())
        sink = Toy(lambda message: (state(),) if isinstance(message, Tick) else ())
        with hosting(seen, broker, detector=detector, miner=Toy(lambda _: ()), sink=sink) as runner:
            for name in (StageName.DETECTOR, StageName.SINK):
                runner.deliver(name, Tick(0.0))
            until(lambda: ("tandem_frames_read_total", "gate") in metrics(seen.port))
            until(lambda: ("tandem_inference_duration_seconds_count", "detector") in metrics(seen.port))
            found = metrics(seen.port)
        assert found["tandem_frames_read_total", "gate"] == 21
        assert found["tandem_inference_duration_seconds_sum", "detector"] == 0.02025
        assert found["tandem_stage_inbox_messages", "", "miner"] == 0
        assert found["tandem_stage_cpu_seconds_total", "", "detector"] > 0

    def test_messages_that_wait_are_seen(self, stack: ExitStack, broker: MemoryBroker) -> None:
        stuck, on = threading.Event(), threading.Event()

        def block(_: Message) -> Iterable[Message]:
            stuck.set()
            on.wait(PATIENCE_S)
            return ()

        seen = outside(stack)
        with hosting(seen, broker, detector=Toy(block)) as runner:
            for seq in (1, 2, 3, 4):
                runner.deliver(StageName.DETECTOR, frame(seq))
            assert stuck.wait(PATIENCE_S)
            assert metrics(seen.port)["tandem_stage_inbox_messages", "", "detector"] == 3
            on.set()


def _answers(port: int) -> bool:
    try:
        return get(port, "/healthz") == (200, "ok\n")
    except ConnectionError:
        return False
