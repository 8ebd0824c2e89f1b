"""The public result, and the form in which it travels to the sink."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Generic, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, WithJsonSchema

from pipeline.messages import Result
from pipeline.model import STREAM_NAME, Detections, Ending, FrameId
from pipeline.payloads.parts import (
    MAX_BOXES,
    Box,
    Count,
    Fields,
    M,
    Memory,
    Milliseconds,
    Name,
    PackedDetections,
    Payload,
    Revision,
    Seconds,
    Seq,
    Text,
    VerdictFields,
    boxes,
    detections,
)

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _instant(value: object) -> object:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _countable(value: datetime) -> datetime:
    if not EPOCH <= value < EPOCH + timedelta(microseconds=(1 << 63) // 1000):
        raise ValueError("lies outside of the 64 bits of nanoseconds since 1970")
    return value


Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_instant),
    AfterValidator(_countable),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$"}
    ),
]


class Models(Fields):
    """The models that answered."""

    edge: Name = Field(description="The edge model's name; empty where it has not looked at the frame.")
    cloud: Name | None = Field(description="The cloud model's name, where it answered.")


class ResultFields(Payload[M], Generic[M]):
    """What every form of a result has."""

    stream: str = Field(pattern=f"^{STREAM_NAME.pattern}$", description="The camera or file.")
    seq: Seq = Field(description="The number of the frame in its source, from 1.")
    revision: Revision = Field(description="1 is the edge's answer, 2 a hard frame's end.")
    source: Literal["edge", "cloud"] = Field(description="Whose boxes these are.")
    final: bool = Field(description="Whether no later revision will come.")
    ending: Literal["easy", "cloud", "expired", "failed"] | None = Field(
        description="The frame's final state; null while the cloud may still answer."
    )
    reason: Text = Field(description="Why it expired or failed; else empty.")
    captured: Instant = Field(description="Wall clock of the edge at capture.")
    media_s: Seconds = Field(description="Position in the source, in seconds.")
    width: Count = Field(description="Width of the source picture in pixels.")
    height: Count = Field(description="Height of the source picture in pixels.")
    verdict: VerdictFields = Field(description="Whether the frame was hard: miner, score, threshold, and the reason.")
    models: Models = Field(description="The names of the models that answered, edge and cloud.")
    worker: Name | None = Field(description="The worker that answered, if one did.")
    latency_ms: float = Field(description="From capture to this revision.")
    upload_bytes: Count = Field(description="Bytes of JPEG sent to workers for this frame.")
    steps_ms: Milliseconds = Field(description="Milliseconds that each step took.")

    @staticmethod
    def fields(result: Result) -> dict[str, Any]:
        """The common fields of a result."""
        return {
            "stream": result.id.stream,
            "seq": result.id.seq,
            "revision": result.revision,
            "source": result.source,
            "final": result.final,
            "ending": result.ending and result.ending.value,
            "reason": result.reason,
            "captured": EPOCH + timedelta(microseconds=result.captured_ns // 1000),
            "media_s": result.media_s,
            "width": result.width,
            "height": result.height,
            "verdict": VerdictFields.of(result.verdict),
            "models": Models(edge=result.edge_model, cloud=result.cloud_model),
            "worker": result.worker,
            "latency_ms": round(result.latency_ms, 3),
            "upload_bytes": result.upload_bytes,
            "steps_ms": {step: round(ms, 3) for step, ms in result.steps_ms.items()},
        }

    def result(self, detections: Detections, memory: str = "") -> Result:
        """The result with these detections, and what the miner remembers after it."""
        return Result(
            id=FrameId(self.stream, self.seq),
            revision=self.revision,
            ending=Ending(self.ending) if self.ending else None,
            reason=self.reason,
            source=self.source,
            captured_ns=(self.captured - EPOCH) // timedelta(microseconds=1) * 1000,
            media_s=self.media_s,
            width=self.width,
            height=self.height,
            detections=detections,
            verdict=self.verdict.verdict(memory),
            edge_model=self.models.edge,
            cloud_model=self.models.cloud,
            worker=self.worker,
            latency_ms=self.latency_ms,
            upload_bytes=self.upload_bytes,
            steps_ms=self.steps_ms,
        )


class ResultPayload(ResultFields[Result]):
    """One revision of the answer for a frame, on ``tandem/{service}/{stream}/results``."""

    boxes: Annotated[list[Box], Field(max_length=MAX_BOXES)] = Field(description="What was seen, best score first.")

    @classmethod
    def of(cls, message: Result, now_s: float) -> Self:  # noqa: ARG003 - a result has no age
        return cls(**cls.fields(message), boxes=boxes(message.detections))

    def message(self, now_s: float) -> Result:  # noqa: ARG002 - a result has no age
        return self.result(detections(self.boxes))


class ResultRecord(ResultFields[Result]):
    """A result on its way to the sink, with its boxes exact."""

    detections: PackedDetections
    memory: Memory

    @classmethod
    def of(cls, message: Result, now_s: float) -> Self:  # noqa: ARG003 - a result has no age
        return cls(
            **cls.fields(message), detections=PackedDetections.of(message.detections), memory=message.verdict.memory
        )

    def message(self, now_s: float) -> Result:  # noqa: ARG002 - a result has no age
        return self.result(self.detections.detections(), self.memory)
