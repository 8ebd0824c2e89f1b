"""The runner hosts stages: a local bus inside, one link to the rest, and nothing that one message can break."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from broker.memory import MemoryBroker, MemoryLink
from pipeline import wire
from pipeline.errors import DropMessage
from pipeline.host import TICK_LATE_S
from pipeline.image import Image
from pipeline.link import LinkEvents
from pipeline.messages import (
    Drain,
    Frame,
    Inferred,
    Message,
    StageState,
    State,
    Stored,
    Tick,
    Undeliverable,
    WireMessage,
)
from pipeline.runner import ELSEWHERE, MOST_TOPICS, Runner
from pipeline.stage import Clock, StageName
from tests.examples import (
    SERVICE,
    cloud_answer,
    comparable,
    detected,
    example,
    frame,
    hard_example,
    image,
    resume,
    stage_state,
    state,
    store,
    stored,
    worker_state,
)

EDGE = (StageName.READER, StageName.DETECTOR, StageName.MINER, StageName.UPLINK, StageName.SINK)
Answer = Callable[[Message], Iterable[Message]]


class Toy:
    """A stage that notes what it gets, and answers as it is told.

    Attributes:
        met: the words on processes, which reach an uplink besides all else.
    """

    def __init__(
        self,
        answer: Answer = lambda _: (),
        *,
        wakes_at_s: float = math.inf,
        wakes_again: bool = False,
        drained: bool = True,
    ) -> None:
        """Answer with ``answer``; want one ``Tick`` at ``wakes_at_s``, or one after the other from then on."""
        self.wakes_at_s = wakes_at_s
        self.drained = drained
        self.answer = answer
        self._wakes_again = wakes_again
        self._seen: queue.Queue[Message] = queue.Queue()
        self.met: list[StageState] = []

    def process(self, message: Message) -> Iterable[Message]:
        """Note it and answer it."""
        if isinstance(message, StageState):
            self.met.append(message)
            return
        if isinstance(message, Tick) and not self._wakes_again:
            self.wakes_at_s = math.inf
        self._seen.put(message)
        yield from self.answer(message)

    def next(self) -> Message:
        """The next message that this stage got."""
        return self._seen.get(timeout=60)

    def seen(self) -> list[Message]:
        """What else it has got so far."""
        return [self._seen.get_nowait() for _ in range(self._seen.qsize())]


class Listener:
    """Someone else on the broker, who hears everything."""

    def __init__(self, broker: MemoryBroker, *filters: str) -> None:
        """Subscribe to ``filters``, or to all topics."""
        self.topics: list[str] = []
        self.messages: list[WireMessage] = []
        self._broker = broker
        broker.link("listener").start(
            filters or ("tandem/#",), LinkEvents(self._received, lambda: None, lambda _: None)
        )
        broker.settle()

    def _received(self, topic: str, payload: bytes) -> None:
        self.topics.append(topic)
        self.messages.append(wire.decode(topic, payload, 0.0))

    def heard(self, kind: type[Message]) -> list[WireMessage]:
        """What came of one type, once all that was sent has come."""
        self._broker.settle()
        return [message for message in self.messages if isinstance(message, kind)]


class Hosting:
    """Starts runners, and ends them with the test."""

    def __init__(self, broker: MemoryBroker, stack: ExitStack) -> None:
        """Run nothing yet."""
        self.broker = broker
        self._stack = stack
        self._names = iter(range(100))

    def __call__(
        self,
        stages: dict[StageName, Toy],
        *,
        streams: tuple[str, ...] = ("gate",),
        worker: str = "",
        clock: Clock = time.monotonic,
        before: Iterable[tuple[StageName, Message]] = (),
    ) -> Runner:
        """A runner that hosts these stages, started; what is in ``before`` waits for them."""
        name = f"process-{next(self._names)}"
        runner = Runner(SERVICE, stage_state(name, streams=streams), self.broker.link(name), worker=worker, clock=clock)
        for stage_name, stage in stages.items():
            runner.add(stage_name, stage, "gate" if stage_name is StageName.READER else "")
        for stage_name, message in before:
            runner.deliver(stage_name, message)
        runner.start()
        self._stack.callback(lambda: runner._stopping.is_set() or runner.drain(1.0))
        self.broker.settle()
        return runner


@pytest.fixture(autouse=True)
def plain_logging() -> Iterator[None]:
    """The logging that structlog begins with."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture
