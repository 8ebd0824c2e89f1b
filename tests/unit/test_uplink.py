"""The uplink: one decision for each hard frame, sent until it is stored, and nothing forgotten meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import structlog

from pipeline import wire
from pipeline.errors import DropMessage, StorageError
from pipeline.image import FileImage, Image
from pipeline.messages import (
    AnswerStatus,
    CloudAnswer,
    Detected,
    Drain,
    Example,
    Frame,
    HardExample,
    Message,
    NotStored,
    Result,
    Store,
    Stored,
    Tick,
    Undeliverable,
    UplinkProgress,
    WorkerState,
)
from pipeline.model import Counts, Detections, Ending, FrameId, Verdict
from stages.awaited import AWAITED_S
from stages.outbox import Changes, MemoryOutbox, Waiting
from stages.outbox_group import COMMIT_AT, LAZY_S
from stages.sqlite_outbox import SqliteOutbox
from stages.uplink import ENDED_KEPT, LOST_PICTURE, RESEND_MOST_S, RESEND_S, Uplink
from stages.waiting_line import LEAD, LIVE_S
from stages.workers import SILENCE_S
from tests.examples import stage_state

T = TypeVar("T")
PIXELS = np.zeros((8, 8, 3), np.uint8)
SIZE = len(Image(pixels=PIXELS).jpeg)
START_S = 1000.0


def boxes(score: float) -> Detections:
    columns = np.zeros((1, 4), np.float32), np.array([score], np.float32), np.zeros(1, np.int32)
    return Detections(*columns, ("person",))


def example(
    seq: int = 1, *, hard: bool = True, born_s: float = START_S, score: float = 0.6, stream: str = "gate"
) -> Example:
    image = Image(pixels=PIXELS)
    frame = Frame(FrameId(stream, seq), image, seq, seq / 10, born_s, Counts(seq, 0, 0, seq), {"read": 1.0})
    detected = Detected(frame, boxes(0.5), 0.4, "little", {"detect": 2.0})
    return Example(detected, Verdict(hard, "IBT", score, 0.5, "because"), {"mine": 3.0})


def worker(
    name: str = "w", incarnation: str = "1", *, share: int = 4, ms: float = 10, gone: bool = False
) -> WorkerState:
    return WorkerState(name, incarnation, 4, share, 0, ms, "big", "CPU", gone)


def stored(seq: int = 1, revision: int = 1, *, final: bool | None = None) -> Stored:
    return Stored(FrameId("gate", seq), revision, revision == 2 if final is None else final, {})


class World:
    """An uplink, its clock, its outbox, and all that it has said."""

    def __init__(
        self, outbox: MemoryOutbox | SqliteOutbox | None = None, start_s: float = START_S, **options: float
    ) -> None:
        self.now_s = start_s
        self.outbox = outbox or MemoryOutbox()
        self.said: list[Message] = []
        self.options = {"expires_s": 600.0, **options}
        self.uplink = self.make("i")

    def make(self, incarnation: str) -> Uplink:
        return Uplink(
            "edge",
            incarnation,
            self.outbox,
            lambda: self.now_s,
            streams=("gate",),
            **self.options,  # type: ignore[arg-type]
        )

    def send(self, *messages: Message, idle: bool = True) -> list[Message]:
        """Hand messages over; where it is idle, no other message waits behind each of them."""
        out: list[Message] = []
        for message in messages:
            out += self.uplink.process(message)
            if idle and self.uplink.wakes_at_s <= self.now_s:
                out += self.uplink.process(Tick(self.now_s))
        self.said += out
        return out

    def tick(self, seconds: float = 0.0) -> list[Message]:
        """Let time pass at once, with one tick at its end."""
        self.now_s += seconds
        return self.send(Tick(self.now_s))

    def sleep(self, seconds: float) -> list[tuple[float, Message]]:
        """Let time pass, with a tick whenever the uplink wants one; what it says, and after how long."""
        said: list[tuple[float, Message]] = []
        begun_s, end_s = self.now_s, self.now_s + seconds
        while (wakes_at_s := self.uplink.wakes_at_s) <= end_s:
            self.now_s = max(self.now_s, wakes_at_s)
            said += [(self.now_s - begun_s, message) for message in self.tick()]
        self.now_s = end_s
        return said

    def alive(self, seconds: float, *workers: WorkerState) -> list[tuple[float, Message]]:
        """Sleep while these workers announce themselves every second."""
        said: list[tuple[float, Message]] = []
        for second in range(int(seconds)):
            said += [(second, message) for message in self.send(*workers)]
            said += [(second + at_s, message) for at_s, message in self.sleep(1.0)]
        return said

    def offer(self, seq: int = 1) -> HardExample:
        """The last offer of a frame."""
        return [offer for offer in of(HardExample, self.said) if offer.id.seq == seq][-1]

    def answer(self, seq: int = 1, **changes: Any) -> CloudAnswer:
        return answer_to(self.offer(seq), **changes)

    def decided(self, seq: int = 1) -> list[Result]:
        return [result for result in of(Result, self.said) if result.id.seq == seq and result.revision == 2]

    def kept(self) -> list[Waiting]:
        """What is in the outbox when the lazy changes are too."""
        self.tick(LAZY_S)
        return list(self.outbox.entries())

    def hold(self, *seqs: int) -> None:
        """Hard frames whose revision 1 is stored."""
        for seq in seqs:
            self.send(example(seq), stored(seq))


def answer_to(
    offer: HardExample,
    status: AnswerStatus = AnswerStatus.ANSWERED,
    *,
    attempt: int | None = None,
    name: str | None = None,
    incarnation: str = "1",
    reason: str = "",
) -> CloudAnswer:
    seen = boxes(0.9) if status is AnswerStatus.ANSWERED else Detections.empty()
    return CloudAnswer(
        offer.id, name or offer.worker, incarnation, attempt or offer.attempt, status, seen, "big", reason, {"big": 9.0}
    )


def of(kind: type[T], messages: Sequence[Message]) -> list[T]:
    return [message for message in messages if isinstance(message, kind)]


def offers(messages: Sequence[Message]) -> list[int]:
    return [offer.id.seq for offer in of(HardExample, messages)]


# Revision 1


def test_an_easy_example_is_answered_and_passed_on_as_final() -> None:
    world = World()
    world.now_s += 0.5
    said = world.send(example(hard=False))
    (result,), (store,) = of(Result, said), of(Store, said)
    assert (result.revision, result.ending, result.source, result.final) == (1, Ending.EASY, "edge", True)
    assert (result.latency_ms, result.steps_ms) == (500.0, {"mine": 3.0})
    assert store.result is result
    assert store.image is not None
    assert list(world.outbox.entries()) == []


def test_a_hard_example_passes_on_when_the_outbox_has_it() -> None:
    world = World()
    said = world.send(example())
    (result,), (store,) = of(Result, said), of(Store, said)
    assert (result.ending, result.final, store.result) == (None, False, result)
    assert [entry.id.seq for entry in world.outbox.entries()] == [1]
    assert said.index(result) < said.index(store)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("ended", [False, True])
def test_a_doubled_example_is_stored_again_and_told_nobody(*, hard: bool, ended: bool) -> None:
    world = World()
    (first,) = of(Store, world.send(worker(), example(hard=hard)))
    if ended and hard:
        world.send(stored(), world.answer(), stored(revision=2))
    elif ended:
        world.send(stored(final=True))
    world.now_s += 5
    again = [message for message in world.send(example(hard=hard)) if not isinstance(message, UplinkProgress)]
    (store,) = of(Store, again)
    assert again == [store]
    assert store.result is first.result
    assert store.image is not None


def another_picture(seq: int = 1, *, hard: bool = True) -> Example:
    """The number of a frame whose reader has died, given by the next one to another picture."""
    came = example(seq, hard=hard)
    frame = replace(came.detected.frame, image=Image(pixels=PIXELS + 9), captured_ns=7)
    elsewhere = replace(boxes(0.5), boxes=np.ones((1, 4), np.float32))
    return replace(came, detected=replace(came.detected, frame=frame, candidates=elsewhere))


def test_the_frames_that_are_remembered_are_bounded() -> None:
    world = World()
    for seq in range(1, 2 * ENDED_KEPT):
        world.send(example(seq, hard=False))
    assert len(world.uplink._ended) == ENDED_KEPT


# To the worker and back


def test_a_hard_frame_is_offered_to_a_worker_that_is_there() -> None:
    world = World(expires_s=60)
    assert offers(world.send(example())) == []
    world.now_s += 10
    (offer,) = of(HardExample, world.send(worker()))
    assert (offer.worker, offer.uplink, offer.attempt, offer.expires_s) == ("w", "edge", 1, 50.0)
    assert wire.encode("helmet", offer, world.now_s).expiry_s == 50


def test_no_more_is_offered_than_the_worker_shares() -> None:
    world = World()
    world.send(worker(share=2))
    said = world.send(example(1), example(2), example(3))
    assert offers(said) == [1, 2]
    assert offers(world.send(world.answer(1))) == [3]


def test_the_answer_ends_the_frame_by_the_clouds_boxes() -> None:
    world = World()
    world.send(worker())
    world.hold(1)
    world.now_s += 0.25
    said = world.send(world.answer())
    (result,), (store,) = of(Result, said), of(Store, said)
    assert (result.revision, result.ending, result.source, result.final) == (2, Ending.CLOUD, "cloud", True)
    assert (result.worker, result.cloud_model, result.edge_model) == ("w", "big", "little")
    assert result.detections.best == pytest.approx(0.9)
    assert (result.latency_ms, result.upload_bytes) == (250.0, SIZE)
    assert result.steps_ms == {"mine": 3.0, "big": 9.0, "cloud_trip": 250.0}
    assert (store.result, store.image) == (result, None)
    world.send(stored(revision=2))
    assert world.kept() == []
    assert world.uplink._held == {}


def test_a_hard_frame_is_held_until_revision_2_is_stored() -> None:
    world = World()
    world.send(worker())
    world.hold(1)
    world.send(world.answer())
    (entry,) = world.outbox.entries()
    assert entry.decided is not None
    world.send(stored(1))
    assert world.kept() != []
    world.send(stored(1, 2))
    assert world.kept() == []


def test_revision_2_waits_for_revision_1() -> None:
    world = World()
    world.send(worker(), example())
    said = world.send(world.answer())
    assert len(of(Result, said)) == 1
    assert of(Store, said) == []
    (store,) = of(Store, world.send(stored()))
    assert store.result.revision == 2


def test_a_decided_frame_whose_stored_was_lost_asks_the_sink_for_it() -> None:
    world = World()
    world.send(worker(), example())
    world.send(world.answer())
    ((at_s, store),) = [(at_s, m) for at_s, m in world.sleep(RESEND_S) if isinstance(m, Store)]
    assert at_s == RESEND_S
    assert store.result.revision == 1
    assert store.image is not None
    (store,) = of(Store, world.send(stored()))
    assert store.result.revision == 2
    (entry,) = world.kept()
    assert entry.stored
    assert entry.store.image is None


def test_one_decides_and_late_answers_only_count() -> None:
    world = World()
    world.send(worker("a"), worker("b"))
    world.hold(1)
    first = world.offer()
    world.send(worker(first.worker, gone=True))
    second = world.offer()
    assert {first.worker, second.worker} == {"a", "b"}
    world.send(answer_to(second))
    said = world.send(answer_to(first))
    assert of(Result, said) == []
    assert of(Store, said) == []
    assert [result.worker for result in world.decided()] == [second.worker]
    world.send(stored(revision=2), answer_to(first), answer_to(second, AnswerStatus.BUSY))
    assert of(UplinkProgress, world.tick(1.0))[-1].late == 2


def test_the_answer_of_a_worker_that_is_gone_still_counts() -> None:
    world = World()
    world.send(worker())
    world.hold(1)
    answer = world.answer()
    world.send(worker(gone=True), answer)
    assert [result.ending for result in world.decided()] == [Ending.CLOUD]


def test_the_first_answer_counts_even_of_a_worker_that_was_given_up() -> None:
    world = World()
    world.send(worker("a"))
    world.hold(1)
    answer = world.answer()
    world.send(worker("b"), worker("a", gone=True))
    assert world.offer().worker == "b"
    world.send(answer)
    assert [result.worker for result in world.decided()] == ["a"]


def test_due_times_that_were_replaced_do_not_fill_the_memory() -> None:
    world = World()
    world.send(worker())
    for seq in range(1, 1000):
        world.hold(seq)
        world.send(world.answer(seq), stored(seq, 2))
        world.said.clear()
    assert world.uplink._held == {}
    assert len(world.uplink._timers) < 200


def test_an_answer_of_a_worker_that_was_never_asked_is_not_taken() -> None:
    world = World()
    world.send(worker())
    world.hold(1)
    world.send(world.answer(name="stranger"))
    assert world.decided() == []


# Busy, errors


def test_it_says_what_it_holds_and_how_much_workers_would_take() -> None:
    world = World()
    assert world.uplink.levels == {"outbox": 0, "outbox_bytes": 0, "workers": 0, "credit": 0}
    world.send(worker("a", share=1), worker("b", share=2), example(1), example(2))
    assert world.uplink.levels == {"outbox": 2, "outbox_bytes": 2 * SIZE, "workers": 2, "credit": 1}
    world.send(stored(1), world.answer(1))
    assert world.uplink.levels == {"outbox": 2, "outbox_bytes": SIZE, "workers": 2, "credit": 2}
    world.send(stored(1, 2))
    assert world.uplink.levels["outbox"] == 1


def test_busy_is_offered_elsewhere() -> None:
    world = World()
    world.send(worker("a"), worker("b"), example())
    first = world.offer()
    (again,) = of(HardExample, world.send(answer_to(first, AnswerStatus.BUSY)))
    assert again.worker != first.worker
    assert again.attempt == 2


def test_busy_of_the_only_worker_waits_a_moment_and_costs_no_try() -> None:
    world = World()
    world.send(worker(), example())
    for _ in range(5):
        assert offers(world.send(world.answer(status=AnswerStatus.BUSY))) == []
        assert [(at_s, m.attempt) for at_s, m in world.sleep(0.5) if isinstance(m, HardExample)] == [
            (0.25, world.offer().attempt)
        ]
    assert world.decided() == []


def test_busy_of_the_only_worker_waits_until_it_is_our_turn() -> None:
    world = World()
    world.send(worker(), example())
    world.send(replace(world.answer(status=AnswerStatus.BUSY), wait_s=3.0))
    assert [at_s for at_s, m in world.alive(5, replace(worker(), queue=16)) if isinstance(m, HardExample)] == [3.0]


def test_the_frames_of_a_worker_whose_process_died_are_offered_elsewhere_at_once() -> None:
    world = World()
    world.send(worker("a"), example())
    world.send(worker("b"))
    assert world.offer().worker == "a"
    died = replace(stage_state("a", streams=(), online=False), incarnation="1")
    (again,) = of(HardExample, world.send(died))
    assert (again.worker, again.attempt) == ("b", 2)


def test_a_slow_worker_helps_while_many_frames_wait() -> None:
    world = World()
    world.send(worker("quick", share=1, ms=5), worker("slow", share=1, ms=50))
    world.send(example(1), example(2))
    assert [offer.worker for offer in of(HardExample, world.said)] == ["quick"]
    world.send(*(example(seq) for seq in range(3, 15)))
    assert [offer.worker for offer in of(HardExample, world.said)] == ["quick", "slow"]


def test_a_slow_worker_is_shared_by_two_files_whichever_is_harder() -> None:
    """A file's reader waits at so many open hard frames, and brings the next one when one of them has ended."""
    world = World(budget_bytes=1 << 40)
    seqs = {"gate": 0, "yard": 0}

    def bring(stream: str) -> None:
        seqs[stream] += 1
        world.send(example(seqs[stream], born_s=world.now_s, stream=stream, score={"gate": 0.9, "yard": 0.1}[stream]))

    for stream in [*["gate"] * 8, *["yard"] * 8]:
        bring(stream)
    world.tick(LIVE_S)
    slow = worker(share=1, ms=500)
    world.send(slow)
    for _ in range(40):
        offer = of(HardExample, world.said)[-1]
        world.now_s += 0.5
        world.send(answer_to(offer), slow)
        bring(offer.id.stream)
    served = [offer.id.stream for offer in of(HardExample, world.said)]
    assert abs(served.count("gate") - served.count("yard")) <= LEAD


