"""Pictures with both models' boxes, as JPEG in ``data:`` URIs."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from pipeline.app.evaluate.pictures import PictureSet, read_pictures
from pipeline.app.evaluate.seen import Seen
from pipeline.image import Image, Pixels
from pipeline.model import Detections
from stages.vision.draw import draw_onto

WIDTH: Final = 480
"""No picture is shown wider, in pixels."""

_QUALITY: Final = 80


@dataclass(frozen=True, slots=True)
class Pair:
    """One picture as both models see it: JPEGs as ``data:`` URIs."""

    edge: str
    cloud: str


def pairs(
    pictures: PictureSet, indices: Collection[int], edge: Seen, cloud: Seen, confidences: tuple[float, float]
) -> Mapping[int, Pair]:
    """Read these pictures again, and draw what both models report on them.

    Args:
        pictures: the set.
        indices: which of those that both models saw.
        edge: what the little model saw.
        cloud: what the big one saw.
        confidences: the scores from which on a box is reported, of edge and cloud.

    Raises:
        SourceError: they cannot be read any more.
    """
    wanted = {int(edge.seqs[i]): i for i in indices}
    shown = {}
    for picture in read_pictures(pictures.source(), wanted.__contains__) if wanted else ():
        i = wanted[picture.seq]
        both = [each.detections[i].at_least(at) for each, at in zip((edge, cloud), confidences, strict=True)]
        shown[i] = Pair(*(_uri(picture.image.pixels, detections) for detections in both))
    return shown


def _uri(pixels: Pixels, detections: Detections) -> str:
    height, width = pixels.shape[:2]
    scale = min(1.0, WIDTH / width)
    small = cv2.resize(pixels, (round(width * scale), max(1, round(height * scale))), interpolation=cv2.INTER_AREA)
    boxes = (detections.boxes * np.float32(scale)).astype(np.float32)
    drawn = Detections(boxes, detections.scores, detections.labels, detections.names)
    canvas = draw_onto(np.array(small, np.uint8), drawn)
    return f"data:image/jpeg;base64,{base64.b64encode(Image(pixels=canvas, quality=_QUALITY).jpeg).decode()}"