def broker() -> Iterator[MemoryBroker]:
    with MemoryBroker() as running:
        yield running


@pytest.fixture
def hosting(broker: MemoryBroker) -> Iterator[Hosting]:
    with ExitStack() as stack:
        yield Hosting(broker, stack)


def answering(kind: type[Message], *answers: Message) -> Answer:
    """Answer messages of one type so."""
    return lambda message: answers if isinstance(message, kind) else ()


class TestRoutes:
    def test_inside_a_process_messages_pass_by_reference_and_stay_off_the_broker(
        self, hosting: Hosting, broker: MemoryBroker
    ) -> None:
        everyone = Listener(broker)
        sent = frame()
        reader, detector = Toy(answering(Tick, sent)), Toy()
        runner = hosting({StageName.READER: reader, StageName.DETECTOR: detector})
        runner.deliver(StageName.READER, Tick(0.0))
        assert detector.next() is sent
        assert everyone.heard(Frame) == []

    def test_to_another_process_messages_go_over_the_link(self, hosting: Hosting, broker: MemoryBroker) -> None:
        everyone = Listener(broker)
        sent = frame()
        detector = Toy()
        hosting({StageName.DETECTOR: detector})
        runner = hosting({StageName.READER: Toy(answering(Tick, sent))}, clock=lambda: sent.born_s)
        runner.deliver(StageName.READER, Tick(0.0))
        received = detector.next()
        assert isinstance(received, Frame)
        assert received is not sent
        assert comparable(received) | {"born_s": sent.born_s} == comparable(sent)
        assert len(everyone.heard(Frame)) == 1

    def test_what_is_public_goes_both_ways_and_arrives_once(self, hosting: Hosting, broker: MemoryBroker) -> None:
        everyone = Listener(broker)
        word = stored()
        reader, uplink = Toy(), Toy()
        runner = hosting(
            {
                StageName.READER: reader,
                StageName.DETECTOR: Toy(),
                StageName.MINER: Toy(),
                StageName.UPLINK: uplink,
                StageName.SINK: Toy(answering(Tick, word)),
            }
        )
        runner.deliver(StageName.SINK, Tick(0.0))
        assert reader.next() is word
        assert uplink.next() is word
        assert everyone.heard(Stored) == [word]
        assert everyone.topics[-1] == "tandem/helmet/gate/stored"
        assert reader.seen() == uplink.seen() == []

    def test_state_is_published_and_retained_for_who_comes_late(self, hosting: Hosting, broker: MemoryBroker) -> None:
        runner = hosting({StageName.SINK: Toy(answering(Tick, state()))})
        early = Listener(broker)
        runner.deliver(StageName.SINK, Tick(0.0))
        assert wait(lambda: early.heard(State)) == [state()]
        assert Listener(broker, "tandem/+/+/state").heard(State) == [state()]

    def test_a_hard_example_goes_to_its_worker_alone(self, hosting: Hosting) -> None:
        first, second = Toy(), Toy()
        hosting({StageName.CLOUD: first}, streams=(), worker="one")
        hosting({StageName.CLOUD: second}, streams=(), worker="two")
        uplink = Toy(answering(Tick, hard_example(worker="two"), hard_example(2, worker="one")))
        runner = hosting({StageName.UPLINK: uplink})
        runner.deliver(StageName.UPLINK, Tick(0.0))
        for worker, name in ((first, "one"), (second, "two")):
            received = worker.next()
            assert getattr(received, "worker", None) == name
            assert worker.seen() == []

    def test_with_a_worker_in_the_process_others_are_still_reached(self, hosting: Hosting) -> None:
        near, far = Toy(), Toy()
        hosting({StageName.CLOUD: far}, streams=(), worker="far")
        sent = hard_example(worker="near")
        uplink = Toy(answering(Tick, sent, hard_example(2, worker="far")))
        runner = hosting({StageName.UPLINK: uplink, StageName.CLOUD: near}, worker="near")
        runner.deliver(StageName.UPLINK, Tick(0.0))
        assert near.next() is sent
        assert getattr(far.next(), "worker", None) == "far"
        assert near.seen() == []

    def test_answers_and_announcements_come_back_to_the_uplink(self, hosting: Hosting) -> None:
        uplink = Toy()
        hosting({name: Toy() if name is not StageName.UPLINK else uplink for name in EDGE})
        cloud = Toy(answering(Tick, worker_state("w"), cloud_answer(worker="w")))
        runner = hosting({StageName.CLOUD: cloud}, streams=(), worker="w")
        runner.deliver(StageName.CLOUD, Tick(0.0))
        assert uplink.next() == worker_state("w")
        assert comparable(uplink.next())["worker"] == "w"
        assert uplink.seen() == []

    def test_an_uplink_hears_that_a_process_is_there_and_that_it_died(
        self, hosting: Hosting, broker: MemoryBroker
    ) -> None:
        uplink = Toy()
        hosting({StageName.UPLINK: uplink})
        worker = stage_state("worker", streams=())
        link = broker.link("worker")
        will = wire.encode(SERVICE, replace(worker, online=False), 0.0)
        link.start([], LinkEvents(lambda *_: None, lambda: None, lambda _: None), will)
        link.publish(wire.encode(SERVICE, worker, 0.0))
        assert wait(lambda: [met for met in uplink.met if met == worker])
        link.kill()
        assert wait(lambda: [met for met in uplink.met if met == replace(worker, online=False)])

    def test_a_reader_hears_of_its_own_stream_alone(self, broker: MemoryBroker) -> None:
        gate, yard = Toy(), Toy()
        runner = Runner(SERVICE, stage_state("edge", streams=("gate", "yard")), broker.link("edge"))
        runner.add(StageName.READER, gate, "gate")
        runner.add(StageName.READER, yard, "yard")
        sink = Toy(answering(Tick, stored(), resume("yard"), stored(stream="yard"), resume()))
        runner.add(StageName.SINK, sink)
        runner.start()
        runner.deliver(StageName.SINK, Tick(0.0))
        assert [gate.next(), gate.next()] == [stored(), resume()]
        assert [yard.next(), yard.next()] == [resume("yard"), stored(stream="yard")]
        assert runner.drain(60.0)
        assert gate.seen() == yard.seen() == [Drain()]

    def test_streams_of_others_are_left_to_them(self, hosting: Hosting, broker: MemoryBroker) -> None:
        detector, other = Toy(), Toy()
        hosting({StageName.DETECTOR: detector}, streams=("gate",))
        hosting({StageName.DETECTOR: other}, streams=("yard",))
        send(broker, frame(stream="yard"))
        send(broker, frame(stream="gate"))
        assert getattr(detector.next(), "id", None) == frame().id
        assert getattr(other.next(), "id", None) == frame(stream="yard").id
        assert detector.seen() == other.seen() == []


