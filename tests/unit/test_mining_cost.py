"""What it takes to judge a frame, against what it takes to look at its picture."""

from __future__ import annotations

from typing import Final

import numpy as np

from scripts.benchmark_miners import all_grey, boxes, deciders, round_ms

WIDTH, HEIGHT = 1920, 1080
ROUNDS: Final = 8


def test_to_judge_a_frame_takes_less_than_to_look_at_all_of_its_picture() -> None:
    pictures = [np.full((HEIGHT, WIDTH, 3), level, np.uint8) for level in range(6)]
    seen = boxes(300, WIDTH, HEIGHT)
    for name, decide in deciders().items():
        each = [(round_ms(decide, pictures, seen), round_ms(all_grey, pictures, seen)) for _ in range(ROUNDS)]
        judged, grey = (min(column) for column in zip(*each, strict=True))
        assert judged < grey, f"{name} takes {judged:.2f} ms, and to turn the picture grey {grey:.2f} ms"
