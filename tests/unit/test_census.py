"""What is said over the broker, and what of it wants looking after."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline import wire
from pipeline.app.census import Census
from pipeline.app.status import listen
from pipeline.gain import NO_GAIN
from pipeline.messages import SourceStatus, StageState, State, WireMessage, WorkerState
from pipeline.model import Tally

TALLY = Tally(read=20, skipped=10, admitted=10, easy=4, cloud=4, pending=2)
STATE = State("gate", "gate.mp4", False, SourceStatus.RUNNING, "", TALLY, 4096, 1, 1, 1, 0, "", 0, NO_GAIN)
EDGE = StageState("edge", "e1", ("reader", "detector", "miner", "uplink", "sink"), ("gate",), ("little",), True, 0, 0)
WORKER = WorkerState("worker", "w1", 4, 4, 0, 50.0, "big", "CPUExecutionProvider", False)
CLOUD = StageState("worker", "w1", ("cloud",), (), ("big",), True, 0, 0)


class At:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def heard(*messages: WireMessage, clock: At | None = None) -> Census:
    census = Census(clock or At())
    for message in messages:
        packet = wire.encode("helmet", message, 100.0)
        census.received(packet.topic, packet.payload)
    return census


def problems(*messages: WireMessage) -> list[str]:
    return list(heard(*messages).services()["helmet"].problems())


def test_all_is_well() -> None:
    service = heard(STATE, EDGE, WORKER, CLOUD).services()["helmet"]
    assert (list(service.streams), list(service.workers), list(service.processes)) == (
        ["gate"],
        ["worker"],
        ["edge", "worker"],
    )
    assert not list(service.problems())
    assert not list(service.notes())


@pytest.mark.parametrize(
    ("state", "edge", "words"),
    [
        (replace(STATE, waiting="no worker is there"), EDGE, "gate: no worker is there"),
        (replace(STATE, status=SourceStatus.RETRYING, reason="refused"), EDGE, "gate: its source is lost: refused"),
        (
            STATE,
            replace(EDGE, online=False),
            "gate: it is running, and nobody runs its reader, detector, miner, uplink, sink",
        ),
        (STATE, replace(EDGE, stages=EDGE.stages[1:]), "gate: it is running, and nobody runs its reader"),
        (STATE, replace(EDGE, streams=("yard",)), "nobody runs its reader"),
        (
            replace(STATE, status=SourceStatus.STOPPED),
            replace(EDGE, online=False),
            "gate: 2 frames have no end yet, and nobody runs its",
        ),
        (replace(STATE, tally=replace(TALLY, easy=5)), EDGE, "gate: its ledger does not balance"),
        (STATE, replace(EDGE, refused=3), "edge: the broker has refused 3 of its messages"),
    ],
)
def test_what_wants_looking_after(state: State, edge: StageState, words: str) -> None:
    (problem,) = problems(state, edge)
    assert words in problem


def test_a_stream_that_is_done_needs_nobody() -> None:
    done = replace(STATE, status=SourceStatus.ENDED, tally=replace(TALLY, cloud=6, pending=0))
    assert not problems(done, replace(EDGE, online=False))


def test_who_may_not_see_processes_is_told_so_and_nothing_is_made_of_it() -> None:
    service = heard(STATE).services()["helmet"]
    assert not list(service.problems())
    assert "stages/+" in next(service.notes())


@pytest.mark.parametrize("word", [replace(WORKER, gone=True), replace(CLOUD, online=False)])
def test_a_worker_that_is_gone_is_shown_no_more(word: WireMessage) -> None:
    assert heard(WORKER, word).services()["helmet"].workers == {}


def test_a_worker_is_shown_for_6_s() -> None:
    clock = At()
    census = heard(WORKER, clock=clock)
    clock.now_s += 6
    assert census.services()["helmet"].workers
    clock.now_s += 0.1
    assert not census.services()["helmet"].workers


def test_what_cannot_be_read_is_said_and_loses_nothing_else() -> None:
    census = heard(STATE)
    census.received("tandem/helmet/yard/state", b'{"v": 2}')
    assert "v is 2" in census.unreadable["tandem/helmet/yard/state"]
    assert list(census.services()["helmet"].streams) == ["gate"]


def test_it_listens_until_a_round_trip_brings_nothing() -> None:
    census, left = heard(), [3, 1, 0, 7]

    def round_trip(_: float) -> bool:
        for number in range(left.pop(0)):
            census.received(f"tandem/helmet/gate-{number}/state", b"{}")
        return True

    listen(round_trip, census)
    assert left == [7]
    assert census.heard == 4