class TestTime:
    def test_a_stage_without_messages_gets_its_tick_when_it_wants_it(self, hosting: Hosting) -> None:
        wakes_at_s = time.monotonic() + 0.05
        stage = Toy(wakes_at_s=wakes_at_s)
        hosting({StageName.DETECTOR: stage})
        tick = stage.next()
        assert isinstance(tick, Tick)
        assert wakes_at_s <= tick.now_s <= time.monotonic()

    def test_messages_come_before_a_tick_that_is_due(self, hosting: Hosting) -> None:
        stage = Toy(wakes_at_s=0.0)
        frames = [frame(seq) for seq in (1, 2, 3)]
        hosting({StageName.DETECTOR: stage}, before=[(StageName.DETECTOR, one) for one in frames], clock=lambda: 100.0)
        assert [stage.next() for _ in range(3)] == frames
        assert stage.next() == Tick(100.0)

    def test_a_stage_that_is_never_idle_gets_its_tick_in_time(self, hosting: Hosting) -> None:
        now_s = 100.0
        ticks_s: list[float] = []
        frames = [frame(seq) for seq in range(1, 41)]

        def work(message: Message) -> Iterable[Message]:
            nonlocal now_s
            if isinstance(message, Tick):
                ticks_s.append(message.now_s)
            elif message is frames[-1]:
                stage.wakes_at_s = math.inf
            else:
                now_s += 0.03
            return ()

        stage = Toy(work, wakes_at_s=0.0, wakes_again=True)
        hosting({StageName.DETECTOR: stage}, before=[(StageName.DETECTOR, one) for one in frames], clock=lambda: now_s)
        arrived: list[Message] = []
        while not arrived or arrived[-1] is not frames[-1]:
            arrived.append(stage.next())
        assert [message for message in arrived if isinstance(message, Frame)] == frames
        waits_s = np.diff([100.0, *ticks_s])
        assert len(waits_s) >= 8
        assert ((waits_s > TICK_LATE_S) & (waits_s < TICK_LATE_S + 0.031)).all()

    def test_a_tick_that_is_not_due_does_not_come(self, hosting: Hosting) -> None:
        stage = Toy(wakes_at_s=200.0)
        frames = [frame(seq) for seq in range(1, 20)]
        hosting({StageName.DETECTOR: stage}, before=[(StageName.DETECTOR, one) for one in frames], clock=lambda: 199.9)
        assert [stage.next() for _ in frames] == frames
        assert stage.seen() == []