def test_three_errors_fail_the_frame_with_the_last_reason() -> None:
    world = World(tries=3)
    world.send(worker())
    world.hold(1)
    for attempt in (1, 2):
        said = world.send(world.answer(status=AnswerStatus.ERROR, reason="it is cut short"))
        assert [offer.attempt for offer in of(HardExample, said)] == [attempt + 1]
        assert [entry.tries for entry in world.outbox.entries()] == [attempt]
    world.send(world.answer(status=AnswerStatus.ERROR, reason="it is cut short"))
    (result,) = world.decided()
    assert (result.ending, result.reason) == (Ending.FAILED, "tried 3 times; worker w: it is cut short")
    assert result.source == "edge"
    assert result.detections.best == 0.5


def test_an_error_that_comes_twice_is_one_try() -> None:
    world = World()
    world.send(worker(share=1), example())
    error = world.answer(status=AnswerStatus.ERROR)
    world.send(worker(share=0), error, error, error)
    assert [entry.tries for entry in world.outbox.entries()] == [1]
    world.send(worker(share=1), error)
    assert [entry.tries for entry in world.outbox.entries()] == [1]


# Time


def test_a_frame_that_nobody_answers_expires_and_says_why() -> None:
    world = World(expires_s=60)
    world.hold(1)
    ends = [(at_s, m) for at_s, m in world.sleep(61) if isinstance(m, Result)]
    ((at_s, result),) = ends
    assert (at_s, result.ending, result.reason) == (60.0, Ending.EXPIRED, "no answer from the cloud within 60 s")
    assert (result.revision, result.source, result.upload_bytes) == (2, "edge", 0)


