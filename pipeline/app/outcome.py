"""What a replay shows when its frames have ended: the compare videos, and what became of the hard frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import nlargest
from operator import attrgetter
from typing import Final

from rich.console import Console

from pipeline.app.places import Places
from pipeline.app.progress import FrameProgress
from pipeline.model import Ending
from stages.compare import corrections, write_compare
from stages.ledger_report import read_ending, read_frames, read_media_s

SHOWN_CORRECTIONS: Final = 5
SHOWN_BOXES: Final = 4


def make_compare_videos(
    places: Places, streams: Iterable[str], stopped: Callable[[], bool], console: Console
) -> Iterator[str]:
    """Make the side-by-side videos of some streams, and give the name of each one whose video is made.

    Args:
        places: where ledger, pictures and videos are.
        streams: whose.
        stopped: asked before each frame whether somebody wants an end.
        console: where to show how far it is.

    Raises:
        KeyboardInterrupt: somebody wants an end; the video that was begun is gone without a trace.
        StorageError: the disk takes no more.
    """
    times_s = {stream: read_media_s(places.ledger, stream) for stream in streams}
    with FrameProgress(console, {stream: len(its) for stream, its in times_s.items()}) as progress:

        def done(stream: str, frames: int) -> None:
            if stopped():
                raise KeyboardInterrupt
            progress.update(stream, frames, "in the compare video")

        for stream, its in times_s.items():
            rows = (row for row in read_frames(places.ledger, stream) if not row.removed)
            video = places.compare(stream)
            write_compare(rows, places.pictures[stream], video, _rate(its), progress=partial(done, stream))
            yield stream


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
            frames, seq, reason = read_ending(places.ledger, stream, ending)
            if frames:
                console.print(f"{stream}: {frames} frames {ending}", highlight=False)
                console.print(f"  frame {seq}: {reason}", highlight=False, soft_wrap=True)


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
    for row in read_frames(places.ledger, stream, corrected=True):
        added, removed = corrections(row)
        boxes = [("+", row.joint, i) for i in added] + [("-", row.edge, i) for i in removed]
        surest = sorted(boxes, key=lambda box: -box[1].scores[box[2]])
        words = [f"{sign} {seen.names[seen.labels[i]]} {seen.scores[i]:.2f}" for sign, seen, i in surest[:SHOWN_BOXES]]
        if len(surest) > SHOWN_BOXES:
            words.append(f"{len(surest) - SHOWN_BOXES} more")
        if words:
            yield Correction(row.seq, float(row.joint.scores[added].max(initial=0)), ", ".join(words))
