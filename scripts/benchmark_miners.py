"""(d) of ``scripts/bench``: CPU milliseconds that each miner takes a frame, and near-duplicate suppression."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.image import Image, Pixels
from pipeline.model import Detections, Verdict
from stages.mining.constant import CloudOnly
from stages.mining.decider import Decider
from stages.mining.duplicates import Duplicates
from stages.mining.memory import Memory
from stages.mining.miner import View
from stages.mining.registry import MINERS, make_miner
from stages.sources.capture import open_video

SIZES: Final = ((1920, 1080), (1280, 720))
BOXES: Final = (20, 300)
"""Raw boxes of a frame: many, and as many as a detector gives at most."""

FRAMES: Final = 16
"""More than caches hold: when a frame is judged, it is not what was last looked at."""

ROUNDS: Final = 25
CONFIDENCE: Final = 0.3
APART_S: Final = 0.4

Decide = Callable[[Memory, View], tuple[Memory, Verdict]]


def miners(video: Path) -> None:
    """Print the least and the median of ``ROUNDS`` rounds over frames of the video, scaled; all take turns."""
    cv2.setNumThreads(1)
    each = {"all of the picture to grey": all_grey, **deciders()}
    took_ms: dict[str, list[list[float]]] = {name: [] for name in each}
    for width, height in SIZES:
        pictures = frames(video, width, height)
        for count in BOXES:
            seen = boxes(count, width, height)
            rounds = [[round_ms(decide, pictures, seen) for decide in each.values()] for _ in range(ROUNDS)]
            for name, column in zip(each, zip(*rounds, strict=True), strict=True):
                took_ms[name].append(list(column))
    cases = (f"{width}x{height}, {count} boxes" for width, height in SIZES for count in BOXES)
    table = Table("(d) CPU, ms a frame", *cases)
    for name, columns in took_ms.items():
        table.add_row(name, *(f"{min(rounds):.3f}, median {statistics.median(rounds):.3f}" for rounds in columns))
    Console(width=150).print(table)


def all_grey(memory: Memory, view: View) -> tuple[Memory, Verdict]:
    """What it takes to look at all of a picture once, as a yardstick."""
    cv2.cvtColor(view.picture.pixels, cv2.COLOR_BGR2GRAY)
    return memory, Verdict(hard=False, miner="none", score=None, threshold=None, reason="")


def deciders() -> Mapping[str, Decide]:
    """All miners; and near-duplicates: where none is one, where all are, and where all that can be compared is."""
    return {
        **{name: Decider(make_miner(name, {})).decide for name in MINERS},
        "duplicates, none": Decider(CloudOnly(), Duplicates(grey=-1)).decide,
        "duplicates, all": Decider(CloudOnly(), Duplicates(grey=255)).decide,
        "duplicates, the most": Decider(CloudOnly(), Duplicates(grey=255, box_iou=2)).decide,
    }


def round_ms(decide: Decide, pictures: Sequence[Pixels], seen: Detections) -> float:
    """The mean of one round over all pictures."""
    height, width = pictures[0].shape[:2]
    reported, memory, took_s = seen.at_least(CONFIDENCE), Memory(), 0.0
    for seq, pixels in enumerate(pictures, 1):
        view = View("bench", seq, seq * APART_S, width, height, seen, reported, CONFIDENCE, Image(pixels=pixels))
        begun_s = time.process_time()
        memory, _ = decide(memory, view)
        took_s += time.process_time() - begun_s
    return took_s / len(pictures) * 1e3


def frames(video: Path, width: int, height: int) -> list[Pixels]:
    """The first frames of a video, scaled."""
    capture, pictures = open_video(str(video)), []
    while len(pictures) < FRAMES and capture.grab():
        _, pixels = capture.retrieve()
        pictures.append(np.asarray(cv2.resize(np.asarray(pixels), (width, height)), np.uint8))
    return pictures


def boxes(count: int, width: int, height: int) -> Detections:
    """So many of all sizes and scores, anywhere, the same ones each time."""
    draw = np.random.default_rng(0)
    middles, sides = draw.uniform(0, (width, height), (count, 2)), draw.uniform(10, 120, (count, 2))
    corners = np.hstack([middles - sides / 2, middles + sides / 2]).astype(np.float32)
    scores = np.sort(draw.uniform(0.05, 1, count).astype(np.float32))[::-1]
    return Detections(corners, scores, draw.integers(0, 2, count).astype(np.int32), ("helmet_on", "helmet_off"))