class TestBadMessages:
    def test_a_message_that_a_stage_drops_is_counted_and_logged_once(self, hosting: Hosting) -> None:
        def refuse(message: Message) -> Iterable[Message]:
            if isinstance(message, Frame) and message.id.seq < 4:
                raise DropMessage(f"frame {message.id.seq} is damaged")
            return ()

        stage = Toy(refuse)
        with capture_logs() as logs:
            runner = hosting({StageName.DETECTOR: stage})
            for seq in (1, 2, 3, 4):
                runner.deliver(StageName.DETECTOR, frame(seq))
            assert [getattr(stage.next(), "id", None) for _ in range(4)] == [frame(seq).id for seq in (1, 2, 3, 4)]
        assert runner.dropped == {"detector": 3}
        assert [line for line in logs if line["event"] == "message_dropped"] == [
            {"event": "message_dropped", "log_level": "warning", "where": "detector", "reason": "frame 1 is damaged"}
        ]
        assert runner.failure is None

    def test_what_was_answered_before_a_drop_is_sent(self, hosting: Hosting) -> None:
        def half(_: Message) -> Iterable[Message]:
            yield detected()
            raise DropMessage("the rest is damaged")

        miner = Toy()
        runner = hosting({StageName.DETECTOR: Toy(half), StageName.MINER: miner})
        runner.deliver(StageName.DETECTOR, frame())
        assert getattr(miner.next(), "id", None) == detected().id

    def test_topics_that_others_make_up_do_not_fill_the_memory(self, hosting: Hosting, broker: MemoryBroker) -> None:
        runner = hosting({StageName.UPLINK: Toy()})
        packet = wire.encode(SERVICE, worker_state(), 100.0)
        link = listener_link(broker)
        for number in range(MOST_TOPICS + 5):
            link.publish(replace(packet, topic=f"tandem/helmet/workers/w{number}", payload=b"junk"))
        broker.settle()
        assert runner.dropped.total() == MOST_TOPICS + 5
        assert len(runner.dropped) == MOST_TOPICS + 1
        assert runner.dropped[ELSEWHERE] == 5

    def test_malformed_packets_are_counted_by_topic_and_logged_once(
        self, hosting: Hosting, broker: MemoryBroker
    ) -> None:
        stage = Toy()
        runner = hosting({StageName.DETECTOR: stage}, streams=("gate", "yard"))
        packet = wire.encode(SERVICE, frame(), 100.0)
        with capture_logs() as logs:
            link = listener_link(broker)
            for payload in (b"", b"junk", packet.payload[:-9], packet.payload):
                for stream in ("gate", "yard"):
                    link.publish(replace(packet, topic=f"tandem/helmet/{stream}/frames", payload=payload))
            broker.settle()
            assert getattr(stage.next(), "id", None) == frame().id
        assert runner.dropped == {"tandem/helmet/gate/frames": 3, "tandem/helmet/yard/frames": 4}
        dropped = [line for line in logs if line["event"] == "message_dropped"]
        assert [line["where"] for line in dropped] == ["tandem/helmet/gate/frames", "tandem/helmet/yard/frames"]
        assert all("payload" in line["reason"] or "input" in line["reason"] for line in dropped)
        assert stage.seen() == []
        assert runner.failure is None

    def test_a_packet_that_is_too_large_comes_back(self) -> None:
        with MemoryBroker(max_packet_bytes=2_000) as broker, ExitStack() as stack:
            big, small = frame(1, picture=image(640, 480)), frame(2, picture=image(16, 16))
            reader, detector = Toy(answering(Tick, big, small)), Toy()
            hosting = Hosting(broker, stack)
            hosting({StageName.DETECTOR: detector})
            runner = hosting({StageName.READER: reader})
            runner.deliver(StageName.READER, Tick(0.0))
            assert reader.next() == Tick(0.0)
            back = reader.next()
            assert isinstance(back, Undeliverable)
            assert back.message is big
            assert "is larger than the 2000 that the broker takes; raise max_packet_size" in back.reason
            assert getattr(detector.next(), "id", None) == small.id
            assert detector.seen() == []

    def test_a_picture_that_cannot_be_encoded_comes_back(self, hosting: Hosting) -> None:
        wide, good = frame(1, picture=Image(pixels=np.zeros((1, 70_000, 3), np.uint8))), frame(2)
        reader, detector = Toy(answering(Tick, wide, good)), Toy()
        hosting({StageName.DETECTOR: detector})
        runner = hosting({StageName.READER: reader})
        runner.deliver(StageName.READER, Tick(0.0))
        assert reader.next() == Tick(0.0)
        back = reader.next()
        assert isinstance(back, Undeliverable)
        assert (back.message, "does not fit a JPEG" in back.reason) == (wide, True)
        assert getattr(detector.next(), "id", None) == good.id
        assert runner.dropped == {}