def test_the_deadline_counts_from_the_capture() -> None:
    world = World(expires_s=60)
    world.send(example(born_s=START_S - 20), stored())
    ((at_s, _),) = [(at_s, m) for at_s, m in world.sleep(61) if isinstance(m, Result)]
    assert at_s == 40.0


def test_what_is_lost_is_offered_again_with_doubling_deadlines() -> None:
    world = World()
    world.send(worker(), example())
    said = [(int(at_s), m.attempt) for at_s, m in world.alive(140, worker()) if isinstance(m, HardExample)]
    assert said == [(10, 2), (30, 3), (70, 4), (130, 5)]


def test_only_frames_that_were_sent_once_are_measured() -> None:
    world = World()
    world.send(worker(), example(1))
    world.alive(11, worker())
    world.send(world.answer(1))
    assert world.uplink._trips.mean_s is None
    world.send(example(2, born_s=world.now_s))
    world.now_s += 0.5
    world.send(world.answer(2))
    assert world.uplink._trips.mean_s == 0.5


def test_upload_bytes_count_every_offer() -> None:
    world = World()
    world.send(worker())
    world.hold(1)
    world.alive(35, worker())
    world.send(world.answer())
    assert [result.upload_bytes for result in world.decided()] == [3 * SIZE]


# Workers that go


