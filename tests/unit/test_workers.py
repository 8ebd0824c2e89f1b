"""Which workers an uplink knows, and which it chooses."""

from __future__ import annotations

from dataclasses import replace

from pipeline.messages import StageState, WorkerState
from pipeline.model import FrameId
from stages.workers import BUSY_MOST_S, BUSY_S, GONE_KEPT, SILENCE_S, Workers
from tests.examples import stage_state


def state(
    worker: str = "w", incarnation: str = "1", *, share: int = 2, queue: int = 0, ms: float = 10, gone: bool = False
) -> WorkerState:
    return WorkerState(worker, incarnation, 4, share, queue, ms, "big", "CPU", gone)


def frame(seq: int) -> FrameId:
    return FrameId("gate", seq)


def offered(workers: Workers, *seqs: int, now_s: float = 0.0) -> None:
    for seq in seqs:
        worker = workers.choose(now_s)
        assert worker is not None
        worker.holds[frame(seq)] = None


def test_nobody_is_chosen_where_nobody_is() -> None:
    assert Workers(0).choose(0) is None


def test_a_worker_is_sent_no_more_than_its_share() -> None:
    workers = Workers(0)
    workers.announced(state(share=2), 0)
    offered(workers, 1, 2)
    assert workers.choose(0) is None
    workers.released(frame(1))
    assert workers.choose(0) is not None


def test_credit_is_what_all_would_take_now_and_a_busy_one_takes_nothing() -> None:
    workers = Workers(0)
    workers.announced(state("a", share=2), 0)
    workers.announced(state("b", share=3), 0)
    offered(workers, 1, 2)
    assert workers.credit(0) == 3
    workers.announced(state("a", share=0), 0)
    workers.announced(state("b", share=0), 0)
    assert workers.credit(0) == 0
    workers.announced(state("b", share=9), 0)
    workers.busy("b", 0)
    assert workers.credit(0) == 0
    assert workers.credit(BUSY_S) > 6


def test_the_one_with_the_shorter_wait_is_chosen_of_two() -> None:
    workers = Workers(0)
    workers.announced(state("slow", ms=50), 0)
    workers.announced(state("quick", ms=5), 0)
    chosen = {worker.state.worker for _ in range(20) if (worker := workers.choose(0))}
    assert chosen == {"quick"}


def test_a_queue_makes_the_wait_longer() -> None:
    workers = Workers(0)
    workers.announced(state("crowded", queue=9), 0)
    workers.announced(state("free", ms=40), 0)
    chosen = workers.choose(0)
    assert chosen is not None
    assert chosen.state.worker == "free"


def test_of_many_workers_two_random_ones_are_compared() -> None:
    workers = Workers(0)
    for i in range(10):
        workers.announced(state(f"w{i}", ms=1 + i), 0)
    chosen = {worker.state.worker for _ in range(200) if (worker := workers.choose(0, waiting=100))}
    assert len(chosen) > 3
    assert "w9" not in chosen


def test_a_slow_worker_works_along_while_there_is_plenty_and_not_at_the_end() -> None:
    workers = Workers(0)
    workers.announced(state("slow", ms=50, share=4), 0)
    workers.announced(state("quick", ms=5, share=4), 0)
    offered(workers, 1, 2, 3, 4)
    assert len(workers._alive["quick"].holds) == 4
    assert workers.choose(0, waiting=1) is None  # 25 ms at the quick one, 50 at the slow one
    plenty = workers.choose(0, waiting=20)
    assert plenty is not None
    assert plenty.state.worker == "slow"


def test_a_worker_alone_gets_frames_however_long_its_queue() -> None:
    workers = Workers(0)
    workers.announced(state(queue=100, ms=50, share=2), 0)
    assert workers.choose(0) is not None


def test_equal_workers_all_get_frames() -> None:
    workers = Workers(0)
    for i in range(4):
        workers.announced(state(f"w{i}", ms=50, share=2), 0)
    offered(workers, *range(1, 9))
    assert [len(worker.holds) for worker in workers._alive.values()] == [2, 2, 2, 2]


