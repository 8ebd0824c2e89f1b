"""The miner stage."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import count

import numpy as np

from pipeline.image import Image
from pipeline.messages import Detected, Drain, Example, Frame, Result, Store, Tick, Undeliverable
from pipeline.model import Counts, Detections, Ending, FrameId, Verdict
from stages.miner import MinerStage, view_of
from stages.mining.audit import Audit
from stages.mining.decider import Decider
from stages.mining.registry import make_miner

FRAME = Frame(
    id=FrameId("gate", 11),
    image=Image(pixels=np.zeros((48, 64, 3), np.uint8)),
    captured_ns=5,
    media_s=0.4,
    born_s=-2.0,
    counts=Counts(11, 9, 0, 2),
    steps_ms={"read": 1.5},
)
CANDIDATES = Detections(
    np.zeros((3, 4), np.float32), np.array([0.9, 0.4, 0.2], np.float32), np.zeros(3, np.int32), ("on",)
)
DETECTED = Detected(FRAME, CANDIDATES, confidence=0.3, model="little", steps_ms={"read": 1.5, "detect": 3.0})


def stage() -> MinerStage:
    seconds = count()
    return MinerStage(Decider(make_miner("IBT", {})), clock=lambda: float(next(seconds)))


def test_a_detected_frame_is_judged_and_timed() -> None:
    (example,) = stage().process(DETECTED)
    assert isinstance(example, Example)
    assert example.detected is DETECTED
    assert (example.verdict.hard, example.verdict.miner, example.verdict.score) == (True, "IBT", 0.5)
    assert example.steps_ms == {"read": 1.5, "detect": 3.0, "mine": 1000.0}


def test_a_miner_sees_what_is_reported_and_what_is_not() -> None:
    view = view_of(DETECTED)
    assert (view.stream, view.seq, view.media_s, view.width, view.height) == ("gate", 11, 0.4, 64, 48)
    assert (len(view.candidates), len(view.detections), view.confidence) == (3, 2, 0.3)
    assert view.grey.shape == (48, 64)


def test_what_cannot_be_sent_on_ends_its_frame_as_failed() -> None:
    it = stage()
    (example,) = it.process(DETECTED)
    assert isinstance(example, Example)
    result, store = it.process(Undeliverable(example, "too large"))
    assert isinstance(store, Store)
    assert isinstance(result, Result)
    assert store.result is result
    assert (result.ending, result.reason, result.edge_model) == (Ending.FAILED, "too large", "little")
    assert result.steps_ms == example.steps_ms


def test_other_messages_change_nothing() -> None:
    it = stage()
    for message in (Tick(1), Drain(), FRAME, Undeliverable(DETECTED, "too large")):
        assert list(it.process(message)) == []
    assert it.wakes_at_s == math.inf
    assert it.drained


def test_a_random_share_of_the_easy_frames_is_sent_too_and_says_so() -> None:
    verdicts = judged("IBT", Audit(0.1, seed=3), seqs=4000, threshold_img=0.0)
    sent = [verdict for verdict in verdicts if verdict.sent]
    assert all(verdict.audited and not verdict.hard for verdict in sent)
    assert all("audit of 0.1 of the easy frames" in verdict.reason for verdict in sent)
    assert 330 < len(sent) < 470
    assert [verdict.audited for verdict in judged("IBT", Audit(0.1, seed=3), seqs=4000, threshold_img=0.0)] == [
        verdict.audited for verdict in verdicts
    ]
    assert judged("IBT", Audit(0.1, seed=4), seqs=4000, threshold_img=0.0) != verdicts


def test_hard_frames_need_no_audit() -> None:
    assert not any(verdict.audited for verdict in judged("CloudOnly", Audit(1.0), seqs=9))


def test_what_random_finds_easy_is_audited_as_often() -> None:
    verdicts = judged("Random", Audit(0.1), seqs=4000, random_ratio=0.3)
    easy = [verdict for verdict in verdicts if not verdict.hard]
    assert 0.08 < sum(verdict.audited for verdict in easy) / len(easy) < 0.12


def test_from_an_edge_that_is_alone_nothing_is_sent() -> None:
    assert not any(verdict.sent for verdict in judged("EdgeOnly", Audit(1.0), seqs=9))


def judged(miner: str, audit: Audit, seqs: int, **parameters: object) -> list[Verdict]:
    it = MinerStage(Decider(make_miner(miner, parameters), audit=audit), clock=lambda: 0.0)
    frames = (replace(FRAME, id=FrameId("gate", seq)) for seq in range(1, seqs + 1))
    sure = replace(DETECTED, candidates=CANDIDATES.at_least(0.8))
    examples = [example for frame in frames for example in it.process(replace(sure, frame=frame))]
    return [example.verdict for example in examples if isinstance(example, Example)]