def test_silence_offers_the_frames_elsewhere_in_their_order() -> None:
    world = World()
    world.send(worker("a"), example(1), example(2), example(3))
    for _ in range(2):
        world.sleep(2)
        world.send(worker("b"))
    assert [(at_s, m.id.seq) for at_s, m in world.sleep(2) if isinstance(m, HardExample)] == [(2, 1), (2, 2), (2, 3)]
    assert {world.offer(seq).worker for seq in (1, 2, 3)} == {"b"}


def test_a_goodbye_offers_the_frames_elsewhere_at_once() -> None:
    world = World()
    world.send(worker("a"), example(1), example(2), worker("b"))
    assert offers(world.send(worker("a", gone=True))) == [1, 2]
    assert [entry.tries for entry in world.outbox.entries()] == [0, 0]


def test_a_new_incarnation_is_offered_its_frames_again_and_only_the_one_in_work_is_blamed() -> None:
    """That one comes last: it is offered when the outbox has its try."""
    world = World()
    world.send(worker(), example(1), example(2), example(3))
    assert offers(world.send(worker(incarnation="2"))) == [2, 3, 1]
    assert [entry.tries for entry in world.outbox.entries()] == [1, 0, 0]


def test_a_frame_that_ends_three_workers_has_failed() -> None:
    world = World(tries=3)
    world.send(worker())
    world.hold(1, 2)
    world.send(worker(incarnation="2"))
    world.send(world.answer(2, incarnation="2"), stored(2, 2), worker(incarnation="3"))
    assert world.decided(1) == []
    world.send(worker(incarnation="4"))
    (result,) = world.decided(1)
    assert result.ending is Ending.FAILED
    assert result.reason == "tried 3 times; worker w ended while it had this frame in work"
    assert [entry.tries for entry in world.kept()] == [3]


def test_the_frame_of_a_silent_worker_that_comes_back_anew_stays_where_it_is_now() -> None:
    world = World()
    world.send(worker("a"), example())
    for _ in range(3):
        world.sleep(2)
        world.send(worker("b"))
    world.tick()
    assert offers(world.send(worker("a", incarnation="2"))) == []
    assert [entry.tries for entry in world.outbox.entries()] == [1]
    assert world.offer().worker == "b"


def test_an_answer_keeps_a_worker_alive_and_busy_does_not() -> None:
    world = World()
    world.send(worker(share=1), example(1), example(2))
    world.now_s += 4
    world.send(world.answer(1))
    world.tick(5.9)
    assert len(world.uplink._workers) == 1
    world.send(world.answer(2, status=AnswerStatus.BUSY))
    world.tick(0.2)
    assert len(world.uplink._workers) == 0


# The budget


def test_over_the_budget_the_least_hard_expire_first() -> None:
    world = World(budget_bytes=2 * SIZE)
    for seq, score in ((1, 0.9), (2, 0.6), (3, 0.7)):
        world.send(example(seq, score=score), stored(seq))
    (result,) = of(Result, [m for m in world.said if isinstance(m, Result) and m.revision == 2])
    assert (result.id.seq, result.ending) == (2, Ending.EXPIRED)
    assert result.reason == (f"the outbox is over its budget of {2 * SIZE} bytes, and this was its least hard frame")


def test_a_frame_that_goes_over_the_budget_itself_is_told_in_order() -> None:
    world = World(budget_bytes=SIZE)
    world.send(example(1, score=0.9))
    said = world.send(example(2, score=0.6))
    assert [(r.id.seq, r.revision) for r in of(Result, said)] == [(2, 1), (2, 2)]
    world.send(stored(2), stored(2, 2), stored(1))
    assert world.uplink._undecided.size_bytes == SIZE


# Down to the sink


def stores(said: Sequence[tuple[float, Message]]) -> list[tuple[float, int]]:
    return [(at_s, m.result.revision) for at_s, m in said if isinstance(m, Store)]


def test_revision_2_is_sent_until_it_is_stored() -> None:
    world = World()
    world.send(worker())
    world.hold(1)
    world.send(world.answer())
    assert stores(world.sleep(200)) == [(5.0, 2), (15.0, 2), (35.0, 2), (75.0, 2), (135.0, 2), (195.0, 2)]
    assert len(world.decided()) == 1
    world.send(stored(revision=2))
    assert stores(world.sleep(1000)) == []


def test_what_the_sink_cannot_store_is_not_sent_for_a_minute() -> None:
    world = World()
    world.send(worker())
    world.hold(1)
    world.send(world.answer(), NotStored(FrameId("gate", 1), 2, "the disk is full"))
    assert [at_s for at_s, _ in stores(world.sleep(RESEND_MOST_S + 1))] == [RESEND_MOST_S]


def test_not_stored_does_not_keep_an_undecided_frame_from_its_worker() -> None:
    world = World()
    world.send(worker(), example(), NotStored(FrameId("gate", 1), 1, "the disk is full"))
    assert [int(at_s) for at_s, m in world.alive(12, worker()) if isinstance(m, HardExample)] == [10]


def test_a_frame_that_ended_elsewhere_is_let_go() -> None:
    world = World()
    world.send(worker(), example(), stored(final=True))
    assert world.kept() == []
    assert world.uplink._undecided.size_bytes == 0