class TestFailure:
    def test_what_else_a_stage_raises_ends_the_process(self, hosting: Hosting) -> None:
        bug = ZeroDivisionError("a bug")

        def fail(_: Message) -> Iterable[Message]:
            raise bug

        runner = hosting({StageName.DETECTOR: Toy(fail), StageName.MINER: Toy()})
        assert not runner.failed.is_set()
        runner.deliver(StageName.DETECTOR, frame())
        assert runner.failed.wait(60)
        assert runner.failure is bug
        started_s = time.monotonic()
        assert not runner.drain(200.0)
        assert time.monotonic() - started_s < 100.0

    def test_after_a_failure_no_stage_runs_on(self, hosting: Hosting) -> None:
        def fail(_: Message) -> Iterable[Message]:
            raise ZeroDivisionError("a bug")

        runner = hosting({StageName.DETECTOR: Toy(fail), StageName.MINER: Toy(), StageName.UPLINK: Toy()})
        runner.deliver(StageName.DETECTOR, frame())
        assert runner.failed.wait(60)
        runner.abandon()
        assert not any(host.thread and host.thread.is_alive() for host in runner._hosts)

    def test_the_first_failure_is_the_one_that_is_told(self, hosting: Hosting) -> None:
        def fail(message: Message) -> Iterable[Message]:
            raise ValueError(type(message).__name__)

        runner = hosting({StageName.DETECTOR: Toy(fail), StageName.MINER: Toy(fail)})
        runner.deliver(StageName.DETECTOR, frame())
        assert runner.failed.wait(60)
        runner.deliver(StageName.MINER, detected())
        runner.drain(0.2)
        assert str(runner.failure) == "Frame"

    @pytest.mark.parametrize(
        "message", [Tick(0.0), Drain(), Undeliverable(frame(), "x"), Inferred(hard_example(), None, "x", {})]
    )
    def test_a_stage_may_not_send_what_does_not_travel(self, hosting: Hosting, message: Message) -> None:
        runner = hosting({StageName.DETECTOR: Toy(answering(Frame, message))})
        runner.deliver(StageName.DETECTOR, frame())
        assert runner.failed.wait(60)
        assert str(runner.failure).startswith("detector may not send ")

    def test_tasks_run_in_the_background_one_after_the_other(self, hosting: Hosting) -> None:
        runner = hosting({StageName.CLOUD: Toy()})
        done: list[tuple[int, str]] = []
        last = threading.Event()

        def note(i: int) -> None:
            done.append((i, threading.current_thread().name))

        for i in range(20):
            runner.submit(partial(note, i))
        runner.submit(last.set)
        assert last.wait(60)
        assert [i for i, _ in done] == list(range(20))
        assert len({name for _, name in done}) == 1
        assert threading.current_thread().name not in {name for _, name in done}

    def test_a_task_that_raises_ends_the_process(self, hosting: Hosting) -> None:
        def fail() -> None:
            raise ValueError("a bug")

        runner = hosting({StageName.CLOUD: Toy()})
        runner.submit(fail)
        assert runner.failed.wait(60)
        assert str(runner.failure) == "a bug"

    def test_after_the_end_tasks_are_left_alone(self, hosting: Hosting) -> None:
        runner = hosting({StageName.CLOUD: Toy()})
        assert runner.drain(60.0)
        runner.submit(lambda: pytest.fail("this must not run"))
        assert runner.failure is None


