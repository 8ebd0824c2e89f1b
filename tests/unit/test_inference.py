"""The worker's model in the background."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.errors import DropMessage
from pipeline.image import Image
from pipeline.messages import HardExample, Inferred
from pipeline.model import Detections, FrameId, Verdict
from stages.inference import BackgroundInference

EXAMPLE = HardExample(
    FrameId("gate", 1),
    "worker",
    "edge",
    1,
    60.0,
    Image(pixels=np.zeros((8, 8, 3), np.uint8)),
    Detections.empty(),
    Verdict(hard=True, miner="IBT", score=0.5, threshold=0.4, reason="because"),
)


class Big:
    """A model that finds a sure box and an unsure one, or raises."""

    model = "big"
    provider = "CPU"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def detect(self, image: Image) -> Detections:
        if self.error:
            raise self.error
        scores = np.array([0.9, 0.2], np.float32)
        return Detections(np.zeros((2, 4), np.float32), scores, np.zeros(2, np.int32), ("person",))


class Background:
    """Runs tasks when it is told to."""

    def __init__(self, model: Big) -> None:
        self.tasks: list[Callable[[], None]] = []
        self.done: list[Inferred] = []
        self.inference = BackgroundInference(model, 0.5, self.tasks.append, self.done.append)


def test_it_says_which_model_runs_where() -> None:
    inference = Background(Big()).inference
    assert (inference.model, inference.provider) == ("big", "CPU")


def test_start_returns_before_the_model_has_run() -> None:
    background = Background(Big())
    background.inference.start(EXAMPLE)
    assert background.done == []
    assert len(background.tasks) == 1


def test_boxes_below_the_confidence_are_left_out() -> None:
    background = Background(Big())
    background.inference.start(EXAMPLE)
    background.tasks[0]()
    (done,) = background.done
    assert done.example is EXAMPLE
    assert done.detections is not None
    assert done.detections.scores.tolist() == [pytest.approx(0.9)]
    assert done.error == ""
    assert done.steps_ms["cloud_detect"] >= 0


def test_a_damaged_picture_is_an_answer() -> None:
    background = Background(Big(DropMessage("it is cut short")))
    background.inference.start(EXAMPLE)
    background.tasks[0]()
    (done,) = background.done
    assert (done.detections, done.error) == (None, "it is cut short")


def test_a_bug_of_the_model_is_not_hidden() -> None:
    background = Background(Big(ZeroDivisionError()))
    background.inference.start(EXAMPLE)
    with pytest.raises(ZeroDivisionError):
        background.tasks[0]()
    assert background.done == []