def test_a_hard_example_that_cannot_be_sent_has_failed() -> None:
    world = World()
    world.send(worker())
    world.hold(1)
    refused = Undeliverable(world.offer(), "larger than the broker takes")
    world.send(refused, refused)
    (result,) = world.decided()
    assert (result.ending, result.reason) == (Ending.FAILED, "larger than the broker takes")
    assert result.detections.best == 0.5


@pytest.mark.parametrize("hard", [False, True])
def test_a_revision_1_that_cannot_be_sent_has_failed_without_picture_and_boxes(*, hard: bool) -> None:
    world = World()
    (store,) = of(Store, world.send(example(hard=hard)))
    said = world.send(Undeliverable(store, "larger than the broker takes"))
    (result,), (failed,) = of(Result, said), of(Store, said)
    assert (result.revision, result.ending, result.reason) == (1, Ending.FAILED, "larger than the broker takes")
    assert (failed.result, failed.image, len(result.detections)) == (result, None, 0)
    assert world.kept() == []
    (again,) = of(Store, world.send(example(hard=hard)))
    assert (again.result, again.image) == (result, None)


def test_a_revision_2_that_cannot_be_sent_has_failed_without_boxes_and_is_sent_until_stored() -> None:
    world = World()
    world.send(worker())
    world.hold(1)
    (store,) = of(Store, world.send(world.answer()))
    (failed,) = of(Store, world.send(Undeliverable(store, "larger than the broker takes")))
    assert (failed.result.revision, failed.result.ending) == (2, Ending.FAILED)
    assert len(failed.result.detections) == 0
    assert of(Store, world.send(Undeliverable(failed, "larger than the broker takes"))) == []
    assert len(stores(world.sleep(RESEND_MOST_S))) > 0


# Reports and the end


def test_progress_comes_once_a_second_and_only_when_it_changed() -> None:
    world = World()
    (first,) = of(UplinkProgress, world.tick())
    assert first == UplinkProgress("gate", "i", (), 0, 0, 0, 0, "")
    assert of(UplinkProgress, world.send(example(1), example(2))) == []
    ((at_s, second),) = [(at_s, m) for at_s, m in world.sleep(5) if isinstance(m, UplinkProgress)]
    assert (at_s, second.queued, second.offered, second.waiting) == (1.0, 2, 0, "no worker is there")
    (third,) = of(UplinkProgress, world.send(worker(share=1)))
    assert (third.queued, third.offered, third.workers, third.waiting) == (1, 1, 1, "")
    assert of(UplinkProgress, world.send(worker(share=1))) == []
    assert [m for _, m in world.sleep(4) if isinstance(m, UplinkProgress)] == []


def test_an_uplink_is_introduced_before_its_first_frame() -> None:
    """What the sink has of a live stream when it meets an uplink, and that one does not know, is lost."""
    said = World().send(example(1))
    assert isinstance(said[0], UplinkProgress)
    assert [type(message) for message in said[1:]] == [Result, Store]


def test_a_decided_frame_is_not_queued() -> None:
    world = World(expires_s=10.0)
    world.send(example(1), example(2), stored(1), stored(2))
    last = [m for _, m in world.sleep(12) if isinstance(m, UplinkProgress)][-1]
    assert (last.queued, last.waiting) == (0, "")


def test_progress_tells_that_the_last_worker_fell_silent() -> None:
    world = World()
    world.send(worker(), example())
    assert [m.workers for _, m in world.sleep(7) if isinstance(m, UplinkProgress)] == [1, 0]


def test_it_is_drained_when_the_sink_has_all_but_what_waits_for_the_cloud() -> None:
    world = World()
    assert world.uplink.drained
    world.send(worker(), example(1, hard=False))
    assert world.uplink.drained
    world.send(example(2))
    assert not world.uplink.drained
    world.send(stored(2))
    world.tick(LAZY_S)
    assert world.uplink.drained
    world.send(world.answer(2))
    assert not world.uplink.drained
    world.send(stored(2, 2))
    assert not world.uplink.drained
    world.tick(LAZY_S)
    assert world.uplink.drained


def test_a_drain_leaves_no_change_for_later() -> None:
    world = World()
    world.send(worker(), example(1), stored(1))
    assert not world.uplink.drained
    world.send(Drain())
    assert world.uplink.drained
    world.send(world.answer(1), stored(1, 2))
    assert world.uplink.drained
    assert list(world.outbox.entries()) == []


def test_a_drain_offers_nothing_more_and_asks_for_what_may_not_be_stored() -> None:
    world = World()
    world.send(example(1), stored(1), example(2))
    said = world.send(Drain())
    assert [store.id.seq for store in of(Store, said)] == [2]
    assert offers(world.send(worker())) == []


def test_other_messages_are_dropped() -> None:
    with pytest.raises(DropMessage, match="takes no Frame"):
        World().send(example().detected.frame)


# A new process with an old outbox


def again(old: World, **options: float) -> World:
    """A new process with the outbox of an old one, at the same time."""
    old.tick(LAZY_S)
    return World(old.outbox, old.now_s, **options)


def test_what_was_not_decided_is_said_again_and_offered() -> None:
    old = World()
    old.hold(1, 2)
    new = again(old)
    said = new.tick()
    assert [(r.id.seq, r.revision, r.ending) for r in of(Result, said)] == [(1, 1, None), (2, 1, None)]
    assert of(Store, said) == []
    (progress,) = of(UplinkProgress, said)
    assert (progress.recovered, progress.queued) == ((1, 2), 2)
    assert new.uplink.drained
    assert offers(new.send(worker())) == [1, 2]
    new.send(new.answer(1))
    assert [result.ending for result in new.decided(1)] == [Ending.CLOUD]
    assert of(Store, new.tick(0.1)) == []


def test_what_was_decided_is_sent_again_and_nothing_decided_anew() -> None:
    old = World()
    old.send(worker())
    old.hold(1)
    old.send(old.answer())
    new = again(old, expires_s=10)
    said = new.tick()
    (result,), (store,) = of(Result, said), of(Store, said)
    assert (result.revision, result.ending, store.result, store.image) == (2, Ending.CLOUD, result, None)
    assert offers(new.send(worker())) == []
    assert {revision for _, revision in stores(new.sleep(100))} == {2}
    assert len(new.decided()) == 1
    new.send(stored(revision=2))
    assert new.kept() == []