class TestDrain:
    def test_stages_are_drained_along_the_chain(self, hosting: Hosting) -> None:
        order: list[StageName] = []

        def noting(name: StageName) -> Answer:
            def note(message: Message) -> Iterable[Message]:
                if isinstance(message, Drain):
                    order.append(name)
                return ()

            return note

        runner = hosting({name: Toy(noting(name)) for name in reversed(StageName)}, worker="w")
        assert runner.drain(60.0)
        assert order == list(StageName)

    def test_what_is_under_way_reaches_the_sink(self, hosting: Hosting) -> None:
        sink, n = Toy(), 50
        last = store()
        runner = hosting(
            {
                StageName.READER: Toy(answering(Drain, frame())),
                StageName.DETECTOR: Toy(answering(Frame, detected())),
                StageName.MINER: Toy(answering(type(detected()), example())),
                StageName.UPLINK: Toy(answering(type(example()), last)),
                StageName.SINK: sink,
            },
            before=[(StageName.DETECTOR, frame(seq)) for seq in range(1, n)],
        )
        assert runner.drain(10.0)
        assert sink.seen() == [last] * n + [Drain()]

    def test_a_stage_may_wait_for_the_last_word(self, hosting: Hosting) -> None:
        reader = Toy(drained=False)

        def confirmed(message: Message) -> Iterable[Message]:
            if isinstance(message, Drain):
                yield frame()
            elif isinstance(message, Stored):
                reader.drained = True

        reader.answer = confirmed
        runner = hosting(
            {
                StageName.READER: reader,
                StageName.DETECTOR: Toy(answering(Frame, store())),
                StageName.SINK: Toy(answering(type(store()), stored())),
            }
        )
        assert runner.drain(10.0)
        assert reader.seen() == [Drain(), stored()]

    def test_a_stage_that_only_then_finds_work_is_waited_for(self, hosting: Hosting) -> None:
        reader, never = Toy(), threading.Event()

        def late(message: Message) -> Iterable[Message]:
            if isinstance(message, Drain):
                never.wait(0.05)  # the runner may ask before the stage has thought about it
                reader.drained = False
                yield frame()
            elif isinstance(message, Stored):
                reader.drained = True

        reader.answer = late
        detector = Toy(answering(Frame, store()))
        sink = Toy(answering(type(store()), stored()))
        runner = hosting({StageName.READER: reader, StageName.DETECTOR: detector, StageName.SINK: sink})
        assert runner.drain(10.0)
        assert reader.seen() == [Drain(), stored()]

    def test_only_its_own_thread_asks_a_stage_whether_it_is_drained(self, hosting: Hosting) -> None:
        asked: set[str] = set()

        class Asked(Toy):
            def __getattribute__(self, name: str) -> object:
                if name == "drained":
                    asked.add(threading.current_thread().name)
                return super().__getattribute__(name)

        runner = hosting({StageName.UPLINK: Asked()})
        assert runner.drain(60.0)
        assert asked == {StageName.UPLINK}

    def test_a_stage_that_does_not_finish_does_not_hold_up_the_rest(self, hosting: Hosting) -> None:
        sink = Toy()
        runner = hosting({StageName.UPLINK: Toy(drained=False), StageName.SINK: sink})
        started_s = time.monotonic()
        assert not runner.drain(0.2)
        assert time.monotonic() - started_s >= 0.2
        assert sink.seen() == [Drain()]

    def test_the_end_does_not_need_a_broker(self, hosting: Hosting, broker: MemoryBroker) -> None:
        runner = hosting({StageName.SINK: Toy()})
        broker.stop()
        assert runner.drain(60.0)

    def test_stages_work_before_the_broker_is_there(self, hosting: Hosting, broker: MemoryBroker) -> None:
        broker.refuse("not yet")
        detector = Toy()
        runner = hosting({StageName.READER: Toy(answering(Tick, frame())), StageName.DETECTOR: detector})
        runner.deliver(StageName.READER, Tick(0.0))
        assert isinstance(detector.next(), Frame)
        everyone = Listener(broker)
        assert everyone.heard(StageState) == []
        broker.start()
        assert [state.online for state in everyone.heard(StageState)] == [True]  # type: ignore[union-attr]


