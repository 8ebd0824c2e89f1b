"""What travels between an uplink and its workers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field

from pipeline.image import Image
from pipeline.messages import AnswerStatus, CloudAnswer, HardExample
from pipeline.model import Detections, FrameId
from pipeline.payloads.parts import (
    MAX_BOXES,
    Box,
    ClassName,
    Count,
    Jpeg,
    Milliseconds,
    Name,
    PackedDetections,
    Payload,
    Seconds,
    Seq,
    Text,
    VerdictFields,
    boxes,
    detections,
)


class HardExamplePayload(Payload[HardExample]):
    """A hard frame on its way to one worker."""

    stream: str
    seq: Seq
    worker: Name
    uplink: Name
    attempt: Count
    expires_s: Seconds
    jpeg: Jpeg
    detections: PackedDetections
    verdict: VerdictFields

    @classmethod
    def of(cls, message: HardExample, now_s: float) -> Self:  # noqa: ARG003 - it says what is left, not its age
        return cls(
            stream=message.id.stream,
            seq=message.id.seq,
            worker=message.worker,
            uplink=message.uplink,
            attempt=message.attempt,
            expires_s=message.expires_s,
            jpeg=message.image.jpeg,
            detections=PackedDetections.of(message.detections),
            verdict=VerdictFields.of(message.verdict),
        )

    def message(self, now_s: float) -> HardExample:  # noqa: ARG002 - it says what is left, not its age
        return HardExample(
            FrameId(self.stream, self.seq),
            self.worker,
            self.uplink,
            self.attempt,
            self.expires_s,
            Image(jpeg=self.jpeg),
            self.detections.detections(),
            self.verdict.verdict(),
        )


class CloudAnswerPayload(Payload[CloudAnswer]):
    """A worker's answer on its way to the uplink."""

    stream: str
    seq: Seq
    worker: Name
    incarnation: Name
    attempt: Count
    status: Literal["answered", "busy", "error"]
    boxes: Annotated[list[Box], Field(max_length=MAX_BOXES)]
    names: Annotated[list[ClassName], Field(max_length=4096)]
    model: Name
    reason: Text
    steps_ms: Milliseconds
    wait_s: Seconds

    @classmethod
    def of(cls, message: CloudAnswer, now_s: float) -> Self:  # noqa: ARG003 - an answer has no age
        return cls(
            stream=message.id.stream,
            seq=message.id.seq,
            worker=message.worker,
            incarnation=message.incarnation,
            attempt=message.attempt,
            status=message.status.value,
            boxes=boxes(message.detections),
            names=list(message.detections.names),
            model=message.model,
            reason=message.reason,
            steps_ms=dict(message.steps_ms),
            wait_s=message.wait_s,
        )

    def message(self, now_s: float) -> CloudAnswer:  # noqa: ARG002 - an answer has no age
        seen = detections(self.boxes)
        return CloudAnswer(
            FrameId(self.stream, self.seq),
            self.worker,
            self.incarnation,
            self.attempt,
            AnswerStatus(self.status),
            Detections(seen.boxes, seen.scores, seen.labels, tuple(self.names)),
            self.model,
            self.reason,
            self.steps_ms,
            self.wait_s,
        )