def test_revision_1_is_left_to_the_reader_who_brings_the_frame_again() -> None:
    old = World()
    old.send(example(1), example(2))
    new = again(old)
    assert of(Store, new.tick()) == []
    assert new.uplink.drained
    came = example(1)
    (store,) = of(Store, new.send(came))
    assert store.image is came.detected.frame.image
    assert not new.uplink.drained
    assert of(Store, new.send(stored(1))) == []


@pytest.mark.parametrize("hard", [False, True])
def test_revision_1_is_sent_from_the_outbox_when_the_reader_has_gone_on(*, hard: bool) -> None:
    old = World()
    old.send(example(1), example(3))
    new = again(old)
    new.tick()
    stores = of(Store, new.send(example(2, hard=hard)))
    assert [store.id.seq for store in stores] == [1, 2]
    assert stores[0].image is not None
    assert [store.id.seq for store in of(Store, new.send(example(4)))] == [3, 4]


def test_revision_1_is_sent_from_the_outbox_when_no_reader_comes() -> None:
    old = World()
    old.send(example(1))
    new = again(old)
    assert stores(new.sleep(AWAITED_S + 1)) == [(AWAITED_S, 1)]


def test_what_was_decided_before_revision_1_was_stored_begins_with_that() -> None:
    old = World()
    old.send(worker(), example())
    old.send(old.answer())
    new = again(old)
    said = new.tick()
    assert [result.revision for result in of(Result, said)] == [2]
    assert of(Store, said) == []
    assert [store.result.revision for store in of(Store, new.send(example(1)))] == [1]
    (store,) = of(Store, new.send(stored()))
    assert store.result.revision == 2


def test_what_was_decided_and_awaited_is_asked_for_in_time_when_the_reader_has_gone_on() -> None:
    old = World()
    old.send(worker(), example())
    old.send(old.answer())
    new = again(old)
    assert [store.id.seq for store in of(Store, new.send(example(2, hard=False)))] == [1, 2]
    assert stores(new.sleep(RESEND_S)) == [(RESEND_S, 1)]


def test_tries_survive_the_process() -> None:
    old = World(tries=2)
    old.send(worker())
    old.hold(1)
    old.send(old.answer(status=AnswerStatus.ERROR))
    new = again(old, tries=2)
    new.send(worker())
    new.send(new.answer(status=AnswerStatus.ERROR, reason="cut short"))
    assert [result.reason for result in new.decided()] == ["tried 2 times; worker w: cut short"]


def test_what_was_uploaded_counts_on_in_the_next_process() -> None:
    old = World()
    old.send(worker())
    old.hold(1)
    assert [entry.uploaded_bytes for entry in old.kept()] == [SIZE]
    new = again(old)
    new.send(worker())
    new.send(new.answer())
    assert [result.upload_bytes for result in new.decided()] == [2 * SIZE]


def test_age_goes_on_while_no_process_runs() -> None:
    old = World(expires_s=60)
    old.hold(1)
    old.now_s += 50
    new = again(old, expires_s=60)
    ((at_s, result),) = [(at_s, m) for at_s, m in new.sleep(20) if isinstance(m, Result) and m.revision == 2]
    assert (at_s, result.ending, result.latency_ms) == (9.0, Ending.EXPIRED, 60_000.0)


def test_what_is_too_much_for_a_smaller_budget_expires_at_the_start() -> None:
    old = World()
    old.send(example(1, score=0.9), example(2, score=0.6), stored(1), stored(2))
    new = again(old, budget_bytes=SIZE)
    new.tick()
    assert [result.id.seq for result in of(Result, new.said) if result.ending is Ending.EXPIRED] == [2]


def test_a_frame_that_is_read_again_is_the_one_in_the_outbox() -> None:
    old = World()
    old.hold(1)
    new = again(old)
    new.tick()
    said = new.send(example(1))
    assert of(Result, said) == []
    assert len(of(Store, said)) == 1
    assert len(new.uplink._held) == 1


@pytest.mark.parametrize("was_stored", [False, True])
def test_a_frame_whose_picture_is_lost_has_failed_and_no_other_with_it(*, was_stored: bool) -> None:
    old = World()
    old.send(example(1), example(2), *((stored(1), stored(2)) if was_stored else ()))
    old.tick(LAZY_S)
    entry = old.outbox._kept[FrameId("gate", 1)]
    old.outbox._kept[entry.id] = replace(entry, store=replace(entry.store, image=None))
    new = again(old)
    said = new.tick()
    (result,) = [result for result in of(Result, said) if result.final]
    assert (result.id.seq, result.revision) == (1, 2 if was_stored else 1)
    assert (result.ending, result.reason) == (Ending.FAILED, LOST_PICTURE)
    (store,) = of(Store, said)
    assert store.result is result
    assert offers(new.send(worker())) == [2]


@pytest.mark.parametrize("decided", [False, True])
def test_a_picture_that_is_lost_later_ends_its_frame_too(tmp_path: Path, *, decided: bool) -> None:
    old = World(expires_s=10.0 if decided else 600.0)
    old.send(example(1), example(2, hard=False))
    old.tick(10.0)
    entry = old.outbox._kept[FrameId("gate", 1)]
    lost = FileImage(tmp_path / "lost.jpeg", 8, 8, SIZE)
    old.outbox._kept[entry.id] = replace(entry, store=replace(entry.store, image=lost))
    new = again(old)
    new.tick()
    said = new.send(example(3, hard=False))
    (result,) = [result for result in of(Result, said) if result.id.seq == 1]
    assert (result.revision, result.ending) == (1, Ending.FAILED)
    assert "lost.jpeg cannot be read" in result.reason
    assert [(s.result, s.image) for s in of(Store, said) if s.id.seq == 1] == [(result, None)]
    assert new.uplink._held == {}


