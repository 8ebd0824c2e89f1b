"""Valid messages of every type, for all tests to share: ``from tests.examples import frame``.

Each builder takes what a test cares about and fills in the rest. What two builders have in common agrees: the same
stream, frame and worker.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from pipeline.gain import Estimate, Found, Gain
from pipeline.image import Image, Pixels
from pipeline.messages import (
    AnswerStatus,
    CloudAnswer,
    Detected,
    Example,
    Frame,
    HardExample,
    MinerProgress,
    NotStored,
    ReaderProgress,
    Recalled,
    Result,
    Resume,
    SourceStatus,
    StageState,
    State,
    Store,
    Stored,
    UplinkProgress,
    WireMessage,
    WorkerState,
)
from pipeline.model import BudgetState, Counts, Detections, Ending, FrameId, Tally, Verdict

SERVICE: Final = "helmet"
STREAM: Final = "gate"
WORKER: Final = "cloud-1"
CLASSES: Final = ("person", "helmet", "helmet_on", "helmet_off")
CAPTURED_NS: Final = 1_790_000_000_123_456_000
"""A whole number of microseconds, which is what JSON carries."""


def pixels(width: int = 64, height: int = 48, seed: int = 1) -> Pixels:
    """A picture of blocks, which a JPEG keeps well."""
    coarse = np.random.default_rng(seed).integers(0, 255, (-(-height // 8), -(-width // 8), 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width])


def image(width: int = 64, height: int = 48, seed: int = 1) -> Image:
    """A picture as pixels."""
    return Image(pixels=pixels(width, height, seed))


def detections(scores: Sequence[float] = (0.9, 0.4), names: Sequence[str] = CLASSES) -> Detections:
    """Detections with these scores, each box and label another; exact in hundredths and ten-thousandths."""
    n = len(scores)
    return Detections(
        np.array([(4 * i, 2 * i, 4 * i + 10.5, 2 * i + 20.25) for i in range(n)], np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.arange(n, dtype=np.int32) % max(1, len(names)),
        tuple(names),
    )


def verdict(*, hard: bool = True, score: float | None = 0.75, threshold: float | None = 0.5) -> Verdict:
    """A verdict of IBT."""
    budget = BudgetState("200 kbit/s", "bytes", 1500.5, 500_000.0, 20_000.0)
    return Verdict(hard, "IBT", score, threshold, "3 of 4 boxes score 0.5 or less", duplicate_of=7, budget=budget)


def frame(seq: int = 1, *, stream: str = STREAM, born_s: float = 100.0, picture: Image | None = None) -> Frame:
    """A frame captured at ``born_s`` on this process's monotonic clock."""
    return Frame(
        FrameId(stream, seq),
        picture or image(),
        CAPTURED_NS,
        (seq - 1) / 25,
        born_s,
        Counts(read=seq, skipped=seq - 1, admitted=1),
        {"read": 1.5},
    )


def detected(frame_: Frame | None = None, candidates: Detections | None = None) -> Detected:
    """A frame and its candidates, reported from 0.5 on."""
    return Detected(frame_ or frame(), candidates or detections(), 0.5, "little", {"read": 1.5, "detect": 20.25})


def example(detected_: Detected | None = None, verdict_: Verdict | None = None) -> Example:
    """A detected frame and its verdict, hard unless told otherwise."""
    return Example(detected_ or detected(), verdict_ or verdict(), {"read": 1.5, "detect": 20.25, "mine": 0.125})


def hard_example(seq: int = 1, *, stream: str = STREAM, worker: str = WORKER, attempt: int = 1) -> HardExample:
    """A hard frame offered to a worker, with ten seconds left."""
    return HardExample(FrameId(stream, seq), worker, "edge-1", attempt, 10.0, image(), detections(), verdict())


def cloud_answer(
    seq: int = 1, *, stream: str = STREAM, worker: str = WORKER, status: AnswerStatus = AnswerStatus.ANSWERED
) -> CloudAnswer:
    """A worker's answer; one that is busy or failed has no boxes."""
    answered = status is AnswerStatus.ANSWERED
    return CloudAnswer(
        FrameId(stream, seq),
        worker,
        "w1",
        1,
        status,
        detections() if answered else Detections.empty(),
        "big",
        "" if answered else "the queue is full",
        {"decode": 2.5, "infer": 80.0},
        0.5 if status is AnswerStatus.BUSY else 0.0,
    )