class TestPresence:
    def test_a_process_says_that_it_is_there_and_that_it_goes(self, hosting: Hosting, broker: MemoryBroker) -> None:
        runner = hosting({StageName.DETECTOR: Toy()})
        later = Listener(broker, "tandem/helmet/stages/+")
        here = stage_state("process-0")
        assert later.heard(StageState) == [here]
        assert runner.drain(60.0)
        assert later.heard(StageState) == [here, stage_state("process-0", online=False)]
        assert Listener(broker, "tandem/helmet/stages/+").heard(StageState) == [stage_state("process-0", online=False)]

    def test_a_process_that_dies_is_told_by_its_will(self, broker: MemoryBroker) -> None:
        link = broker.link("edge")
        runner = Runner(SERVICE, stage_state("edge"), link)
        runner.add(StageName.SINK, Toy())
        runner.start()
        everyone = Listener(broker, "tandem/helmet/stages/+")
        link.kill()
        assert everyone.heard(StageState) == [stage_state("edge"), stage_state("edge", online=False)]
        runner.drain(1.0)

    def test_a_process_that_comes_back_says_so(self, broker: MemoryBroker) -> None:
        link = broker.link("edge")
        runner = Runner(SERVICE, stage_state("edge"), link)
        runner.start()
        everyone = Listener(broker, "tandem/helmet/stages/+")
        link.cut()
        link.restore()
        told = [message.online for message in everyone.heard(StageState) if isinstance(message, StageState)]
        assert told == [True, False, True]
        assert runner.drain(1.0)


def wait(found: Callable[[], list[WireMessage]]) -> list[WireMessage]:
    """Ask until something is found."""
    until_s = time.monotonic() + 60
    while not (some := found()):
        assert time.monotonic() < until_s
        time.sleep(0.001)
    return some


def listener_link(broker: MemoryBroker) -> MemoryLink:
    """A link that only sends."""
    link = broker.link("sender")
    link.start((), LinkEvents(lambda *_: None, lambda: None, lambda _: None))
    broker.settle()
    return link


def send(broker: MemoryBroker, message: WireMessage) -> None:
    """Publish a message as another process would."""
    listener_link(broker).publish(wire.encode(SERVICE, message, 100.0))
    broker.settle()
