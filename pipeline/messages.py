"""The messages that flow between stages. Which goes where is said in ``pipeline.routes``.

Pictures and arrays pass by reference inside a process. Only durations cross processes: ``born_s`` is a time of this
process's monotonic clock, and the wire carries the age in its place (the time on the network is not in it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pipeline.gain import Gain
from pipeline.image import Image
from pipeline.model import Counts, Detections, Ending, FrameId, Tally, Verdict

Milliseconds = Mapping[str, float]
"""How long each step took, by its name."""

SEQ_AHEAD: Final = 10_000
"""So far beyond the last number that is on the sink's disk a camera's reader may number its frames."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A sampled picture, admitted into the pipeline.

    Attributes:
        captured_ns: wall clock at capture, nanoseconds since the epoch.
        media_s: position in the source, seconds; miners know no other time.
        born_s: monotonic clock of this process at capture.
        counts: the reader's counts with this frame in them.
    """

    id: FrameId
    image: Image
    captured_ns: int
    media_s: float
    born_s: float
    counts: Counts
    steps_ms: Milliseconds


@dataclass(frozen=True, slots=True, eq=False)
class Detected:
    """A frame and what the edge model saw in it.

    Attributes:
        candidates: everything down to the detector's floor, which miners look at.
        confidence: the score from which on a candidate is reported.
        model: the edge model's name.
    """

    frame: Frame
    candidates: Detections
    confidence: float
    model: str
    steps_ms: Milliseconds

    @property
    def id(self) -> FrameId:
        return self.frame.id

    @property
    def detections(self) -> Detections:
        """The candidates that are reported."""
        return self.candidates.at_least(self.confidence)


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A detected frame and the miner's verdict on it."""

    detected: Detected
    verdict: Verdict
    steps_ms: Milliseconds

    @property
    def id(self) -> FrameId:
        return self.detected.id


@dataclass(frozen=True, slots=True, eq=False)
class HardExample:
    """A hard frame on its way to one worker.

    Attributes:
        attempt: counts the offers of this frame, from 1; the answer carries it back.
        expires_s: what is left of the frame's deadline; later than that nobody wants an answer.
        uplink: the process that offers it. Workers share their slots among the uplinks they see.
    """

    id: FrameId
    worker: str
    uplink: str
    attempt: int
    expires_s: float
    image: Image
    detections: Detections
    verdict: Verdict


class AnswerStatus(StrEnum):
    """How a worker answers."""

    ANSWERED = "answered"
    BUSY = "busy"
    ERROR = "error"


@dataclass(frozen=True, slots=True, eq=False)
class CloudAnswer:
    """A worker's answer to one offer: boxes, ``busy`` (its queue is full), or an error with its reason.

    Attributes:
        wait_s: with ``busy``, when this uplink's turn will be about; 0 where that is not known.
    """

    id: FrameId
    worker: str
    incarnation: str
    attempt: int
    status: AnswerStatus
    detections: Detections
    model: str
    reason: str
    steps_ms: Milliseconds
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The answer for a frame, as the public sees it.

    Attributes:
        revision: 1 from the edge, 2 for a hard frame's end.
        ending: the frame's final state, or None while the cloud may still answer.
        reason: why it ended so, where that is not plain; else empty.
        source: whose boxes these are, ``edge`` or ``cloud``.
        latency_ms: from capture to this revision's decision, time on the network between edge stages left out.
        upload_bytes: what was sent to workers for this frame.
    """

    id: FrameId
    revision: int
    ending: Ending | None
    reason: str
    source: str
    captured_ns: int
    media_s: float
    width: int
    height: int
    detections: Detections
    verdict: Verdict
    edge_model: str
    cloud_model: str | None
    worker: str | None
    latency_ms: float
    upload_bytes: int
    steps_ms: Milliseconds

    @property
    def final(self) -> bool:
        """Whether no later revision will come."""
        return self.ending is not None


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """A revision for the sink to keep. Revision 1 brings the picture; for revision 2 the sink has it."""

    result: Result
    image: Image | None
    counts: Counts

    @property
    def id(self) -> FrameId:
        return self.result.id


@dataclass(frozen=True, slots=True)
class Stored:
    """The sink's word that a revision is on disk. It is the only confirmation there is."""

    id: FrameId
    revision: int
    final: bool
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NotStored:
    """The sink holds this revision but cannot store it now (the disk is full): it goes on trying, so send it no more.

    ``Stored`` follows when there is room.
    """

    id: FrameId
    revision: int
    reason: str


