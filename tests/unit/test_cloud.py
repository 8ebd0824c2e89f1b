"""The cloud worker, with an inference that a test ends when it likes."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import DropMessage
from pipeline.image import Image
from pipeline.messages import (
    AnswerStatus,
    CloudAnswer,
    Drain,
    HardExample,
    Inferred,
    Message,
    Stored,
    Tick,
    Undeliverable,
    WorkerState,
)
from pipeline.model import Detections, FrameId, Verdict
from stages.cloud import ANNOUNCE_S, ANSWERS_KEPT, STALLED_S, UPLINK_SEEN_S, Cloud
from stages.uplink_queue import PATIENCE_S

SEEN = Detections(np.zeros((1, 4), np.float32), np.ones(1, np.float32), np.zeros(1, np.int32), ("person",))


def example(seq: int, attempt: int = 1, uplink: str = "edge", shade: int = 0) -> HardExample:
    image = Image(pixels=np.full((8, 8, 3), shade, np.uint8))
    verdict = Verdict(hard=True, miner="IBT", score=0.5, threshold=0.4, reason="because")
    return HardExample(FrameId("gate", seq), "w", uplink, attempt, 60.0, image, Detections.empty(), verdict)


class World:
    """A worker, its clock, and the examples that its model has in work."""

    model = "big"
    provider = "CPU"

    def __init__(self, **options: int) -> None:
        self.now_s = 100.0
        self.started: deque[HardExample] = deque()
        self.cloud = Cloud("w", "i", self, lambda: self.now_s, **options)

    def start(self, example: HardExample) -> None:
        self.started.append(example)

    def send(self, *messages: Message) -> list[Message]:
        return [out for message in messages for out in self.cloud.process(message)]

    def answers(self, *messages: Message) -> list[tuple[int, int, AnswerStatus]]:
        out = self.send(*messages)
        return [(m.id.seq, m.attempt, m.status) for m in out if isinstance(m, CloudAnswer)]

    def states(self, *messages: Message) -> list[WorkerState]:
        return [out for out in self.send(*messages) if isinstance(out, WorkerState)]

    def tick(self, seconds: float = 0.0) -> list[WorkerState]:
        self.now_s += seconds
        return self.states(Tick(self.now_s))

    def done(self, detections: Detections | None = SEEN, error: str = "") -> Inferred:
        return Inferred(self.started.popleft(), detections, error, {"cloud_detect": 1.0})


def test_an_example_is_answered_with_the_models_boxes() -> None:
    world = World()
    assert world.answers(example(1)) == []
    (answer,) = (m for m in world.send(world.done()) if isinstance(m, CloudAnswer))
    assert (answer.id, answer.worker, answer.incarnation, answer.model) == (FrameId("gate", 1), "w", "i", "big")
    assert (answer.status, answer.attempt, answer.detections) == (AnswerStatus.ANSWERED, 1, SEEN)
    assert answer.steps_ms == {"cloud_detect": 1.0}


def test_one_picture_is_in_work_and_one_at_hand_in_the_order_in_which_they_came() -> None:
    world = World()
    world.send(example(1), example(2), example(3), example(4))
    assert [e.id.seq for e in world.started] == [1, 2]
    world.send(world.done())
    assert [e.id.seq for e in world.started] == [2, 3]


def test_the_time_of_a_frame_that_was_at_hand_counts_from_the_answer_before() -> None:
    world = World()
    world.send(example(1), example(2))
    world.now_s += 0.05
    world.send(world.done())
    world.now_s += 0.05
    world.send(world.done())
    assert world.tick(ANNOUNCE_S)[0].service_ms == pytest.approx(50)


def test_beyond_the_bound_it_is_busy_at_once_and_takes_more_when_there_is_room() -> None:
    world = World(slots=1, queue=2)
    assert world.answers(example(1), example(2), example(3)) == [(3, 1, AnswerStatus.BUSY)]
    assert world.answers(world.done()) == [(1, 1, AnswerStatus.ANSWERED)]
    assert world.answers(example(3, attempt=2)) == []


def test_it_says_how_many_frames_it_holds() -> None:
    world = World(slots=1, queue=2)
    world.send(example(1), example(2), example(3))
    assert world.cloud.levels == {"queue": 2}
    world.send(world.done())
    assert world.cloud.levels == {"queue": 1}


def test_the_bound_is_no_less_than_the_slots() -> None:
    world = World(slots=4, queue=1)
    assert world.answers(*(example(seq) for seq in range(1, 6))) == [(5, 1, AnswerStatus.BUSY)]


def test_a_double_of_what_is_held_is_ignored_and_its_attempt_answered() -> None:
    world = World()
    world.send(example(1), example(2))
    assert world.answers(example(1, attempt=2), example(2, attempt=3)) == []
    assert len(world.started) == 2
    assert world.answers(world.done()) == [(1, 2, AnswerStatus.ANSWERED)]
    assert world.answers(world.done()) == [(2, 3, AnswerStatus.ANSWERED)]
    assert not world.started


def test_what_was_answered_is_answered_again_without_looking() -> None:
    world = World()
    world.send(example(1))
    world.send(world.done())
    assert world.answers(example(1, attempt=5)) == [(1, 5, AnswerStatus.ANSWERED)]
    assert not world.started


def test_another_picture_by_the_same_name_is_another_frame() -> None:
    world = World()
    world.send(example(1, shade=0))
    assert world.answers(example(1, shade=200)) == []
    world.send(world.done())
    assert [e.id.seq for e in world.started] == [1]
    world.send(world.done())
    assert world.answers(example(1, shade=90)) == []
    assert len(world.started) == 1


def test_an_error_is_said_and_not_remembered() -> None:
    world = World()
    world.send(example(1))
    (answer,) = (m for m in world.send(world.done(None, "it is cut short")) if isinstance(m, CloudAnswer))
    assert (answer.status, answer.reason) == (AnswerStatus.ERROR, "it is cut short")
    assert world.answers(example(1, attempt=2)) == []
    assert len(world.started) == 1


def test_the_answers_that_are_kept_are_bounded() -> None:
    world = World()
    for seq in range(1, ANSWERS_KEPT + 2):
        world.send(example(seq))
        world.send(world.done())
    assert world.answers(example(2)) == [(2, 1, AnswerStatus.ANSWERED)]
    assert world.answers(example(1)) == []


def test_it_announces_itself_at_once_and_every_two_seconds() -> None:
    world = World(slots=4)
    (state,) = world.tick()
    assert state == WorkerState("w", "i", 4, 4, 0, 0.0, "big", "CPU", gone=False)
    assert world.cloud.wakes_at_s == world.now_s + ANNOUNCE_S
    assert world.tick(ANNOUNCE_S - 0.1) == []
    assert len(world.tick(0.1)) == 1


def test_an_announcement_has_the_queue_and_the_mean_time_of_a_frame() -> None:
    world = World()
    world.send(example(1), example(2))
    world.now_s += 0.5
    world.send(world.done())
    (state,) = world.tick(ANNOUNCE_S)
    assert (state.queue, state.service_ms) == (1, pytest.approx(500))


def test_slots_are_shared_among_the_uplinks_that_are_seen() -> None:
    world = World(slots=4)
    world.tick()
    assert world.states(example(1, uplink="a")) == []
    assert [state.share for state in world.states(example(2, uplink="b"))] == [2]
    assert [state.share for state in world.states(example(3, uplink="c"))] == [1]
    for i in range(10):
        world.send(example(4 + i, uplink=f"more-{i}"))
    assert world.tick(ANNOUNCE_S)[0].share == 1


def test_an_uplink_that_is_not_seen_has_no_share() -> None:
    world = World(slots=4)
    world.send(example(1, uplink="a"))
    world.now_s += UPLINK_SEEN_S - 1
    assert world.states(example(2, uplink="b"))[-1].share == 2
    assert [state.share for state in world.tick(1.0)] == [4]


def test_a_drain_says_goodbye_and_finishes_what_the_model_has_only() -> None:
    world = World()
    world.tick()
    world.send(example(1), example(2), example(3))
    assert not world.cloud.drained
    (state,) = world.states(Drain())
    assert (state.gone, state.queue) == (True, 0)
    assert not world.cloud.drained
    assert world.answers(example(3, attempt=2), example(4)) == [(3, 2, AnswerStatus.BUSY), (4, 1, AnswerStatus.BUSY)]
    assert world.answers(world.done()) == [(1, 1, AnswerStatus.ANSWERED)]
    assert not world.cloud.drained
    assert world.answers(world.done()) == [(2, 1, AnswerStatus.ANSWERED)]
    assert world.cloud.drained
    assert not world.started
    assert world.tick(ANNOUNCE_S) == []


def test_a_drain_of_an_idle_worker_is_over_at_once() -> None:
    world = World()
    world.send(Drain())
    assert world.cloud.drained
    assert world.cloud.wakes_at_s == float("inf")


def test_a_worker_that_is_stalled_falls_silent_and_does_not_spin() -> None:
    world = World()
    world.send(example(1))
    assert len(world.tick(STALLED_S)) == 1
    assert world.tick(ANNOUNCE_S) == []
    assert world.cloud.wakes_at_s > world.now_s
    world.send(world.done())
    assert len(world.tick(ANNOUNCE_S)) == 1


def test_other_messages_are_dropped() -> None:
    with pytest.raises(DropMessage, match="takes no Stored"):
        World().send(Stored(FrameId("gate", 1), 1, final=True, files={}))


def test_the_same_example_object_is_not_changed() -> None:
    world = World()
    first = example(1)
    world.send(first, replace(first, attempt=2))
    assert world.started[0] is first


def test_boxes_that_cannot_be_sent_are_an_error_and_nobody_waits_for_them() -> None:
    world = World()
    world.send(example(1))
    (answer,) = (m for m in world.send(world.done()) if isinstance(m, CloudAnswer))
    (error,) = (m for m in world.send(Undeliverable(answer, "too large")) if isinstance(m, CloudAnswer))
    assert (error.id, error.attempt, error.status) == (answer.id, answer.attempt, AnswerStatus.ERROR)
    assert error.reason == "its answer cannot be sent: too large"
    assert len(error.detections) == 0
    assert world.answers(Undeliverable(error, "too large")) == []


def test_how_long_a_frame_takes_is_announced_when_it_is_known_and_when_it_changes() -> None:
    world = World()
    world.tick()
    world.send(*(example(seq) for seq in range(1, 9)))
    world.now_s += 0.01
    (known,) = world.states(world.done())
    assert known.service_ms == pytest.approx(10)
    world.now_s += 0.011
    assert world.states(world.done()) == []
    said = []
    for _ in range(4):
        world.now_s += 0.1
        said += world.states(world.done())
    assert [round(state.service_ms) for state in said] == [28, 43]


def busy(world: World, *messages: Message) -> list[tuple[str, float]]:
    """Who was told to come again, and when."""
    names = {m.id: m.uplink for m in messages if isinstance(m, HardExample)}
    out = world.send(*messages)
    return [(names[m.id], m.wait_s) for m in out if isinstance(m, CloudAnswer) and m.status is AnswerStatus.BUSY]


def test_who_was_busy_comes_before_who_asks_at_once_again() -> None:
    world = World(slots=1, queue=2)
    world.send(example(1, uplink="a"), example(2, uplink="b"))
    world.now_s += 0.1
    world.send(world.done(), example(3, uplink="a"))
    assert [name for name, _ in busy(world, example(4, uplink="c"), example(5, uplink="d"))] == ["c", "d"]
    world.now_s += 0.1
    world.send(world.done())
    assert [name for name, _ in busy(world, example(6, uplink="b"))] == ["b"]  # it was answered just now
    assert busy(world, example(4, uplink="c")) == []


def test_who_comes_later_is_told_to_wait_for_those_before() -> None:
    world = World(slots=1, queue=4)
    world.send(*(example(seq, uplink=f"u{seq}") for seq in range(1, 5)))
    world.now_s += 0.1
    world.send(world.done(), example(5, uplink="u5"))
    waits = dict(busy(world, *(example(seq, uplink=f"u{seq}") for seq in range(6, 9))))
    assert waits == pytest.approx({"u6": 0.2, "u7": 0.3, "u8": 0.4})


def test_nobody_waits_for_who_does_not_come() -> None:
    world = World(slots=1, queue=2)
    world.send(example(1), example(2))
    ((_, wait_s),) = busy(world, example(3, uplink="gone"))
    world.send(world.done())
    assert [name for name, _ in busy(world, example(4, uplink="here"))] == ["here"]
    world.now_s += 1.25 * wait_s + PATIENCE_S
    assert busy(world, example(4, uplink="here")) == []


def test_places_that_nobody_comes_for_do_not_leave_it_idle() -> None:
    world = World(slots=1, queue=2)
    world.send(example(1), example(2))
    assert len(busy(world, *(example(seq, uplink=f"gone-{seq}") for seq in range(5, 9)))) == 4
    world.send(world.done())
    assert len(busy(world, example(4, uplink="here"))) == 1
    world.send(world.done())
    assert busy(world, example(4, uplink="here")) == []


def test_who_had_its_turn_comes_behind_the_others() -> None:
    world = World(slots=1, queue=2)
    world.send(example(1, uplink="a"), example(2, uplink="b"))
    assert [name for name, _ in busy(world, example(3, uplink="c"), example(4, uplink="d"))] == ["c", "d"]
    world.send(world.done())
    assert busy(world, example(3, uplink="c")) == []
    world.send(world.done())
    assert [name for name, _ in busy(world, example(5, uplink="c"))] == ["c"]
    assert busy(world, example(4, uplink="d")) == []
