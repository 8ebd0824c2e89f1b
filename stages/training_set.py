"""A training set as text: what of a frame is learned, in the formats of YOLO and COCO."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.model import Detections
from stages.training_split import Split

_COLUMNS: Final = ("file", "split", "out", "stream", "seq", "at_s", "audited", "boxes", "verdict")


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A frame that the cloud answered.

    Attributes:
        name: of its picture in the set.
        picture: the untouched picture.
        out: the folder of its run.
        source: what it is a frame of.
        at_s: its time: in a file, or of a camera since the epoch, seconds.
        labels: the big model's boxes.
        audited: whether it was easy, and sent all the same.
        verdict: the miner's reason.
    """

    name: str
    picture: Path
    out: Path
    stream: str
    source: str
    seq: int
    at_s: float
    width: int
    height: int
    labels: Detections
    audited: bool
    verdict: str


def learned(detections: Detections, classes: Sequence[str] | None, confidence: float) -> Detections:
    """The boxes that score ``confidence`` or more and are of one of the ``classes``; of any where that is None."""
    sure = detections.at_least(confidence)
    if classes is None:
        return sure
    keep = np.array([name in classes for name in sure.names], bool)[sure.labels]
    return Detections(sure.boxes[keep], sure.scores[keep], sure.labels[keep], sure.names)


def coco(samples: Sequence[Sample], names: Sequence[str]) -> str:
    """COCO's ``instances`` as JSON (https://cocodataset.org/#format-data), the same for the same samples.

    Categories, images and annotations count from 1. Boxes are ``[x, y, width, height]`` in pixels, cut off at the
    picture's edges; those outside of it are left out. Beyond the format, images have ``stream``, ``seq`` and
    ``audited``, and annotations the big model's ``score``.
    """
    categories = [{"id": number, "name": name, "supercategory": "none"} for number, name in enumerate(names, 1)]
    images = [
        {
            "id": number,
            "file_name": sample.name,
            "width": sample.width,
            "height": sample.height,
            "stream": sample.stream,
            "seq": sample.seq,
            "audited": sample.audited,
        }
        for number, sample in enumerate(samples, 1)
    ]
    boxes = [box for number, sample in enumerate(samples, 1) for box in _annotations(number, sample, names)]
    annotations = [{"id": number, **box} for number, box in enumerate(boxes, 1)]
    info = {"description": "frames that an edge found hard, labelled by the cloud's model"}
    whole = {"info": info, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
    return json.dumps(whole, ensure_ascii=False) + "\n"


def _annotations(image: int, sample: Sample, names: Sequence[str]) -> Iterable[dict[str, Any]]:
    labels = sample.labels
    edges = np.array((sample.width, sample.height) * 2, np.float64)
    for (x1, y1, x2, y2), score, label in zip(
        np.clip(labels.boxes, 0, edges).round(2).tolist(), labels.scores.tolist(), labels.labels.tolist(), strict=True
    ):
        width, height = round(x2 - x1, 2), round(y2 - y1, 2)
        if width > 0 and height > 0:
            yield {
                "image_id": image,
                "category_id": names.index(labels.names[label]) + 1,
                "bbox": [x1, y1, width, height],
                "area": round(width * height, 2),
                "iscrowd": 0,
                "segmentation": [],
                "score": round(score, 4),
            }


def frames_csv(parts: Iterable[tuple[Split, Sample]]) -> str:
    """A table of where each picture comes from and why it was sent."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for part, sample in parts:
        whence = (sample.name, part, sample.out, sample.stream, sample.seq, f"{sample.at_s:.3f}")
        table.writerow((*whence, int(sample.audited), len(sample.labels), sample.verdict))
    return text.getvalue()
