"""What is judged over time: flicker, near-duplicates, and the memory that a restart brings back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.budget import Budget
from pipeline.image import Image
from pipeline.messages import Example, Message, MinerProgress, Recalled, Tick
from pipeline.model import Detections, FrameId, Verdict
from stages.miner import KNOWN, MinerStage
from stages.mining.audit import Audit
from stages.mining.constant import CloudOnly
from stages.mining.decider import Decider
from stages.mining.duplicates import KEPT, Duplicates, largest_differences
from stages.mining.flicker import Flicker
from stages.mining.ibt import IBT
from stages.mining.memory import Memory
from stages.mining.miner import View
from stages.vision.iou import iou, links
from tests import examples
from tests.examples import detected, frame

NAMES = ("helmet_on", "helmet_off")
box = st.tuples(st.integers(0, 500), st.integers(0, 300), st.integers(1, 140), st.integers(1, 60), st.integers(0, 1))
frames = st.lists(st.lists(box, max_size=6), min_size=1, max_size=6)


def seen(*boxes: tuple[int, int, int, int, int]) -> Detections:
    corners = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in boxes], np.float32).reshape(-1, 4)
    return Detections(corners, np.full(len(boxes), 0.9, np.float32), np.array([b[4] for b in boxes], np.int32), NAMES)


def view(seq: int, found: Detections, *, every_s: float = 0.4, level: int = 100, image: Image | None = None) -> View:
    image = image or Image(pixels=np.full((360, 640, 3), level, np.uint8))
    return View("gate", seq, seq * every_s, 640, 360, found, found, 0.3, image)


def flicker(*shown: Detections, every_s: float = 0.4) -> list[Verdict]:
    memory, verdicts = Memory(), []
    for seq, found in enumerate(shown, 1):
        memory, verdict = Flicker().judge_next(memory, view(seq, found, every_s=every_s))
        verdicts.append(verdict)
    return verdicts


HAT, OTHER, EDGE = (100, 100, 40, 40, 0), (300, 100, 40, 40, 0), (1, 100, 40, 40, 0)


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        ((seen(HAT), seen()), "1 boxes vanished, 0 showed for one frame, 0 changed class"),
        ((seen(HAT), seen(HAT, OTHER), seen(HAT)), "0 boxes vanished, 1 showed for one frame, 0 changed class"),
        ((seen(HAT), seen((102, 101, 40, 40, 1))), "0 boxes vanished, 0 showed for one frame, 1 changed class"),
    ],
)
def test_flicker_is_hard(shown: tuple[Detections, ...], reason: str) -> None:
    *before, last = flicker(*shown)
    assert not any(verdict.hard for verdict in before)
    assert (last.hard, last.score, last.threshold, last.reason) == (True, 1, 1, reason)


@pytest.mark.parametrize("shown", [(seen(HAT), seen(HAT)), (seen(EDGE), seen()), (seen(), seen(HAT)), (seen(), seen())])
def test_what_stays_comes_or_leaves_at_the_edge_is_easy(shown: tuple[Detections, ...]) -> None:
    assert not any(verdict.hard for verdict in flicker(*shown))


def test_frames_far_apart_are_not_compared() -> None:
    assert [verdict.reason for verdict in flicker(seen(HAT), seen(), every_s=3)] == [
        "there is no frame just before"
    ] * 2
    assert not Flicker().judge(view(1, seen(HAT))).hard


@given(frames)
def test_flicker_counts_no_more_than_there_is_and_none_where_nothing_changes(
    shown: list[list[tuple[int, ...]]],
) -> None:
    found = [seen(*boxes) for boxes in shown]  # type: ignore[arg-type]
    for before, verdict in zip(found, flicker(*found)[1:], strict=False):
        assert verdict.score is not None
        assert 0 <= verdict.score <= len(before)
        assert verdict.hard == (verdict.score >= 1)
    last = found[-1]
    separate = len(last) < 2 or len({tuple(row) for row in last.boxes.tolist()}) == len(last)
    assert not separate or flicker(last, last, last)[-1].score == 0


def suppressed(*views: View) -> list[int | None]:
    decider, memory, twins = Decider(CloudOnly(), Duplicates()), Memory(), []
    for one in views:
        memory, verdict = decider.decide(memory, one)
        assert verdict.hard == (verdict.duplicate_of is None)
        twins.append(verdict.duplicate_of)
    return twins


def test_a_frame_that_equals_one_that_was_sent_is_not_sent_again() -> None:
    found, moved = seen(HAT), seen((160, 100, 40, 40, 0))
    assert suppressed(view(1, found), view(2, found, level=103), view(3, found, level=140)) == [None, 1, None]
    assert suppressed(view(1, found), view(2, moved), view(3, found), view(4, moved)) == [None, None, 1, 2]
    assert suppressed(view(1, found), view(2, seen((100, 100, 40, 40, 1)))) == [None, None]
    assert suppressed(view(1, found), view(2, found, level=110), view(3, found, level=105)) == [None, None, 2]
    assert suppressed(view(1, found, every_s=50), view(2, found, every_s=50), view(3, found, every_s=50)) == [
        None,
        1,
        None,
    ]


near = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(30, 36), st.integers(30, 36), st.integers(0, 1))


@given(st.lists(near, max_size=4), st.lists(near, max_size=4), st.sampled_from([0.0, 0.5, 0.7]))
def test_boxes_are_compared_one_by_one(before: list[tuple[int, ...]], now: list[tuple[int, ...]], least: float) -> None:
    duplicates, (left, right) = Duplicates(box_iou=least), (seen(*boxes) for boxes in (before, now))  # type: ignore[arg-type]
    overlap = np.where(left.labels[:, None] == right.labels, iou(left.boxes, right.boxes), -1.0)
    alike = len(before) == len(now) == len(links(overlap, least))
    assert duplicates.of(duplicates.with_sent((), view(1, left)), view(2, right)) == (1 if alike else None)


def test_it_says_so_and_its_numbers_do_too() -> None:
    decider, low = Decider(IBT(), Duplicates()), replace(seen(HAT), scores=np.array([0.4], np.float32))
    memory, first = decider.decide(Memory(), view(1, low))
    _, second = decider.decide(memory, view(2, low))
    assert first.hard
    assert (second.hard, second.duplicate_of, second.score, second.threshold) == (False, 1, 1.0, None)
    assert second.reason.endswith("; almost equal to frame 1, which was sent")


def test_what_the_audit_has_sent_is_not_sent_again_either() -> None:
    decider, sure = Decider(IBT(), Duplicates(), audit=Audit(1.0)), seen(HAT)
    memory, first = decider.decide(Memory(), view(1, sure))
    _, second = decider.decide(memory, view(2, replace(sure, scores=np.array([0.4], np.float32))))
    assert (first.audited, second.duplicate_of) == (True, 1)


def test_so_many_frames_that_were_sent_are_remembered_and_no_more() -> None:
    levels = range(20, 20 * (KEPT + 3), 20)
    different = [view(seq, seen(HAT), level=level) for seq, level in enumerate(levels, 1)]
    again = [view(seq, seen(HAT), level=levels[-back]) for seq, back in ((90, KEPT), (91, KEPT + 1))]
    assert suppressed(*different, *again) == [None] * len(different) + [len(different) - KEPT + 1, None]


def test_a_near_duplicate_costs_nothing_and_is_no_part_of_the_quantile() -> None:
    decider = Decider(IBT(threshold_box=1), Duplicates(), {"gate": Budget.parse("10 frames/s")})
    memory, verdict = Memory(), None
    for seq in range(1, 9):
        memory, verdict = decider.decide(memory, view(seq, seen(HAT), level=20 * seq))
    before, (memory, twin) = memory.purse, decider.decide(memory, view(9, seen(HAT), level=160))
    assert verdict
    assert verdict.hard
    assert twin.duplicate_of == 8
    assert before
    assert memory.purse
    assert memory.purse.scores == before.scores
    assert memory.purse.left > before.left
    assert twin.budget
    assert twin.budget.left == pytest.approx(memory.purse.left)


def test_a_change_in_one_corner_is_not_lost_in_the_mean() -> None:
    left = np.full((36, 64), 100, np.uint8)
    right = left.copy()
    right[:8, :8] = 140
    right[32:, 60:] = 110
    assert largest_differences([right, left], left) == [40, 0]
    right[32:, 60:] = 200
    assert largest_differences([left], right) == [50]  # of the 8 x 4 pixels that are left at the lower edge, half


@settings(deadline=None)  # a busy machine is slow
@given(frames)
def test_deciding_is_a_pure_function_of_a_memory_that_survives_its_text(shown: list[list[tuple[int, ...]]]) -> None:
    decider = Decider(Flicker(), Duplicates(), {"gate": Budget.parse("50 %")})
    kept = through_text = Memory()
    for seq, boxes in enumerate(shown, 1):
        one = view(seq, seen(*boxes), level=100 + 3 * len(boxes))  # type: ignore[arg-type]
        kept, verdict = decider.decide(kept, one)
        through_text, again = decider.decide(Memory.of(through_text.text()), one)
        assert again == verdict
        assert through_text.text() == kept.text()


# The stage

CLOUD_ONLY = Decider(CloudOnly(), Duplicates(), {"gate": Budget.parse("50 %")})


def stage(incarnation: str = "m1") -> MinerStage:
    return MinerStage(CLOUD_ONLY, clock=lambda: 0.0, incarnation=incarnation)


def verdicts(messages: list[Message]) -> dict[int, Verdict]:
    return {message.id.seq: message.verdict for message in messages if isinstance(message, Example)}


def fed(it: MinerStage, *seqs: int) -> dict[int, Verdict]:
    return verdicts([out for seq in seqs for out in it.process(detected_at(seq))])


def detected_at(seq: int) -> Message:
    return replace(detected(), frame=replace(frame(seq), media_s=seq / 2))


def begun(*judged: tuple[int, Verdict]) -> MinerStage:
    it = stage()
    first = it.process(detected_at(1))
    assert list(first) == [MinerProgress("gate", "m1", asks=True)]
    it.process(Recalled("gate", "m1", judged))
    return it


def test_frames_wait_for_what_is_remembered_and_the_sink_is_asked_again() -> None:
    it = stage()
    assert list(it.process(detected_at(3))) == [MinerProgress("gate", "m1", asks=True)]
    assert list(it.process(detected_at(1))) == []
    assert it.wakes_at_s == 1.0
    assert list(it.process(Tick(1.0))) == [MinerProgress("gate", "m1", asks=True)]
    assert it.wakes_at_s == 3.0
    assert list(it.process(Recalled("gate", "m0", ()))) == []
    assert list(verdicts(list(it.process(Recalled("gate", "m1", ()))))) == [1, 3]
    assert list(it.process(Recalled("gate", "m1", ()))) == []


def test_a_frame_that_comes_twice_gets_the_same_answer() -> None:
    it = begun()
    first = fed(it, *range(1, 9))
    assert fed(it, 8, 3, 5, 1) == {seq: first[seq] for seq in (8, 3, 5, 1)}
    assert fed(it, 9)[9] == fed(begun(), *range(1, 10))[9]


@given(st.sets(st.integers(1, 12)))
def test_a_restart_goes_on_wherever_the_ledger_has_gaps(stored: set[int]) -> None:
    every = fed(begun(), *range(1, 13))
    it = stage()
    it.process(detected_at(12))
    it.process(Recalled("gate", "m1", tuple((seq, every[seq]) for seq in sorted(stored))))
    again = stage()
    missing = [seq for seq in range(1, 13) if seq not in stored]
    out = list(again.process(detected_at(missing[0]))) if missing else []
    out += again.process(Recalled("gate", "m1", tuple((seq, every[seq]) for seq in sorted(stored))))
    assert verdicts(out) | fed(again, *missing) == {seq: every[seq] for seq in missing}


def test_a_memory_of_another_tandem_is_left_out() -> None:
    broken = replace(fed(begun(), 1)[1], memory="AAAA")
    it = begun((1, broken))
    assert fed(it, 1)[1] == broken
    assert FrameId("gate", 2).seq in fed(it, 2)


def test_what_is_known_is_forgotten_once_its_frames_have_come_again_though_much_waits_for_the_cloud() -> None:
    waiting = tuple((seq, examples.verdict(score=float(seq))) for seq in range(2, 2 * KNOWN))
    it = begun(*waiting)
    assert fed(it, *range(2, 2 * KNOWN)) == dict(waiting)
    fed(it, 2 * KNOWN)
    assert len(it._streams["gate"].known) == KNOWN


def test_audited_frames_are_paid_from_the_budget() -> None:
    """At a share of 100 % each easy frame is sent, and its cost is missing afterwards."""
    never = Decider(IBT(threshold_box=0), budgets={"gate": Budget.parse("1 frame/h")}, audit=Audit(1.0))
    memory, verdict = never.decide(Memory(), view(1, seen(HAT)))
    before = verdict.budget.left if verdict.budget else 0.0
    memory, verdict = never.decide(memory, view(2, seen(HAT)))
    assert verdict.audited
    assert memory.purse is not None
    assert memory.purse.left <= before - 1