class SourceStatus(StrEnum):
    """What a reader is doing."""

    OPENING = "opening"
    RUNNING = "running"
    WAITING = "waiting"
    RETRYING = "retrying"
    STOPPED = "stopped"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class ReaderProgress:
    """What a reader has read, and what it waits for. While ``opening`` it asks the sink for a ``Resume``.

    A camera's reader asks again where it would number a frame beyond what it may.

    Attributes:
        incarnation: changes with every start of the reader.
        fingerprint: of everything that shapes the stream's results.
        live: whether the source is a camera, which cannot be read again.
    """

    stream: str
    incarnation: str
    fingerprint: str
    source: str
    live: bool
    status: SourceStatus
    reason: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class UplinkProgress:
    """What an uplink holds for one stream.

    Attributes:
        incarnation: changes with every start of the uplink.
        recovered: sequence numbers of the hard frames it found in its outbox when it started.
        queued: hard frames that wait for a worker.
        offered: hard frames that a worker has.
        workers: workers that are known and alive.
        late: answers that came after the decision.
        waiting: why nothing moves, or empty.
    """

    stream: str
    incarnation: str
    recovered: tuple[int, ...]
    queued: int
    offered: int
    workers: int
    late: int
    waiting: str


@dataclass(frozen=True, slots=True)
class MinerProgress:
    """A miner that judges over time asks what is remembered of a stream; ``Recalled`` is the answer.

    Attributes:
        incarnation: changes with every start of the miner.
        asks: always true; it tells this message from other progress.
    """

    stream: str
    incarnation: str
    asks: bool


@dataclass(frozen=True, slots=True)
class Recalled:
    """The sink's answer to a miner.

    Attributes:
        incarnation: the miner's that asked.
        judged: verdicts on the newest frames, with what was remembered after each, and on those that are not final, by
            ``seq``.
    """

    stream: str
    incarnation: str
    judged: tuple[tuple[int, Verdict], ...]


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a reader goes on: the sink's answer to ``opening``.

    Attributes:
        incarnation: the reader's that asked.
        counts: what the stream had counted before; a file is counted anew, a camera goes on from here.
        done: sequence numbers that need no reading, as sorted, inclusive ranges. A camera goes on behind the last one,
            up to ``SEQ_AHEAD`` beyond it; each ``Stored`` takes that further, and so does asking again.
        refused: why this stream may not go on, or empty.
    """

    stream: str
    incarnation: str
    counts: Counts
    done: tuple[tuple[int, int], ...]
    refused: str


@dataclass(frozen=True, slots=True)
class State:
    """One stream as the sink knows it: its source and its ledger.

    Attributes:
        removed: of how many frames the pictures were removed, since only so much is kept (``sink.keep``).
        gain: what the edge misses and what the cloud corrects.
    """

    stream: str
    source: str
    live: bool
    status: SourceStatus
    reason: str
    tally: Tally
    upload_bytes: int
    queued: int
    offered: int
    workers: int
    late: int
    waiting: str
    removed: int
    gain: Gain


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker's announcement.

    Attributes:
        incarnation: changes with every start of the worker.
        slots: how many frames it takes in all before it answers ``busy`` to some.
        share: how many of them each uplink may use.
        queue: how many it holds now.
        service_ms: what a frame takes it, a running mean; 0 before its first frame.
        provider: the ONNX Runtime execution provider that is really used.
        gone: it says goodbye.
    """

    worker: str
    incarnation: str
    slots: int
    share: int
    queue: int
    service_ms: float
    model: str
    provider: str
    gone: bool


@dataclass(frozen=True, slots=True)
class StageState:
    """A process and what it hosts.

    Attributes:
        models: the models loaded and what each really runs on, e.g. ``little on CPUExecutionProvider``.
        online: false in its will, and when it says goodbye.
        unsent: public messages that it has dropped, since the broker was away for too long or takes none so large.
        refused: messages that the broker has refused, as by its ACL.
    """

    process: str
    incarnation: str
    stages: tuple[str, ...]
    streams: tuple[str, ...]
    models: tuple[str, ...]
    online: bool
    unsent: int
    refused: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: it is ``now_s`` on the monotonic clock."""

    now_s: float


@dataclass(frozen=True, slots=True)
class Drain:
    """Take nothing new, finish what is here, do not wait for the cloud."""


@dataclass(frozen=True, slots=True, eq=False)
class Inferred:
    """A worker's own inference is done: ``detections``, or the ``error`` it ended with."""

    example: HardExample
    detections: Detections | None
    error: str
    steps_ms: Milliseconds


WireMessage = (
    Frame
    | Detected
    | Example
    | HardExample
    | CloudAnswer
    | Result
    | Store
    | Stored
    | NotStored
    | ReaderProgress
    | UplinkProgress
    | MinerProgress
    | Resume
    | Recalled
    | State
    | WorkerState
    | StageState
)


@dataclass(frozen=True, slots=True, eq=False)
class Undeliverable:
    """A message that this stage sent cannot be sent at all, and never will be."""

    message: WireMessage
    reason: str


Message = WireMessage | Tick | Drain | Inferred | Undeliverable
