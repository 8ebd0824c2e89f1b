"""The values of the metrics, read from a running process when somebody asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Final, Protocol

from pipeline.app import metrics
from pipeline.app.metrics import Metric
from pipeline.app.observations import Durations, Observations
from pipeline.errors import DecodeError
from pipeline.gain import Gain
from pipeline.link import Link
from pipeline.messages import AnswerStatus, ReaderProgress, SourceStatus, StageState, State, UplinkProgress, WorkerState
from pipeline.topics import parse
from pipeline.vitals import Vitals


class Observed(Protocol):
    """What is read of a process that hosts stages, beside its messages; the runner has it."""

    @property
    def identity(self) -> StageState: ...

    @property
    def link(self) -> Link: ...

    @property
    def connections(self) -> int: ...

    @property
    def dropped(self) -> Counter[str]: ...

    def vitals(self) -> list[Vitals]: ...


Labels = tuple[str, ...]
Value = float | Durations
"""A histogram's value is made of durations."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of a metric for some labels."""

    metric: Metric
    labels: Labels
    value: Value


_LEVELS: Final[Mapping[str, Metric]] = {
    "window": metrics.WINDOW,
    "backlog": metrics.BACKLOG,
    "outbox": metrics.OUTBOX,
    "outbox_bytes": metrics.OUTBOX_BYTES,
    "workers": metrics.WORKERS,
    "credit": metrics.CREDIT,
    "queue": metrics.WORKER_QUEUE,
    "uncommitted": metrics.UNCOMMITTED,
    "refused": metrics.REFUSED,
}
"""The metric of each level that a stage may have."""

_ENDINGS: Final = ("easy", "cloud", "expired", "failed", "interrupted")


def of_process(process: Observed) -> Iterator[Reading]:
    """What the process itself knows."""
    for vitals in process.vitals():
        yield from _of_thread(vitals)
    dropped: Counter[str] = Counter()
    for where, count in dict(process.dropped).items():
        dropped[_place(where)] += count
    yield from (Reading(metrics.MALFORMED, (where,), count) for where, count in dropped.items())
    yield from _of_link(process.link, process.connections)
    for model in process.identity.models:
        name, _, provider = model.rpartition(" on ")
        yield Reading(metrics.MODEL, (name, provider), 1)


def of_stage(stage: str, seen: Observations) -> Iterator[Reading]:
    """What was seen of one stage's messages."""
    for state in list(seen.states.values()):
        yield from _of_state(state)
    for reader in list(seen.readers.values()):
        yield from _of_reader(reader)
    for uplink in list(seen.uplinks.values()):
        yield from _of_uplink(uplink)
    if seen.worker:
        yield from _of_worker(seen.worker, seen)
    yield from (Reading(metrics.ANSWER, key, found) for key, found in list(seen.latencies.items()))
    yield from (Reading(metrics.INFERENCE, (name,), found) for name, found in list(seen.inferences.items()))
    yield Reading(metrics.UNDELIVERABLE, (stage,), seen.undeliverable)


def grouped(readings: Iterable[Reading]) -> Mapping[Metric, Mapping[Labels, Value]]:
    """The values of each metric by their labels; values of the same labels, from several stages, are summed."""
    found: dict[Metric, dict[Labels, Value]] = {}
    for reading in readings:
        values = found.setdefault(reading.metric, {})
        before = values.get(reading.labels)
        values[reading.labels] = reading.value if before is None else _sum(before, reading.value)
    return found


def _sum(one: Value, other: Value) -> Value:
    if isinstance(one, Durations):
        assert isinstance(other, Durations)  # noqa: S101 - a metric has values of one type
        return one + other
    assert not isinstance(other, Durations)  # noqa: S101
    return one + other


def _of_state(state: State) -> Iterator[Reading]:
    stream, tally = (state.stream,), state.tally
    yield Reading(metrics.READ, stream, tally.read)
    yield Reading(metrics.SKIPPED, stream, tally.skipped)
    yield Reading(metrics.DROPPED, stream, tally.dropped)
    yield Reading(metrics.ADMITTED, stream, tally.admitted)
    counts = asdict(tally)
    yield from (Reading(metrics.ENDED, (state.stream, ending), counts[ending]) for ending in _ENDINGS)
    yield Reading(metrics.PENDING, stream, tally.pending)
    yield Reading(metrics.UPLOAD, stream, state.upload_bytes)
    yield from _of_gain(state.stream, state.gain)


def _of_gain(stream: str, gain: Gain) -> Iterator[Reading]:
    for verdict, found in (("hard", gain.hard), ("easy", gain.easy)):
        labels = stream, verdict
        yield Reading(metrics.JUDGED, labels, found.frames)
        yield Reading(metrics.ANSWERED, labels, found.answered)
        yield Reading(metrics.CORRECTED, labels, found.corrected)
        yield Reading(metrics.MISSED, labels, found.missed)
    for of, share in (("missed", gain.missed), ("corrected", gain.corrected), ("recall", gain.recall)):
        if share:
            for bound, value in (("estimate", share.share), ("low", share.low), ("high", share.high)):
                yield Reading(metrics.GAIN, (stream, of, bound), value)


def _of_reader(progress: ReaderProgress) -> Iterator[Reading]:
    for status in SourceStatus:
        yield Reading(metrics.SOURCE, (progress.stream, status), int(progress.status is status))


def _of_uplink(progress: UplinkProgress) -> Iterator[Reading]:
    stream = (progress.stream,)
    yield Reading(metrics.QUEUED, stream, progress.queued)
    yield Reading(metrics.OFFERED, stream, progress.offered)
    yield Reading(metrics.LATE, stream, progress.late)


def _of_worker(state: WorkerState, seen: Observations) -> Iterator[Reading]:
    yield Reading(metrics.SLOTS, (), state.slots)
    yield Reading(metrics.SHARE, (), state.share)
    yield from (Reading(metrics.ANSWERS, (status,), seen.answers[status]) for status in AnswerStatus)
    yield Reading(metrics.FAILED_INFERENCES, ("cloud",), seen.failed_inferences)


def _of_thread(vitals: Vitals) -> Iterator[Reading]:
    stage = vitals.name, vitals.stream
    if vitals.inbox is not None:
        yield Reading(metrics.INBOX, stage, vitals.inbox)
    if vitals.cpu_s is not None:
        yield Reading(metrics.STAGE_CPU, stage, vitals.cpu_s)
    for level, count in vitals.levels.items():
        metric = _LEVELS[level]
        yield Reading(metric, (vitals.stream,) if metric.labels else (), count)


def _of_link(link: Link, connections: int) -> Iterator[Reading]:
    counts = link.counts()
    yield Reading(metrics.CONNECTED, (), int(link.connected))
    yield Reading(metrics.CONNECTIONS, (), connections)
    yield Reading(metrics.REFUSALS, (), counts.refused)
    yield Reading(metrics.PACKETS, ("kept",), counts.kept)
    yield Reading(metrics.PACKETS, ("queued",), counts.queued)
    yield Reading(metrics.PACKETS, ("unacknowledged",), counts.under_way)
    yield Reading(metrics.LOST_PACKETS, ("offline",), counts.dropped)
    yield Reading(metrics.LOST_PACKETS, ("overflow",), counts.dropped_kept)
    yield Reading(metrics.LOST_PACKETS, ("too_large",), counts.dropped_large)


def _place(where: str) -> str:
    """The kind of a topic: the topics themselves may be as many as somebody likes to make up."""
    if "/" not in where:
        return where
    try:
        return parse(where).kind
    except DecodeError:
        return "unknown"