@pytest.mark.parametrize("decided", [False, True])
def test_a_picture_that_is_lost_while_the_sink_waits_for_room_ends_its_frame_too(
    tmp_path: Path, *, decided: bool
) -> None:
    """The sink has to let such a frame go, and has no word for that: who sent it finds out when it asks again."""
    file, jpeg = tmp_path / "1.jpeg", Image(pixels=PIXELS).jpeg
    file.write_bytes(jpeg)
    old = World(expires_s=10.0 if decided else 600.0)
    old.send(example(1))
    old.tick(10.0)
    entry = old.outbox._kept[FrameId("gate", 1)]
    old.outbox._kept[entry.id] = replace(entry, store=replace(entry.store, image=FileImage(file, 8, 8, len(jpeg))))
    new = again(old, expires_s=30.0)
    new.tick()
    assert [store.id.seq for store in of(Store, new.send(example(2, hard=False)))] == [1, 2]
    new.send(NotStored(FrameId("gate", 1), 1, "the disk is full"))
    file.unlink()
    said = [message for _, message in new.sleep(RESEND_MOST_S)]
    assert [(r.revision, r.ending) for r in of(Result, said) if r.revision == 1] == [(1, Ending.FAILED)]
    assert new.uplink._held == {}


def test_what_is_offered_at_once_is_not_read_from_the_disk_again(tmp_path: Path) -> None:
    world = World(SqliteOutbox(tmp_path, "this test", time.monotonic))
    world.send(worker(share=1), example(1))
    (noted,) = [change for change in world.uplink._group.changes.values() if change]
    world.send(example(2))
    image = world.offer(1).image
    assert not isinstance(image, FileImage)
    assert image._pixels is None
    assert image.jpeg == (tmp_path / "gate.1.jpeg").read_bytes()
    # And all that waits takes no memory for its picture, also what waits for a lazy commit.
    waiting = [held.waiting for held in world.uplink._held.values()]
    assert len(waiting) == 2
    assert all(isinstance(one.store.image, FileImage) for one in (*waiting, noted))
    world.send(world.answer(1))
    assert isinstance(world.offer(2).image, FileImage)


def test_the_word_that_an_easy_frame_is_stored_changes_nothing() -> None:
    world = World()
    world.send(example(1, hard=False), example(2))
    before = world.uplink.wakes_at_s, world.uplink.levels
    assert world.send(stored(1, final=True), idle=False) == []
    assert (world.uplink.wakes_at_s, world.uplink.levels) == before


def test_the_round_trip_of_a_recovered_frame_is_not_measured() -> None:
    """The answer may be one to the offer of the process before."""
    old = World()
    old.hold(1)
    new = again(old)
    new.send(worker())
    assert new.offer().attempt == 2
    new.send(new.answer())
    assert [result.ending for result in new.decided()] == [Ending.CLOUD]
    assert new.uplink._trips.mean_s is None


def test_an_answer_to_the_process_before_is_not_late() -> None:
    old = World()
    old.send(worker())
    old.hold(1)
    answer = old.answer()
    new = again(old)
    new.send(answer)
    assert of(UplinkProgress, new.tick(1.0)) == []
    new.send(worker())
    assert new.decided() == []
    assert offers(new.said) == [1]


# On disk first


class FullOutbox(MemoryOutbox):
    """An outbox that takes nothing, or no new pictures, while it is told so."""

    def __init__(self) -> None:
        super().__init__()
        self.takes: Callable[[Changes], bool] = lambda changes: True

    def write(self, changes: Changes) -> None:
        if not self.takes(changes):
            raise StorageError("the disk is full")
        super().write(changes)


def full(world: World, *, of_pictures: bool = False) -> None:
    """Let the world's outbox take nothing, or no frame that is new to it."""
    outbox = world.outbox
    assert isinstance(outbox, FullOutbox)
    outbox.takes = lambda changes: of_pictures and outbox._kept.keys() >= changes.keys()


def room(world: World) -> None:
    """Let it take everything again."""
    assert isinstance(world.outbox, FullOutbox)
    world.outbox.takes = lambda changes: True


def test_a_try_is_on_disk_before_the_frame_is_offered_again() -> None:
    world = World()
    world.send(worker())
    world.hold(1)
    world.tick(SILENCE_S)
    back = world.send(worker(incarnation="2"), idle=False)
    assert offers(back) == []
    assert offers(world.tick()) == [1]
    assert [entry.tries for entry in world.outbox.entries()] == [1]


def test_nothing_is_said_of_a_hard_frame_before_the_outbox_has_it() -> None:
    world = World()
    world.send(worker())
    assert world.send(example(1), idle=False) == []
    assert list(world.outbox.entries()) == []
    said = world.tick()
    assert [type(message) for message in said] == [Result, Store, HardExample]
    assert len(list(world.outbox.entries())) == 1


def test_easy_frames_do_not_wait_for_the_outbox() -> None:
    world = World()
    world.send(example(1), idle=False)
    said = world.send(example(2, hard=False), idle=False)
    assert [type(message) for message in said] == [Result, Store]


def test_no_decision_is_told_before_the_outbox_has_it() -> None:
    world = World()
    world.send(worker())
    world.hold(1)
    assert world.send(world.answer(), idle=False) == []
    assert [entry.decided for entry in world.outbox.entries()] == [None]
    assert [type(message) for message in world.tick()] == [Result, Store]
    assert [entry.decided is None for entry in world.outbox.entries()] == [False]


def test_no_frame_is_offered_again_before_the_outbox_has_its_try() -> None:
    world = World()
    world.send(worker(), example(1))
    assert offers(world.send(world.answer(status=AnswerStatus.ERROR), idle=False)) == []
    assert [entry.tries for entry in world.outbox.entries()] == [0]
    assert offers(world.tick()) == [1]
    assert [entry.tries for entry in world.outbox.entries()] == [1]


def test_frames_that_come_together_are_committed_together() -> None:
    world = World()
    said: list[Message] = []
    for seq in range(1, COMMIT_AT):
        said += world.send(example(seq), idle=False)
    assert of(Store, said) == []
    assert len(of(Store, world.send(example(COMMIT_AT), idle=False))) == COMMIT_AT


def test_it_wakes_at_once_for_what_must_be_on_disk_and_soon_for_the_rest() -> None:
    world = World()
    world.send(example(1), idle=False)
    assert world.uplink.wakes_at_s <= world.now_s
    world.tick(1.0)
    world.send(stored(1))
    assert world.uplink.wakes_at_s <= world.now_s + LAZY_S
    assert [entry.stored for entry in world.outbox.entries()] == [False]
    assert [entry.stored for entry in world.kept()] == [True]