def test_a_worker_that_has_not_said_how_long_it_takes_is_tried() -> None:
    workers = Workers(0)
    workers.announced(state("known", ms=5), 0)
    workers.announced(state("new", ms=0), 0)
    chosen = workers.choose(0)
    assert chosen is not None
    assert chosen.state.worker == "new"
    offered(workers, 1, 2)
    assert workers.choose(0) is not None  # nobody waits for the new one alone


def test_a_busy_worker_that_would_be_quick_does_not_keep_frames_from_others() -> None:
    workers = Workers(0)
    workers.announced(state("slow", ms=50), 0)
    workers.announced(state("quick", ms=5), 0)
    workers.busy("quick", 1.0)
    chosen = workers.choose(1.0)
    assert chosen is not None
    assert chosen.state.worker == "slow"


def test_a_busy_worker_is_left_alone_for_a_moment_or_until_it_has_room() -> None:
    workers = Workers(0)
    workers.announced(state(), 0)
    workers.busy("w", 1.0)
    assert workers.choose(1.0) is None
    assert workers.wakes_at_s(1.0) == 1.0 + BUSY_S
    assert workers.choose(1.0 + BUSY_S) is not None
    workers.busy("w", 2.0)
    workers.announced(state(queue=4), 2.1)
    assert workers.choose(2.1) is None
    workers.announced(state(queue=3), 2.1)  # of 4 slots
    assert workers.choose(2.1) is not None


def test_a_busy_worker_that_says_when_our_turn_is_is_left_alone_until_then() -> None:
    workers = Workers(0)
    workers.announced(state(), 0)
    workers.busy("w", 1.0, 3.5)
    assert workers.choose(4.4) is None
    assert workers.wakes_at_s(1.0) == 4.5
    assert workers.choose(4.5) is not None
    workers.busy("w", 5.0, 1e9)
    assert workers.wakes_at_s(5.0) <= 5.0 + BUSY_MOST_S


def test_a_goodbye_leaves_its_frames_behind_and_blames_none() -> None:
    workers = Workers(0)
    workers.announced(state(), 0)
    offered(workers, 1, 2)
    assert workers.announced(state(gone=True), 1) == ([frame(1), frame(2)], None)
    assert len(workers) == 0
    assert workers.announced(state(incarnation="2"), 2) == ([], None)


def test_silence_is_noticed_after_its_time() -> None:
    workers = Workers(0)
    workers.announced(state(), 0)
    offered(workers, 1, 2)
    assert workers.wakes_at_s(0) == SILENCE_S
    assert workers.silent(SILENCE_S - 0.01) == []
    assert workers.silent(SILENCE_S) == [frame(1), frame(2)]
    assert workers.silent(SILENCE_S) == []
    assert len(workers) == 0


def test_an_answer_of_the_same_incarnation_is_a_sign_of_life() -> None:
    workers = Workers(0)
    workers.announced(state(), 0)
    workers.heard("w", "another", 4)
    assert workers.wakes_at_s(4) == SILENCE_S
    workers.heard("w", "1", 4)
    assert workers.silent(SILENCE_S) == []
    assert workers.wakes_at_s(4) == 4 + SILENCE_S


def test_a_new_incarnation_leaves_frames_behind_and_blames_the_oldest() -> None:
    workers = Workers(0)
    workers.announced(state(), 0)
    offered(workers, 1, 2)
    assert workers.announced(state(incarnation="2"), 1) == ([frame(1), frame(2)], frame(1))
    assert workers.offered == frozenset()
    assert len(workers) == 1


def test_one_that_was_silent_and_comes_back_anew_blames_the_frame_that_it_had() -> None:
    workers = Workers(0)
    workers.announced(state(), 0)
    offered(workers, 1, 2)
    workers.silent(10)
    assert workers.announced(state(incarnation="2"), 11) == ([], frame(1))


def test_one_that_was_merely_silent_comes_back_with_nothing_and_blames_nobody() -> None:
    workers = Workers(0)
    workers.announced(state(), 0)
    offered(workers, 1, 2)
    workers.silent(10)
    assert workers.announced(state(), 11) == ([], None)
    assert workers.offered == frozenset()
    offered(workers, 3, now_s=11)
    assert workers.offered == {frame(3)}


