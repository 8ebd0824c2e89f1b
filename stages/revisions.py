"""The two revisions of a frame's result: pure functions."""

from __future__ import annotations

from dataclasses import replace

from pipeline.messages import CloudAnswer, Example, Result
from pipeline.model import Ending
from stages.held import Held


def first(example: Example, now_s: float) -> Result:
    """Revision 1: the edge's answer, final where nobody asks the cloud."""
    detected, frame = example.detected, example.detected.frame
    return Result(
        id=example.id,
        revision=1,
        ending=None if example.verdict.sent else Ending.EASY,
        reason="",
        source="edge",
        captured_ns=frame.captured_ns,
        media_s=frame.media_s,
        width=frame.image.width,
        height=frame.image.height,
        detections=detected.detections,
        verdict=example.verdict,
        edge_model=detected.model,
        cloud_model=None,
        worker=None,
        latency_ms=(now_s - frame.born_s) * 1e3,
        upload_bytes=0,
        steps_ms=example.steps_ms,
    )


def second(held: Held, ending: Ending, reason: str, now_s: float, answer: CloudAnswer | None) -> Result:
    """Revision 2: how a hard frame ended, with the boxes of the cloud if it answered, else of the edge."""
    first = held.waiting.store.result
    result = replace(
        first,
        revision=2,
        ending=ending,
        reason=reason,
        latency_ms=(now_s - held.waiting.born_s) * 1e3,
        upload_bytes=held.waiting.uploaded_bytes,
    )
    if answer is None:
        unseen = "" if first.edge_model else "; the edge's model has not looked at it either"
        return replace(result, reason=reason + unseen)
    trip_ms = (now_s - held.offered_s) * 1e3
    return replace(
        result,
        source="cloud",
        detections=answer.detections,
        cloud_model=answer.model,
        worker=answer.worker,
        steps_ms={**first.steps_ms, **answer.steps_ms, "cloud_trip": trip_ms},
    )
