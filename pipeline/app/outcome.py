"""What a replay shows when its frames have ended: the compare videos, and what became of the hard frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from operator import attrgetter
from typing import Final

from rich.console import Console

from pipeline.app.places import Places
from pipeline.model import Ending
from stages.compare import corrections, write_compare
from stages.ledger_report import FrameRow, read_frames

SHOWN_CORRECTIONS: Final = 5
SHOWN_BOXES: Final = 4


def make_compare_videos(places: Places, console: Console) -> bool:
    """Make the side-by-side videos; return False where somebody pressed Ctrl-C meanwhile."""
    try:
        with console.status("making the compare video"):
            for stream in places.pictures:
                rate = _rate([row.media_s for row in _shown(places, stream)])
                write_compare(_shown(places, stream), places.pictures[stream], places.compare(stream), rate)
    except KeyboardInterrupt:
        return False
    return True


def _shown(places: Places, stream: str) -> Iterator[FrameRow]:
    """The frames but for those whose pictures were not to be kept."""
    return (row for row in read_frames(places.ledger, stream) if not row.removed)


def _rate(media_s: Sequence[float]) -> float:
    """The rate at which a video shows these frames in their own time; of very few of them, one a second."""
    span_s = media_s[-1] - media_s[0] if media_s else 0.0
    return max(1.0, (len(media_s) - 1) / span_s) if span_s > 0 else 1.0


def say_what_became(places: Places, console: Console) -> None:
    """Print what the cloud corrected, and which frames had no good end."""
    for stream in places.pictures:
        found = list(_corrections(places, stream))
        if found:
            console.print(f"{stream}: the big model corrected {len(found)} frames, among them", highlight=False)
        for correction in sorted(nlargest(SHOWN_CORRECTIONS, found, key=attrgetter("score")), key=attrgetter("seq")):
            console.print(f"  frame {correction.seq}: {correction.words}", highlight=False, soft_wrap=True)
        for ending in (Ending.FAILED, Ending.EXPIRED):
            if rows := [row for row in read_frames(places.ledger, stream) if row.ending == ending]:
                console.print(f"{stream}: {len(rows)} frames {ending}", highlight=False)
                console.print(f"  frame {rows[0].seq}: {rows[0].reason}", highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Correction:
    """What the cloud changed in one frame.

    Attributes:
        score: of the surest box that it added; people want to see those frames first.
        words: the boxes that came and went.
    """

    seq: int
    score: float
    words: str


def _corrections(places: Places, stream: str) -> Iterator[Correction]:
    for row in read_frames(places.ledger, stream):
        added, removed = corrections(row)
        boxes = [("+", row.joint, i) for i in added] + [("-", row.edge, i) for i in removed]
        surest = sorted(boxes, key=lambda box: -box[1].scores[box[2]])
        words = [f"{sign} {seen.names[seen.labels[i]]} {seen.scores[i]:.2f}" for sign, seen, i in surest[:SHOWN_BOXES]]
        if len(surest) > SHOWN_BOXES:
            words.append(f"{len(surest) - SHOWN_BOXES} more")
        if words:
            yield Correction(row.seq, float(row.joint.scores[added].max(initial=0)), ", ".join(words))
