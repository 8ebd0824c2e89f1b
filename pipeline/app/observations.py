"""What is kept of the messages that pass a stage: the newest of some, counts and durations of others."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any, Final

from pipeline.messages import (
    CloudAnswer,
    Detected,
    Example,
    Inferred,
    Message,
    ReaderProgress,
    Result,
    State,
    Undeliverable,
    UplinkProgress,
    WorkerState,
)

ANSWER_BOUNDS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
INFERENCE_BOUNDS_S: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Durations:
    """How many durations fell into which bucket. One thread adds, any thread reads."""

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        """Count durations up to and including each of ``bounds_s``, and those beyond."""
        self._bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def add(self, duration_ms: float) -> None:
        """Count one more."""
        duration_s = duration_ms / 1e3
        self._counts[bisect_left(self._bounds_s, duration_s)] += 1
        self.sum_s += duration_s

    def __add__(self, other: Durations) -> Durations:
        """Both together; their bounds must be the same."""
        both = Durations(self._bounds_s)
        both._counts = [one + two for one, two in zip(self._counts, other._counts, strict=True)]
        both.sum_s = self.sum_s + other.sum_s
        return both

    def buckets(self) -> list[tuple[str, int]]:
        """The upper bound of each bucket, and how many durations lie below it."""
        names = [*map(repr, self._bounds_s), "+Inf"]
        return list(zip(names, accumulate(self._counts), strict=True))


class Observations:
    """What was seen of one stage: an ``Observer``.

    The stage's thread alone writes here, so nothing needs a lock. Who reads sees each value whole, and copies what may
    grow before walking over it.

    Attributes:
        states, readers, uplinks: the newest message of each stream.
        worker: the newest announcement of the worker that is this stage.
        answers: a worker's answers by their status.
        latencies: from capture to an answer, by its stream and by whether ``edge`` or ``cloud`` gave it.
        inferences: how long the model took, by the stage.
        failed_inferences: those that ended with an error.
        undeliverable: messages of this stage that could not be sent at all.
    """

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.readers: dict[str, ReaderProgress] = {}
        self.uplinks: dict[str, UplinkProgress] = {}
        self.worker: WorkerState | None = None
        self.answers: Counter[str] = Counter()
        self.latencies: dict[tuple[str, str], Durations] = {}
        self.inferences: dict[str, Durations] = {}
        self.failed_inferences = 0
        self.undeliverable = 0
        self._recovered: dict[str, frozenset[int]] = {}

    def took(self, message: Message) -> None:
        """The stage is about to handle this."""
        if note := _TAKEN.get(type(message)):
            note(self, message)

    def sent(self, message: Message) -> None:
        """The stage has sent this."""
        if note := _SENT.get(type(message)):
            note(self, message)

    def note_state(self, state: State) -> None:
        self.states[state.stream] = state

    def note_reader(self, progress: ReaderProgress) -> None:
        self.readers[progress.stream] = progress

    def note_uplink(self, progress: UplinkProgress) -> None:
        self.uplinks[progress.stream] = progress
        if progress.stream not in self._recovered:  # it is the same in every report
            self._recovered[progress.stream] = frozenset(progress.recovered)

    def note_worker(self, state: WorkerState) -> None:
        self.worker = state

    def note_answer(self, answer: CloudAnswer) -> None:
        self.answers[answer.status.value] += 1

    def note_result(self, result: Result) -> None:
        if result.revision == 1:
            counts = result.id.seq not in self._recovered.get(result.id.stream, ())  # an earlier process gave those
        else:
            counts = result.source == "cloud"  # the rest are decisions without an answer
        if counts:
            key = result.id.stream, result.source
            if key not in self.latencies:
                self.latencies[key] = Durations(ANSWER_BOUNDS_S)
            self.latencies[key].add(result.latency_ms)

    def note_detected(self, detected: Detected) -> None:
        self._inference("detector", detected.steps_ms.get("detect"))

    def note_example(self, example: Example) -> None:
        if "detect" not in example.detected.steps_ms:  # mined first: the model looked after the miner, if at all
            self._inference("detector", example.steps_ms.get("detect"))

    def note_inferred(self, inferred: Inferred) -> None:
        if inferred.detections is None:
            self.failed_inferences += 1
        else:
            self._inference("cloud", inferred.steps_ms.get("cloud_detect"))

    def note_undeliverable(self, _: Undeliverable) -> None:
        self.undeliverable += 1

    def _inference(self, stage: str, duration_ms: float | None) -> None:
        if duration_ms is None:
            return
        if stage not in self.inferences:
            self.inferences[stage] = Durations(INFERENCE_BOUNDS_S)
        self.inferences[stage].add(duration_ms)


_Note = Callable[[Observations, Any], None]

_SENT: Final[Mapping[type[Any], _Note]] = {
    State: Observations.note_state,
    ReaderProgress: Observations.note_reader,
    UplinkProgress: Observations.note_uplink,
    WorkerState: Observations.note_worker,
    CloudAnswer: Observations.note_answer,
    Result: Observations.note_result,
    Detected: Observations.note_detected,
    Example: Observations.note_example,
}

_TAKEN: Final[Mapping[type[Any], _Note]] = {
    Inferred: Observations.note_inferred,
    Undeliverable: Observations.note_undeliverable,
}