def result(seq: int = 1, *, stream: str = STREAM, revision: int = 1, ending: Ending | None = None) -> Result:
    """A result that is right for its revision and ending."""
    by_cloud = ending is Ending.CLOUD
    return Result(
        id=FrameId(stream, seq),
        revision=revision,
        ending=ending,
        reason="no answer within 600 s" if ending is Ending.EXPIRED else "",
        source="cloud" if by_cloud else "edge",
        captured_ns=CAPTURED_NS,
        media_s=(seq - 1) / 25,
        width=64,
        height=48,
        detections=detections(),
        verdict=verdict(hard=ending is not Ending.EASY),
        edge_model="little",
        cloud_model="big" if by_cloud else None,
        worker=WORKER if by_cloud else None,
        latency_ms=45.125,
        upload_bytes=40_000 if revision == 2 else 0,
        steps_ms={"read": 1.5, "detect": 20.25},
    )


def results() -> tuple[Result, ...]:
    """Both revisions, with every ending that each may have."""
    return (
        *(result(revision=1, ending=ending) for ending in (None, Ending.EASY, Ending.FAILED)),
        *(result(revision=2, ending=ending) for ending in (Ending.CLOUD, Ending.EXPIRED, Ending.FAILED)),
    )


def store(result_: Result | None = None, *, picture: Image | None = None) -> Store:
    """A revision for the sink; the first brings its picture."""
    kept = result_ or result()
    sent = picture or (image() if kept.revision == 1 else None)
    return Store(kept, sent, Counts(read=1, admitted=1))


def stored(seq: int = 1, *, stream: str = STREAM, revision: int = 1, final: bool = False) -> Stored:
    """The sink's word."""
    return Stored(FrameId(stream, seq), revision, final, {"all": f"all/{seq}.jpeg"})


def not_stored(seq: int = 1, *, stream: str = STREAM, revision: int = 1) -> NotStored:
    """The sink's disk is full."""
    return NotStored(FrameId(stream, seq), revision, "No space left on device")


def reader_progress(stream: str = STREAM, *, status: SourceStatus = SourceStatus.RUNNING) -> ReaderProgress:
    """A reader of a file."""
    counts = Counts(read=21, skipped=18, admitted=3)
    return ReaderProgress(stream, "r1", "0123abcd", "gate.mp4", False, status, "", counts)


def uplink_progress(stream: str = STREAM) -> UplinkProgress:
    """An uplink that found two frames in its outbox."""
    return UplinkProgress(stream, "u1", (1, 11), 2, 1, 1, 0, "")


def miner_progress(stream: str = STREAM) -> MinerProgress:
    """A miner that asks what is remembered."""
    return MinerProgress(stream, "m1", asks=True)


def recalled(stream: str = STREAM) -> Recalled:
    """The sink's answer to it."""
    return Recalled(stream, "m1", ((1, dataclasses.replace(verdict(), memory="AAAA")), (11, verdict(hard=False))))


def resume(stream: str = STREAM, *, refused: str = "") -> Resume:
    """The sink's answer to a reader that opens its source."""
    return Resume(stream, "r1", Counts(), ((1, 1), (11, 31)), refused)


def gain() -> Gain:
    """Of a stream with an audited frame."""
    half = Estimate(0.5, 0.25, 0.75)
    return Gain(Found(1, 1, 1, 1), Found(2, 1, 0, 1), half, half, None)


def state(stream: str = STREAM) -> State:
    """A stream in the middle of its file."""
    tally = Tally(read=21, skipped=18, admitted=3, easy=1, cloud=1, pending=1)
    return State(stream, "gate.mp4", False, SourceStatus.RUNNING, "", tally, 40_000, 1, 1, 1, 0, "", 2, gain())


def worker_state(worker: str = WORKER, *, gone: bool = False) -> WorkerState:
    """A worker with four slots."""
    return WorkerState(worker, "w1", 4, 4, 0, 80.5, "big", "CPUExecutionProvider", gone)


def stage_state(process: str = "edge-1", *, streams: Sequence[str] = (STREAM,), online: bool = True) -> StageState:
    """A process with the edge group."""
    return StageState(
        process,
        "p1",
        ("reader", "detector", "miner", "uplink", "sink"),
        tuple(streams),
        ("little on CPUExecutionProvider",),
        online,
        unsent=0,
        refused=0,
    )


BUILDERS: Final[Mapping[type[Any], Callable[[], WireMessage]]] = {
    Frame: frame,
    Detected: detected,
    Example: example,
    HardExample: hard_example,
    CloudAnswer: cloud_answer,
    Result: result,
    Store: store,
    Stored: stored,
    NotStored: not_stored,
    ReaderProgress: reader_progress,
    UplinkProgress: uplink_progress,
    MinerProgress: miner_progress,
    Resume: resume,
    Recalled: recalled,
    State: state,
    WorkerState: worker_state,
    StageState: stage_state,
}
"""A builder for each type of message that travels."""


def comparable(value: Any) -> Any:
    """A message as plain values that ``==`` compares: pictures as their JPEG, arrays with their type and shape."""
    if isinstance(value, Image):
        return value.jpeg
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tolist()
    if dataclasses.is_dataclass(value):
        fields = {field.name: comparable(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {key: comparable(inner) for key, inner in value.items()}
    return value
