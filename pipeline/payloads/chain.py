"""What goes down the chain from reader to sink, with its picture."""

from __future__ import annotations

from typing import Self

from pipeline.image import Image
from pipeline.messages import Detected, Example, Frame, Store
from pipeline.model import FrameId
from pipeline.payloads.parts import (
    CountsFields,
    Jpeg,
    Memory,
    Milliseconds,
    Name,
    Nanoseconds,
    PackedDetections,
    Payload,
    Score,
    Seconds,
    Seq,
    VerdictFields,
)
from pipeline.payloads.results import ResultRecord


class FramePayload(Payload[Frame]):
    """A frame on its way to the detector. Its age replaces the time of its birth."""

    stream: str
    seq: Seq
    jpeg: Jpeg
    captured_ns: Nanoseconds
    media_s: Seconds
    age_s: Seconds
    counts: CountsFields
    steps_ms: Milliseconds

    @classmethod
    def of(cls, message: Frame, now_s: float) -> Self:
        return cls(
            stream=message.id.stream,
            seq=message.id.seq,
            jpeg=message.image.jpeg,
            captured_ns=message.captured_ns,
            media_s=message.media_s,
            age_s=max(0.0, now_s - message.born_s),
            counts=CountsFields.of(message.counts),
            steps_ms=dict(message.steps_ms),
        )

    def message(self, now_s: float) -> Frame:
        return Frame(
            FrameId(self.stream, self.seq),
            Image(jpeg=self.jpeg),
            self.captured_ns,
            self.media_s,
            now_s - self.age_s,
            self.counts.counts(),
            self.steps_ms,
        )


class DetectedPayload(Payload[Detected]):
    """A frame and its candidates on their way to the miner."""

    frame: FramePayload
    candidates: PackedDetections
    confidence: Score
    model: Name
    steps_ms: Milliseconds

    @classmethod
    def of(cls, message: Detected, now_s: float) -> Self:
        return cls(
            frame=FramePayload.of(message.frame, now_s),
            candidates=PackedDetections.of(message.candidates),
            confidence=message.confidence,
            model=message.model,
            steps_ms=dict(message.steps_ms),
        )

    def message(self, now_s: float) -> Detected:
        return Detected(
            self.frame.message(now_s), self.candidates.detections(), self.confidence, self.model, self.steps_ms
        )


class ExamplePayload(Payload[Example]):
    """A detected frame and its verdict on their way to the uplink."""

    detected: DetectedPayload
    verdict: VerdictFields
    memory: Memory
    steps_ms: Milliseconds

    @classmethod
    def of(cls, message: Example, now_s: float) -> Self:
        return cls(
            detected=DetectedPayload.of(message.detected, now_s),
            verdict=VerdictFields.of(message.verdict),
            memory=message.verdict.memory,
            steps_ms=dict(message.steps_ms),
        )

    def message(self, now_s: float) -> Example:
        return Example(self.detected.message(now_s), self.verdict.verdict(self.memory), self.steps_ms)


class StorePayload(Payload[Store]):
    """A revision on its way to the sink."""

    result: ResultRecord
    jpeg: Jpeg | None
    counts: CountsFields

    @classmethod
    def of(cls, message: Store, now_s: float) -> Self:
        return cls(
            result=ResultRecord.of(message.result, now_s),
            jpeg=message.image.jpeg if message.image else None,
            counts=CountsFields.of(message.counts),
        )

    def message(self, now_s: float) -> Store:
        return Store(self.result.message(now_s), Image(jpeg=self.jpeg) if self.jpeg else None, self.counts.counts())
