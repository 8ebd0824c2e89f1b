"""What a replay shows when its frames have ended: the compare videos, and what became of the hard frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console

from pipeline.app.places import Places
from pipeline.model import Ending
from stages.compare import changes, write_compare
from stages.ledger_report import FrameRow, read_frames

SHOWN_CORRECTIONS: Final = 5


def make_compare_videos(places: Places, console: Console) -> bool:
    """Make the side-by-side videos; return False where somebody pressed Ctrl-C meanwhile."""
    try:
        with console.status("making the compare video"):
            for stream in places.pictures:
                rows = read_frames(places.ledger, stream)
                rate = _rate([row.media_s for row in read_frames(places.ledger, stream)])
                write_compare(rows, places.pictures[stream], places.compare(stream), rate)
    except KeyboardInterrupt:
        return False
    return True


def _rate(media_s: Sequence[float]) -> float:
    """The rate at which a video shows these frames in their own time; of very few of them, one a second."""
    span_s = media_s[-1] - media_s[0] if media_s else 0.0
    return max(1.0, (len(media_s) - 1) / span_s) if span_s > 0 else 1.0


def say_what_became(places: Places, console: Console) -> None:
    """Print what the cloud corrected, and which frames had no good end."""
    for stream in places.pictures:
        found = list(_corrections(places, stream))
        if found:
            console.print(f"{stream}: the big model corrected {len(found)} frames", highlight=False)
        for row, words in found[:SHOWN_CORRECTIONS]:
            console.print(f"  frame {row.seq}: {words}", highlight=False, soft_wrap=True)
        for ending in (Ending.FAILED, Ending.EXPIRED):
            if rows := [row for row in read_frames(places.ledger, stream) if row.ending == ending]:
                console.print(f"{stream}: {len(rows)} frames {ending}", highlight=False)
                console.print(f"  frame {rows[0].seq}: {rows[0].reason}", highlight=False, soft_wrap=True)


def _corrections(places: Places, stream: str) -> Iterator[tuple[FrameRow, str]]:
    """The frames of a stream that the big model corrected, and what it changed in words."""
    for row in read_frames(places.ledger, stream):
        added, removed = changes(row.edge, row.joint)
        words = [
            *(f"+ {row.joint.names[row.joint.labels[i]]} {row.joint.scores[i]:.2f}" for i in added),
            *(f"- {row.edge.names[row.edge.labels[i]]} {row.edge.scores[i]:.2f}" for i in removed),
        ]
        if words:
            yield row, ", ".join(words)
