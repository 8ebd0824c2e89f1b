"""The detector stage."""

from __future__ import annotations

import math
from itertools import count

import numpy as np
import pytest

from pipeline.errors import DropMessage
from pipeline.image import Image
from pipeline.messages import Detected, Drain, Frame, Result, Store, Tick, Undeliverable
from pipeline.model import Counts, Detections, Ending, FrameId
from stages.detector import DetectorStage

SEEN = Detections(
    np.array([[0, 0, 4, 4], [1, 1, 5, 5]], np.float32), np.array([0.9, 0.2], np.float32), np.zeros(2, np.int32), ("on",)
)
FRAME = Frame(
    id=FrameId("gate", 11),
    image=Image(pixels=np.zeros((48, 64, 3), np.uint8)),
    captured_ns=5,
    media_s=0.4,
    born_s=-2.0,
    counts=Counts(11, 9, 0, 2),
    steps_ms={"read": 1.5},
)


class Seeing:
    model = "little"

    def detect(self, image: Image) -> Detections:
        return SEEN


class Blind:
    model = "little"

    def detect(self, image: Image) -> Detections:
        raise DropMessage("it is cut short")


def stage(detector: Seeing | Blind) -> DetectorStage:
    seconds = count()
    return DetectorStage(detector, confidence=0.3, clock=lambda: float(next(seconds)))


def test_a_frame_is_detected_and_timed() -> None:
    (detected,) = stage(Seeing()).process(FRAME)
    assert isinstance(detected, Detected)
    assert detected.frame is FRAME
    assert detected.candidates is SEEN
    assert len(detected.detections) == 1
    assert detected.model == "little"
    assert detected.steps_ms == {"read": 1.5, "detect": 1000.0}


def test_a_damaged_picture_ends_its_frame_as_failed() -> None:
    result, store = stage(Blind()).process(FRAME)
    assert isinstance(store, Store)
    assert isinstance(result, Result)
    assert store.result is result
    assert store.image is None
    assert store.counts == FRAME.counts
    assert (result.id, result.revision, result.ending, result.final) == (FRAME.id, 1, Ending.FAILED, True)
    assert result.reason == result.verdict.reason == "the picture cannot be read: it is cut short"
    assert (result.source, len(result.detections), result.width, result.height) == ("edge", 0, 64, 48)
    assert (result.verdict.hard, result.verdict.miner) == (False, "none")
    assert result.latency_ms == pytest.approx(3000)


def test_what_cannot_be_sent_on_ends_its_frame_as_failed() -> None:
    it = stage(Seeing())
    (detected,) = it.process(FRAME)
    assert isinstance(detected, Detected)
    result, store = it.process(Undeliverable(detected, "too large"))
    assert isinstance(store, Store)
    assert isinstance(result, Result)
    assert (store.id, result.reason, result.edge_model) == (FRAME.id, "too large", "little")
    assert result.steps_ms == {"read": 1.5, "detect": 1000.0}


def test_other_messages_change_nothing() -> None:
    it = stage(Seeing())
    for message in (Tick(1), Drain(), Undeliverable(FRAME, "too large")):
        assert list(it.process(message)) == []
    assert it.wakes_at_s == math.inf
    assert it.drained
