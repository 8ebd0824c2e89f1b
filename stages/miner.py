"""The miner stage: which frames are hard."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from pipeline.errors import DropMessage
from pipeline.messages import Detected, Example, Message, MinerProgress, Recalled, Tick, Undeliverable
from pipeline.model import Detections, Verdict
from pipeline.stage import Clock
from stages.detector import Detector
from stages.failed import failed
from stages.mining.decider import Decider
from stages.mining.memory import Memory
from stages.mining.miner import View

log = structlog.get_logger()

KNOWN: Final = 256
"""The verdicts on so many of a stream's last frames are kept, to be given again.

Those that the sink gave back are kept as well until their frames have come again, however many wait for the cloud."""

ASK_AGAIN_S: Final = (1.0, 5.0)
"""The first and the longest pause between two requests for what was remembered."""


@dataclass(slots=True)
class _Stream:
    """What the stage knows of one stream.

    Attributes:
        known: the verdict on each of the last frames, and what was remembered after it.
        held: frames that wait for the sink's word on what was remembered, or None once it has come.
    """

    known: dict[int, tuple[Verdict, Memory | None]] = field(default_factory=dict)
    held: dict[int, Detected] | None = field(default_factory=dict)
    ask_at_s: float = -math.inf
    pause_s: float = ASK_AGAIN_S[0]


class MinerStage:
    """Turns a ``Detected`` into an ``Example``.

    Where a decision depends on the frames before, what is remembered goes with the verdict into the ledger, and the
    sink is asked for it when a stream begins: frames wait for the answer. A frame is judged by what was remembered
    after the last one before it, so frames in the order of ``seq`` get the same verdicts however often the process is
    killed. A frame that comes twice gets the same answer. A message that cannot be sent on ends its frame as failed.

    Where it has a detector, frames are mined first (Sedna's ``mining-then-inference``): they come unseen, and the
    edge's model looks at those alone that are not hard. A hard one goes on without boxes and without the model's name.
    """

    def __init__(
        self, decider: Decider, *, clock: Clock, incarnation: str = "", detector: Detector | None = None
    ) -> None:
        """Judge frames by ``decider``.

        Args:
            decider: miner, near-duplicates and budget.
            clock: the monotonic one; miners never see it.
            incarnation: changes with every start.
            detector: the little model, where frames are mined first.
        """
        self._decider = decider
        self._detector = detector
        self._clock = clock
        self._incarnation = incarnation
        self._streams: dict[str, _Stream] = {}

    def process(self, message: Message) -> Sequence[Message]:
        """Answer a ``Detected``; see ``Stage.process``."""
        match message:
            case Detected() if self._decider.remembers(message.id.stream):
                return list(self._in_order(message))
            case Detected():
                return list(self._alone(message))
            case Recalled(incarnation=self._incarnation):
                return list(self._recalled(message))
            case Tick(now_s=now_s):
                return [ask for name, stream in self._streams.items() for ask in self._ask(name, stream, now_s)]
            case Undeliverable(message=Example() as example, reason=reason):
                return failed(example, reason, self._clock())
        return ()

    @property
    def wakes_at_s(self) -> float:
        """When the sink is asked again."""
        return min((stream.ask_at_s for stream in self._streams.values() if stream.held is not None), default=math.inf)

    @property
    def drained(self) -> bool:
        """Always: what waits here is the reader's to hold."""
        return True

    def _alone(self, detected: Detected) -> Iterator[Message]:
        started_s = self._clock()
        try:
            _, verdict = self._decider.decide(Memory(), view_of(detected))
        except DropMessage as error:
            yield from self._unreadable(detected, error)
        else:
            yield from self._example(detected, self._said(verdict), started_s)

    def _in_order(self, detected: Detected) -> Iterator[Message]:
        stream = self._streams.setdefault(detected.id.stream, _Stream())
        if stream.held is None:
            yield from self._judged(stream, detected)
            return
        stream.held[detected.id.seq] = detected
        yield from self._ask(detected.id.stream, stream, self._clock())

    def _ask(self, name: str, stream: _Stream, now_s: float) -> Iterator[Message]:
        if stream.held is None or now_s < stream.ask_at_s:
            return
        stream.ask_at_s = now_s + stream.pause_s
        stream.pause_s = min(2 * stream.pause_s, ASK_AGAIN_S[1])
        yield MinerProgress(name, self._incarnation, asks=True)

    def _recalled(self, recalled: Recalled) -> Iterator[Message]:
        stream = self._streams.get(recalled.stream)
        if stream is None or stream.held is None:
            return
        for seq, verdict in recalled.judged:
            stream.known[seq] = verdict, _memory(verdict, recalled.stream, seq)
        held, stream.held = stream.held, None
        for _, detected in sorted(held.items()):
            yield from self._judged(stream, detected)

    def _judged(self, stream: _Stream, detected: Detected) -> Iterator[Message]:
        started_s = self._clock()
        seq = detected.id.seq
        if seq not in stream.known:
            before = max((known for known, (_, there) in stream.known.items() if there and known < seq), default=0)
            memory = stream.known[before][1] if before else None
            try:
                memory, verdict = self._decider.decide(memory or Memory(), view_of(detected))
            except DropMessage as error:
                yield from self._unreadable(detected, error)
                return
            stream.known[seq] = self._said(replace(verdict, memory=memory.text())), memory
            for old in sorted(known for known in stream.known if known <= seq)[:-KNOWN]:
                del stream.known[old]
        yield from self._example(detected, stream.known[seq][0], started_s)

    def _said(self, verdict: Verdict) -> Verdict:
        """The verdict, which says so where nobody looks at its frame. What the sink gives back has said it already."""
        if self._detector is None or not verdict.hard:
            return verdict
        return replace(verdict, reason=f"{verdict.reason}; the edge's model has not looked at it")

    def _example(self, detected: Detected, verdict: Verdict, started_s: float) -> Iterator[Message]:
        steps_ms = {**detected.steps_ms, "mine": (self._clock() - started_s) * 1000}
        if self._detector is None:
            yield Example(detected, verdict, steps_ms)
            return
        started_s = self._clock()
        try:
            _ = detected.frame.image.pixels  # the sink draws on them, and a damaged picture would never be stored
            candidates = Detections.empty() if verdict.hard else self._detector.detect(detected.frame.image)
        except DropMessage as error:
            yield from self._unreadable(detected, error)
            return
        if verdict.hard:
            yield Example(detected, verdict, steps_ms)
            return
        seen = replace(detected, candidates=candidates, model=self._detector.model)
        yield Example(seen, verdict, {**steps_ms, "detect": (self._clock() - started_s) * 1000})

    def _unreadable(self, detected: Detected, error: DropMessage) -> Iterator[Message]:
        yield from failed(detected, f"the picture cannot be read: {error}", self._clock())


def _memory(verdict: Verdict, stream: str, seq: int) -> Memory | None:
    try:
        return Memory.of(verdict.memory) if verdict.memory else None
    except ValueError as error:
        log.warning("memory_unreadable", stream=stream, seq=seq, reason=str(error))
        return None


def view_of(detected: Detected) -> View:
    """What a miner sees of a detected frame."""
    frame = detected.frame
    return View(
        stream=frame.id.stream,
        seq=frame.id.seq,
        media_s=frame.media_s,
        width=frame.image.width,
        height=frame.image.height,
        candidates=detected.candidates,
        detections=detected.detections,
        confidence=detected.confidence,
        image=frame.image,
    )
