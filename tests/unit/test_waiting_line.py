"""Who is offered to a worker next, and who is missed least."""

from __future__ import annotations

import random
from dataclasses import replace

from pipeline.model import FrameId
from stages.outbox import Waiting
from stages.ranked import Ranked
from stages.undecided import Undecided
from stages.waiting_line import LEAD, LIVE_S, WaitingLine
from tests.examples import result, store, verdict


def frame(seq: int, stream: str = "gate") -> FrameId:
    return FrameId(stream, seq)


def taken(line: WaitingLine, now_s: float) -> list[int]:
    found = []
    while (next_one := line.take(now_s)) is not None:
        found.append(next_one.seq)
    return found


def test_live_frames_come_in_their_order_however_hard() -> None:
    line = WaitingLine()
    for seq, hardness in ((1, 0.1), (2, 0.9), (3, 0.5)):
        line.join(frame(seq), hardness, 100.0)
    assert taken(line, 100.0) == [1, 2, 3]


def test_the_backlog_comes_by_hardness_then_by_age() -> None:
    line = WaitingLine()
    for seq, hardness in ((1, 0.1), (2, 0.9), (3, 0.5), (4, 0.9)):
        line.join(frame(seq), hardness, 100.0)
    assert taken(line, 100.0 + LIVE_S) == [2, 4, 3, 1]


def test_returned_ones_go_before_live_ones_before_the_backlog() -> None:
    line = WaitingLine()
    line.join(frame(1), 1.0, 90.0)
    line.join(frame(2), 0.1, 100.0)
    line.give_back(frame(3))
    line.give_back(frame(4))
    assert len(line) == 4
    assert taken(line, 100.0) == [3, 4, 2, 1]
    assert len(line) == 0


def test_who_leaves_is_not_taken() -> None:
    line = WaitingLine()
    line.join(frame(1), 1.0, 90.0)
    line.join(frame(2), 0.5, 90.0)
    assert line.take(100.0) == frame(1)
    line.join(frame(3), 0.5, 100.0)
    line.give_back(frame(4))
    for seq in (2, 3, 4, 5):
        line.leave(frame(seq))
    assert taken(line, 100.0) == []


def test_who_joins_and_leaves_leaves_nothing_behind() -> None:
    line = WaitingLine()
    for seq in range(1, 2000):
        line.join(frame(seq), 0.5, 0.0)
        line.give_back(frame(seq + 1))
        line.take(10.0)
        line.leave(frame(seq))
    assert line._streams["gate"].backlog.kept < 200


def streams(line: WaitingLine, now_s: float, frames: int) -> str:
    """The first letters of the streams that the next frames are taken from."""
    return "".join(taken.stream[0] if (taken := line.take(now_s)) else "-" for _ in range(frames))


def test_the_backlog_of_each_stream_has_its_turn_however_hard_the_other_is() -> None:
    line = WaitingLine()
    for seq in (1, 2, 3):
        line.join(frame(seq, "gate"), 0.9, 0.0)
    for seq, hardness in ((1, 0.1), (2, 0.3)):
        line.join(frame(seq, "yard"), hardness, 0.0)
    assert [line.take(10.0) for _ in range(4)] == [
        frame(1, "gate"),
        frame(2, "yard"),
        frame(2, "gate"),
        frame(1, "yard"),
    ]


def test_live_frames_of_two_streams_go_in_turn_before_any_backlog() -> None:
    line = WaitingLine()
    for seq in (1, 2):
        line.join(frame(seq, "yard"), 0.9, 0.0)
    for seq in (3, 4, 5):
        line.join(frame(seq, "gate"), 0.1, 100.0)
    line.join(frame(3, "yard"), 0.1, 100.0)
    assert streams(line, 100.0, 6) == "ygggyy"
    assert line.take(100.0) is None


def test_a_stream_that_is_always_live_does_not_starve_one_that_only_waits() -> None:
    line = WaitingLine()
    for seq in range(1, 40):
        line.join(frame(seq, "yard"), 0.1, 0.0)
    order = ""
    for seq in range(1, 31):
        line.join(frame(seq, "gate"), 0.9, 100.0)
        order += streams(line, 100.0, 1)
    assert order.startswith("g" * LEAD + "y")
    assert order.count("g") - order.count("y") <= LEAD


def test_who_had_nothing_to_offer_saves_up_no_turns() -> None:
    line = WaitingLine()
    for seq in range(1, 60):
        line.join(frame(seq, "gate"), 0.9, 0.0)
    assert streams(line, 10.0, 20) == "g" * 20
    for seq in range(1, 30):
        line.join(frame(seq, "yard"), 0.1, 0.0)
    assert streams(line, 10.0, 10) in ("gy" * 5, "yg" * 5)


def test_who_comes_when_all_others_were_just_served_is_no_further_behind_than_they() -> None:
    """A worker that keeps up leaves the line empty; a stream that begins then must not have all of it from there on."""
    line = WaitingLine()
    for seq in range(1, 60):
        line.join(frame(seq, "gate"), 0.9, 0.0)
        assert streams(line, 0.0, 1) == "g"
    for seq in range(101, 160):
        line.join(frame(seq, "yard"), 0.9, 100.0)
        line.join(frame(seq, "gate"), 0.9, 100.0)
    assert streams(line, 100.0, 10) in ("gy" * 5, "yg" * 5)


def test_a_frame_that_was_offered_in_vain_costs_its_stream_no_turn() -> None:
    line = WaitingLine()
    for seq in range(1, 10):
        line.join(frame(seq, "gate"), 0.9, 0.0)
        line.join(frame(seq, "yard"), 0.1, 0.0)
    for _ in range(8):
        given = line.take(10.0)
        assert given == frame(1, "gate")
        line.give_back(given)
    line.leave(given)
    assert streams(line, 10.0, 4) == "ygyg"


def test_ranked_gives_the_least_of_what_was_set_last() -> None:
    draw = random.Random(1)
    ranked: Ranked[float] = Ranked()
    there: dict[FrameId, float] = {}
    for _ in range(3000):
        some = frame(draw.randint(1, 40))
        if draw.random() < 0.3:
            ranked.discard(some)
            there.pop(some, None)
        else:
            there[some] = draw.random()
            ranked.set(some, there[some])
        least = min(there.items(), key=lambda item: item[1], default=None)
        assert ranked.first() == (least and (least[1], least[0]))
        assert len(ranked) == len(there)
        assert ranked.kept <= 2 * len(there) + 65


def waiting(seq: int, score: float | None, size_bytes: int, stream: str = "gate") -> Waiting:
    judged = replace(result(seq, stream=stream), verdict=verdict(score=score))
    return Waiting(store(judged), size_bytes, 0.0)


def test_undecided_adds_up_and_knows_the_least_hard() -> None:
    undecided = Undecided()
    assert undecided.least_hard() is None
    for some in (waiting(1, 0.5, 10), waiting(2, 0.2, 20), waiting(3, 0.2, 30), waiting(4, None, 5, "yard")):
        undecided.add(some)
    assert (undecided.size_bytes, undecided.of("gate"), undecided.of("yard"), undecided.of("roof")) == (65, 3, 1, 0)
    order = []
    while least := undecided.least_hard():
        order.append(least.seq)
        undecided.discard(least)
        undecided.discard(least)
    assert order == [4, 2, 3, 1]
    assert (undecided.size_bytes, undecided.of("gate"), len(undecided)) == (0, 0, 0)
