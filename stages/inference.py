"""The cloud worker's model, run in the background, so that the worker can answer and announce meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from pipeline.errors import DropMessage
from pipeline.image import Image
from pipeline.messages import HardExample, Inferred
from pipeline.model import Detections


class Detector(Protocol):
    """A warm detector."""

    @property
    def model(self) -> str: ...

    @property
    def provider(self) -> str: ...

    def detect(self, image: Image) -> Detections: ...


class BackgroundInference:
    """Runs a detector, one picture at a time, where ``submit`` runs it."""

    def __init__(
        self,
        detector: Detector,
        confidence: float,
        submit: Callable[[Callable[[], None]], None],
        deliver: Callable[[Inferred], None],
    ) -> None:
        """Wait for work.

        Args:
            detector: the warm model.
            confidence: the score from which on a box is reported.
            submit: runs a task in the background, one after the other.
            deliver: takes each ``Inferred``, on whatever thread the task runs.
        """
        self._detector = detector
        self._confidence = confidence
        self._submit = submit
        self._deliver = deliver

    @property
    def model(self) -> str:
        """The model's name."""
        return self._detector.model

    @property
    def provider(self) -> str:
        """The execution provider that is really used."""
        return self._detector.provider

    def start(self, example: HardExample) -> None:
        """Begin with one example; returns at once."""
        self._submit(partial(self._run, example))

    def _run(self, example: HardExample) -> None:
        begun_s = time.perf_counter()
        try:
            detections = self._detector.detect(example.image).at_least(self._confidence)
        except DropMessage as error:
            self._deliver(Inferred(example, None, str(error), {}))
            return
        steps_ms = {"cloud_detect": (time.perf_counter() - begun_s) * 1e3}
        self._deliver(Inferred(example, detections, "", steps_ms))
