"""Draw an hour of figures with something like helmets, two frames a second: ``clip.py FILE [FRAMES]``."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

SIZE = (320, 240)
HELMETS = ((40, 200, 240), (70, 60, 50), (150, 180, 220))


def draw(path: Path, frames: int) -> None:
    """Write the clip whole, or not at all."""
    part = path.with_name(f".part-{path.name}")
    coarse = np.random.default_rng(7).integers(60, 200, (8, 10, 3), np.uint8)
    background = cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC)
    video = cv2.VideoWriter(str(part), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 2.0, SIZE)
    if not video.isOpened():
        sys.exit(f"error: {part} cannot be written")
    for i in range(frames):
        picture = background.copy()
        for k, helmet in enumerate(HELMETS):
            x, y, side = (40 + 90 * k + 3 * i * (k + 1)) % SIZE[0], 108 + 10 * k, 18 + 8 * k
            cv2.rectangle(picture, (x - side, y + side), (x + side, 230), (60 + 40 * k, 80, 150 - 30 * k), -1)
            cv2.circle(picture, (x, y), side, (130, 160, 210), -1)
            cv2.ellipse(picture, (x, y - side // 3), (side, side), 0, 180, 360, helmet, -1)
        video.write(picture)
    video.release()
    part.rename(path)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if not target.exists():
        draw(target, int(sys.argv[2]) if len(sys.argv) > 2 else 7200)
