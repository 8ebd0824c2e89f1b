"""What miners remember of a stream from one frame to the next, and its form in ledgers and messages."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

import msgpack
import numpy as np
import numpy.typing as npt

FORMAT: Final = 3

Boxes = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The boxes of the last frame.

    Attributes:
        seq: of that frame.
        media_s: its position in the source, seconds.
        boxes: (N, 4) float32 xyxy, pixels.
        labels: (N,) int32.
        linked: (N,) bool: whether the box was there in the frame before.
        first: whether there was no frame before.
    """

    seq: int
    media_s: float
    boxes: Boxes
    labels: Labels
    linked: npt.NDArray[np.bool_]
    first: bool


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """A hard frame that was sent: its small grey picture (h, 64) uint8, and its boxes as in ``Seen``."""

    seq: int
    media_s: float
    grey: npt.NDArray[np.uint8]
    boxes: Boxes
    labels: Labels


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The last frame: its position in the source, seconds, and its small grey picture (h, 64) uint8."""

    media_s: float
    grey: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Purse:
    """The state of a budget.

    Attributes:
        began_s: media time of the first frame, seconds.
        clock_s: media time of the last frame.
        scored_s: media time of the last frame that had a score.
        left: what may be spent.
        interval_s: mean media time between frames.
        scored_interval_s: mean media time between frames that have a score.
        cost: what a frame costs, a running mean.
        costs: of so many frames.
        scores: a sample of what was scored of late: media time, score, and a draw between 0 and 1 that tells equal
            scores apart.
    """

    began_s: float
    clock_s: float
    scored_s: float
    left: float
    interval_s: float
    scored_interval_s: float
    cost: float
    costs: int
    scores: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """All of it, each part where something needs it."""

    seen: Seen | None = None
    sent: tuple[Sent, ...] = field(default=())
    purse: Purse | None = None
    shown: Shown | None = None

    def text(self) -> str:
        """As text; ``Memory.of`` reads it, and gives exactly this again."""
        seen, purse, shown = self.seen, self.purse, self.shown
        packed = msgpack.packb(
            (
                FORMAT,
                seen and (seen.seq, seen.media_s, *_boxes(seen), seen.linked.astype(np.uint8).tobytes(), seen.first),
                [(sent.seq, sent.media_s, sent.grey.tobytes(), *_boxes(sent)) for sent in self.sent],
                purse
                and (
                    *(purse.began_s, purse.clock_s, purse.scored_s, purse.left),
                    *(purse.interval_s, purse.scored_interval_s, purse.cost, purse.costs),
                    struct.pack(f"<{3 * len(purse.scores)}d", *chain.from_iterable(purse.scores)),
                ),
                shown and (shown.media_s, shown.grey.tobytes()),
            )
        )
        return base64.b64encode(packed).decode()

    @classmethod
    def of(cls, text: str) -> Memory:
        """What ``text`` has written.

        Raises:
            ValueError: it is damaged, or another Tandem wrote it.
        """
        try:
            version, seen, sent, purse, shown = msgpack.unpackb(base64.b64decode(text, validate=True))
            if version != FORMAT:
                raise ValueError(f"it has format {version}, but this Tandem knows {FORMAT}")  # noqa: TRY301 - as unreadable as a damaged one
            return cls(
                _seen(seen) if seen else None,
                tuple(_sent(*one) for one in sent),
                _purse(purse) if purse else None,
                Shown(shown[0], _grey(shown[1])) if shown else None,
            )
        except (msgpack.UnpackException, ValueError, TypeError) as error:
            raise ValueError(f"a miner's memory cannot be read: {error}") from error


def _boxes(boxed: Seen | Sent) -> tuple[bytes, bytes]:
    return boxed.boxes.astype("<f4").tobytes(), boxed.labels.astype("<i4").tobytes()


def _seen(row: tuple[int, float, bytes, bytes, bytes, bool]) -> Seen:
    seq, media_s, boxes, labels, linked, first = row
    return Seen(seq, media_s, *_unpacked(boxes, labels), np.frombuffer(linked, np.uint8).astype(np.bool_), first)


def _sent(seq: int, media_s: float, grey: bytes, boxes: bytes, labels: bytes) -> Sent:
    return Sent(seq, media_s, _grey(grey), *_unpacked(boxes, labels))


def _grey(data: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8).reshape(-1, 64)


def _unpacked(boxes: bytes, labels: bytes) -> tuple[Boxes, Labels]:
    corners = np.frombuffer(boxes, "<f4").reshape(-1, 4).astype(np.float32)
    return corners, np.frombuffer(labels, "<i4").astype(np.int32)


def _purse(row: tuple[float, float, float, float, float, float, float, int, bytes]) -> Purse:
    began_s, clock_s, scored_s, left, interval_s, scored_interval_s, cost, costs, scores = row
    sample = tuple((at_s, score, draw) for at_s, score, draw in np.frombuffer(scores, "<f8").reshape(-1, 3).tolist())
    return Purse(began_s, clock_s, scored_s, left, interval_s, scored_interval_s, cost, costs, sample)