def test_a_late_announcement_of_one_that_was_replaced_changes_nothing() -> None:
    workers = Workers(0)
    workers.announced(state(incarnation="1"), 0)
    workers.announced(state(incarnation="2"), 1)
    offered(workers, 1)
    assert workers.announced(state(incarnation="1"), 2) == ([], None)
    assert workers.announced(state(incarnation="1", gone=True), 2) == ([], None)
    assert workers.offered == {frame(1)}
    assert workers.announced(state(incarnation="2"), 3) == ([], None)


def test_a_late_announcement_of_one_that_said_goodbye_changes_nothing() -> None:
    workers = Workers(0)
    workers.announced(state(), 0)
    workers.announced(state(gone=True), 1)
    assert workers.announced(state(), 2) == ([], None)
    assert len(workers) == 0


def test_a_goodbye_of_an_incarnation_that_nobody_knew_leaves_the_other_alone() -> None:
    workers = Workers(0)
    workers.announced(state(incarnation="2"), 0)
    assert workers.announced(state(incarnation="1", gone=True), 1) == ([], None)
    assert len(workers) == 1


def test_a_goodbye_while_silent_blames_nobody_later() -> None:
    workers = Workers(0)
    workers.announced(state(), 0)
    offered(workers, 1)
    workers.silent(10)
    assert workers.announced(state(gone=True), 11) == ([], None)
    assert workers.announced(state(incarnation="2"), 12) == ([], None)


def test_workers_with_random_names_do_not_fill_the_memory() -> None:
    workers = Workers(0)
    for i in range(10 * GONE_KEPT):
        workers.announced(state(f"w{i}"), i * SILENCE_S)
        workers.silent(i * SILENCE_S)
    for i in range(10 * GONE_KEPT):
        workers.announced(state(f"v{i}", gone=True), 1e6)
    assert len(workers._gone) <= GONE_KEPT
    assert len(workers) <= 1


def test_a_worker_that_restarts_for_ever_does_not_fill_the_memory() -> None:
    workers = Workers(0)
    for i in range(1000):
        workers.announced(replace(state(), incarnation=str(i)), i)
    (worker,) = workers._alive.values()
    assert len(worker.past) < 20


def process(incarnation: str = "1", *, online: bool = False) -> StageState:
    return replace(stage_state("w", streams=(), online=online), incarnation=incarnation)


def test_a_will_is_noticed_at_once() -> None:
    workers = Workers(0)
    workers.announced(state("w"), 0)
    workers.announced(state("other", "7"), 0)
    workers._alive["w"].holds = {frame(2): None, frame(1): None}
    assert workers.heard_of(process("no worker's"), 1) == []
    assert workers.heard_of(process(), 1) == [frame(2), frame(1)]
    assert len(workers) == 1
    assert workers.heard_of(process(), 1) == []


def test_one_whose_will_came_blames_its_frame_when_it_comes_back_anew() -> None:
    workers = Workers(0)
    workers.announced(state(), 0)
    offered(workers, 1, 2)
    workers.heard_of(process(), 1)
    assert workers.announced(state(incarnation="2"), 2) == ([], frame(1))


def test_what_the_broker_kept_of_one_that_died_counts_for_nothing() -> None:
    workers = Workers(0)
    workers.heard_of(process(), 0)
    assert workers.announced(state(), 0.1) == ([], None)
    assert len(workers) == 0
    workers.announced(state(), SILENCE_S)  # what a broker kept has expired by now
    assert len(workers) == 1


def test_one_whose_connection_broke_comes_back_as_itself() -> None:
    workers = Workers(0)
    workers.announced(state(), 0)
    offered(workers, 1)
    workers.heard_of(process(), 1)
    workers.heard_of(process(online=True), 2)
    assert workers.announced(state(), 2) == ([], None)
    assert len(workers) == 1
    assert workers.offered == frozenset()


def test_wills_do_not_fill_the_memory() -> None:
    workers = Workers(0)
    for i in range(10 * GONE_KEPT):
        workers.heard_of(process(str(i)), 0)
    assert len(workers._offline) <= GONE_KEPT


def test_a_process_speaks_for_the_worker_of_its_own_name_alone() -> None:
    workers = Workers(0)
    workers.announced(state("w"), 0)
    assert workers.heard_of(replace(process(), process="other"), 1) == []
    workers.announced(state("w"), 1)
    assert len(workers) == 1
