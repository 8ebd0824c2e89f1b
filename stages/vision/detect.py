"""Detectors: from a picture to detections in its own pixels."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from pipeline.image import Image
from pipeline.model import Detections
from stages.runtime import ModelSession
from stages.vision.class_names import padded
from stages.vision.heads.candidates import Candidates, Head
from stages.vision.inputs import InputPlan
from stages.vision.letterbox import Letterbox, Placement
from stages.vision.nms import nms

FLOOR: Final = 0.05
IOU: Final = 0.6
MOST_DETECTIONS: Final = 300


class Detector(Protocol):
    """Sees objects in pictures. It is called by one thread at a time."""

    @property
    def model(self) -> str:
        """The model's name."""

    @property
    def names(self) -> tuple[str, ...]:
        """The class names, as far as they are known beforehand."""

    @property
    def provider(self) -> str:
        """What runs the model, e.g. ``CPUExecutionProvider``."""

    def detect(self, image: Image) -> Detections:
        """What is in a picture, best score first.

        Raises:
            DropMessage: the picture cannot be decoded, or the model fails on it.
        """

    def warm_up(self) -> None:
        """Make the first ``detect`` as fast as the others."""


class OnnxDetector:
    """A detector from a model session, the letterbox before it, and the head and NMS after it.

    The same picture gives the same detections. A picture that is there as JPEG alone is decoded no larger than the
    model needs; its boxes are in full source pixels all the same, and differ by a fraction of a pixel or two.

    Attributes:
        model: the model's name.
        names: its class names; empty where neither the model nor the config tells how many there are. A label beyond
            them is called ``class7`` and so on in the detections.
        head: how its outputs are read.
    """

    def __init__(
        self,
        session: ModelSession,
        plan: InputPlan,
        head: Head,
        names: tuple[str, ...],
        *,
        model: str,
        floor: float = FLOOR,
        iou: float = IOU,
        max_detections: int = MOST_DETECTIONS,
    ) -> None:
        """Put the parts together; ``stages.vision.load`` finds the ones that fit a model.

        Args:
            session: runs the model.
            plan: how it is fed.
            head: how its outputs are read.
            names: its class names.
            model: its name.
            floor: the score below which nothing is reported.
            iou: boxes of one class that overlap more than this are one, from 0 to 1.
            max_detections: so many of the best are reported.
        """
        self.model = model
        self.names = names
        self.head = head
        self._session = session
        self._plan = plan
        self._letterbox = Letterbox(plan.height, plan.width, grey=head.grey, channels_last=plan.channels_last)
        self._floor = floor
        self._iou = iou
        self._max_detections = max_detections

    @property
    def provider(self) -> str:
        """The execution provider that runs the model."""
        return self._session.provider

    @property
    def input_shape(self) -> tuple[int, int]:
        """The height and width of what the model is fed."""
        return self._plan.height, self._plan.width

    def detect(self, image: Image) -> Detections:
        """What is in a picture, best score first.

        Raises:
            DropMessage: the picture cannot be decoded, or the model fails on it.
        """
        place = Placement.fit(image.width, image.height, self._plan.height, self._plan.width)
        tensor = self._letterbox.fill(image.pixels_at_least(place.width, place.height), place)
        outputs = self._session.run(self._plan.feeds(tensor, image.height, image.width))
        return self._detections(self.head.decode(outputs, self._floor).sound(self._floor), place)

    def warm_up(self) -> None:
        """Run twice on a grey picture: the first run allocates, the second one shows that it is done."""
        grey = Image(pixels=np.full((self._plan.height, self._plan.width, 3), self.head.grey, np.uint8))
        for _ in range(2):
            self.detect(grey)

    def _detections(self, found: Candidates, place: Placement) -> Detections:
        if self.head.needs_nms:
            kept = nms(found.boxes, found.scores, found.labels, iou=self._iou, limit=self._max_detections)
        else:
            kept = np.argsort(-found.scores, kind="stable")[: self._max_detections]
        found = found.take(kept)
        boxes = place.clip(found.boxes) if self.head.in_source_pixels else place.to_source(found.boxes)
        # Off the picture, or turned inside out.
        visible = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        found = found.take(visible)
        names = padded(self.names, int(found.labels.max(initial=-1)) + 1)
        return Detections(boxes[visible], np.minimum(found.scores, np.float32(1)), found.labels, names)