def test_pixels_wait_only_until_the_outbox_has_the_frame() -> None:
    world = World()
    world.send(example())
    (held,) = world.uplink._held.values()
    assert held.waiting.store.image is not None
    assert held.waiting.store.image._pixels is None


def test_while_the_disk_is_full_hard_frames_wait_and_easy_ones_do_not() -> None:
    world = World(FullOutbox())
    full(world)
    world.send(worker(), example(1), example(2, hard=False))
    assert [(store.id.seq, store.result.revision) for store in of(Store, world.said)] == [(2, 1)]
    assert offers(world.said) == []
    room(world)
    said = world.tick(1.0)
    assert [(store.id.seq, store.result.revision) for store in of(Store, said)] == [(1, 1)]
    assert offers(said) == [1]


def test_a_full_disk_is_told_and_logged_once() -> None:
    world = World(FullOutbox())
    world.tick()
    full(world)
    with structlog.testing.capture_logs() as logs:
        world.send(example(1))
        world.sleep(10)
        assert [progress.waiting for progress in of(UplinkProgress, world.said)][-1] == "the disk is full"
        room(world)
        world.sleep(40)
    assert [entry["event"] for entry in logs] == ["outbox_refuses", "outbox_accepts_again"]
    assert [progress.waiting for progress in of(UplinkProgress, world.said)][-1] == "no worker is there"


def test_that_the_disk_takes_again_is_said_before_what_it_kept_back() -> None:
    """Else the last state of a stream may say for ever that the disk is full."""
    world = World(FullOutbox(), expires_s=0.4)
    world.send(worker(), example())
    world.tick(1.0 - 0.4)
    full(world)
    world.send(example(2, born_s=world.now_s))
    room(world)
    said = [message for _, message in world.sleep(1.05)]
    kinds = [type(message) for message in said]
    back = [message.waiting for message in of(UplinkProgress, said)]
    assert "" in back
    report = next(at for at, message in enumerate(said) if isinstance(message, UplinkProgress) and not message.waiting)
    assert report < kinds.index(Store)


def test_a_drain_tells_at_once_how_things_are() -> None:
    world = World()
    world.send(worker())
    world.send(example())
    (said,) = [message for message in world.send(Drain()) if isinstance(message, UplinkProgress)]
    assert said.offered == 1


def test_a_full_disk_is_asked_again_after_1_s_doubled_to_30() -> None:
    world = World(FullOutbox())
    asked_s: list[float] = []
    assert isinstance(world.outbox, FullOutbox)
    world.outbox.takes = lambda changes: bool(asked_s.append(world.now_s - START_S))
    world.send(example(1))
    world.sleep(100)
    assert asked_s == [0, 1, 3, 7, 15, 31, 61, 91]


def test_a_decision_that_cannot_be_kept_is_told_nobody_and_stands() -> None:
    world = World(FullOutbox())
    world.send(worker("a"), worker("b"))
    world.hold(1)
    first = world.offer()
    world.send(worker(first.worker, gone=True))
    full(world)
    world.send(world.answer())
    world.send(answer_to(first))
    world.sleep(3)
    assert world.decided() == []
    room(world)
    world.sleep(10)
    (result,) = world.decided()
    assert result.worker != first.worker
    (store,) = [store for store in of(Store, world.said) if store.result.revision == 2]
    assert store.result is result


def test_frames_that_come_again_while_the_disk_is_full_do_not_pile_up() -> None:
    world = World(FullOutbox())
    full(world)
    for _ in range(10):
        world.send(example(1))
        world.sleep(10)
    room(world)
    assert [type(m) for _, m in world.sleep(31) if isinstance(m, Result | Store)] == [Result, Store]


def test_decisions_make_room_though_no_picture_fits() -> None:
    world = World(FullOutbox())
    world.send(worker(share=1), example(1), stored(1))
    full(world, of_pictures=True)
    world.send(example(2))
    world.send(world.answer(1))
    world.sleep(1)
    assert [result.ending for result in world.decided(1)] == [Ending.CLOUD]
    world.send(stored(1, 2))
    world.sleep(10)
    assert list(world.outbox.entries()) == []
    room(world)
    world.sleep(30)
    assert [store.id.seq for store in of(Store, world.said) if store.result.revision == 1] == [1, 2]


def test_it_is_not_drained_while_the_disk_is_full() -> None:
    world = World(FullOutbox())
    full(world)
    world.send(example(1), Drain())
    assert not world.uplink.drained
    room(world)
    world.sleep(2)
    world.send(stored(1))
    assert world.uplink.drained


# Who is offered first


def test_after_an_outage_live_frames_go_first_and_the_backlog_by_hardness() -> None:
    world = World()
    for seq, score in ((1, 0.6), (2, 0.9), (3, 0.7), (4, 0.9)):
        world.send(example(seq, score=score))
    world.sleep(10)
    world.send(worker(share=1))
    order = offers(world.said)
    world.send(example(5, score=0.1, born_s=world.now_s), example(6, score=0.5, born_s=world.now_s))
    for _ in range(5):
        order += offers(world.send(world.answer(order[-1])))
    assert order == [2, 5, 6, 4, 3, 1]


def test_who_is_no_longer_live_is_backlog_though_workers_are_there() -> None:
    world = World()
    world.send(worker(share=1), example(1), example(2, score=0.6), example(3, score=0.9))
    world.tick(LIVE_S)
    assert offers(world.send(world.answer(1))) == [3]


def test_ten_thousand_frames_that_wait_slow_no_message_down() -> None:
    """A frame costs about as much behind 10,000 as behind 100."""

    def took_s(waiting: int) -> float:
        world = World(budget_bytes=waiting * SIZE)
        for seq in range(1, waiting + 1):
            world.send(example(seq, score=seq % 97 / 100), idle=False)
        begun_s = time.process_time()
        for seq in range(waiting + 1, waiting + 101):
            world.send(example(seq, score=0.99))
            world.tick(0.1)
        return time.process_time() - begun_s

    few_s = min(took_s(100) for _ in range(3))
    assert any(took_s(10_000) < 5 * few_s for _ in range(3))
