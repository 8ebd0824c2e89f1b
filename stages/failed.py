"""How a frame ends that cannot go on."""

from __future__ import annotations

from pipeline.messages import Detected, Example, Frame, Result, Store
from pipeline.model import Detections, Ending, Verdict


def failed(message: Frame | Detected | Example, reason: str, now_s: float) -> tuple[Result, Store]:
    """The end of a poison frame, for the public and for the sink: revision 1, final, with no boxes and no picture.

    The public comes first: of what is stored, nobody would tell it again.

    The one that follows from the same frame again is the same, but for its latency.

    Args:
        message: the frame, as far as it came.
        reason: why it cannot go on, for people.
        now_s: the monotonic clock of this process.
    """
    detected = message.detected if isinstance(message, Example) else message
    frame, model = (detected.frame, detected.model) if isinstance(detected, Detected) else (detected, "")
    result = Result(
        id=frame.id,
        revision=1,
        ending=Ending.FAILED,
        reason=reason,
        source="edge",
        captured_ns=frame.captured_ns,
        media_s=frame.media_s,
        width=frame.image.width,
        height=frame.image.height,
        detections=Detections.empty(),
        verdict=Verdict(hard=False, miner="none", score=None, threshold=None, reason=reason),
        edge_model=model,
        cloud_model=None,
        worker=None,
        latency_ms=(now_s - frame.born_s) * 1000,
        upload_bytes=0,
        steps_ms=message.steps_ms,
    )
    return result, Store(result, None, frame.counts)
