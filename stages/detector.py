"""The detector stage: the little model looks at every frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from pipeline.errors import DropMessage
from pipeline.image import Image
from pipeline.messages import Detected, Frame, Message, Undeliverable
from pipeline.model import Detections
from pipeline.stage import Clock
from stages.failed import failed


class Detector(Protocol):
    """An object detector. ``stages.session`` runs ONNX models as one."""

    @property
    def model(self) -> str:
        """The model's name, for results."""

    def detect(self, image: Image) -> Detections:
        """Everything down to the detector's floor, best score first.

        Raises:
            DropMessage: the picture is damaged.
        """


class DetectorStage:
    """Turns a ``Frame`` into a ``Detected``. It keeps nothing, so a frame that comes twice gets the same answer twice.

    A damaged picture, and a message that cannot be sent on, end their frame as failed. Where frames are mined first it
    has no detector and looks at nothing: see ``MinerStage``.
    """

    def __init__(self, detector: Detector | None, *, confidence: float, clock: Clock) -> None:
        """Look at frames with ``detector``.

        Args:
            detector: the little model; None where the miner stage has it.
            confidence: the score from which on a box is reported; miners see those below it too.
            clock: the monotonic clock.
        """
        self._detector = detector
        self._confidence = confidence
        self._clock = clock

    def process(self, message: Message) -> Sequence[Message]:
        """Answer a ``Frame``; see ``Stage.process``."""
        match message:
            case Frame():
                return self._detected(message)
            case Undeliverable(message=Detected() as detected, reason=reason):
                return failed(detected, reason, self._clock())
        return ()

    @property
    def wakes_at_s(self) -> float:
        """Never: it only answers."""
        return math.inf

    @property
    def drained(self) -> bool:
        """Always: it keeps nothing."""
        return True

    def _detected(self, frame: Frame) -> Sequence[Message]:
        if self._detector is None:
            return (Detected(frame, Detections.empty(), self._confidence, "", frame.steps_ms),)
        started_s = self._clock()
        try:
            candidates = self._detector.detect(frame.image)
        except DropMessage as error:
            return failed(frame, f"the picture cannot be read: {error}", self._clock())
        steps_ms = {**frame.steps_ms, "detect": (self._clock() - started_s) * 1000}
        return (Detected(frame, candidates, self._confidence, self._detector.model, steps_ms),)
