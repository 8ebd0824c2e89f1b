"""What Prometheus reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from pipeline.app.exposition import Exposition
from pipeline.app.metrics import METRICS
from pipeline.link import Link, LinkCounts
from pipeline.messages import AnswerStatus, Inferred, Message, SourceStatus, StageState, Undeliverable
from pipeline.model import Detections, Ending, Tally
from pipeline.vitals import Vitals
from tests.examples import (
    cloud_answer,
    detected,
    hard_example,
    reader_progress,
    result,
    stage_state,
    state,
    uplink_progress,
    worker_state,
)

TAKEN = (Inferred, Undeliverable)
LEVELS = {
    "reader": {"window": 3, "backlog": 5},
    "uplink": {"outbox": 7, "outbox_bytes": 9000, "workers": 2, "credit": 6},
    "cloud": {"queue": 4},
    "sink": {"uncommitted": 8, "refused": 1},
}


class AnyLink:
    """A link that is connected, and has lost something of everything."""

    connected = True
    failure = None

    def counts(self) -> LinkCounts:
        return LinkCounts(1, 2, 3, 4, 5, 6, 7)


@dataclass
class Process:
    """A process with every stage."""

    identity: StageState = field(default_factory=stage_state)
    link: Link = field(default_factory=AnyLink)  # type: ignore[arg-type]
    connections: int = 3
    dropped: Counter[str] = field(default_factory=Counter)

    def vitals(self) -> list[Vitals]:
        return [
            Vitals(name, "gate" if name == "reader" else "", alive=True, inbox=2, levels=levels, cpu_s=1.5)
            for name, levels in LEVELS.items()
        ]


class Page:
    """A scrape, by the name and the labels of each sample."""

    def __init__(self, exposition: Exposition) -> None:
        text, self.content_type = exposition.page("")
        self.families = list(text_string_to_metric_families(text.decode()))
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
        }
        assert len(self._values) == sum(len(family.samples) for family in self.families), "something is told twice"

    def __call__(self, name: str, **labels: str) -> float:
        return self._values[name, frozenset(labels.items())]

    def has(self, name: str) -> bool:
        return any(found == name for found, _ in self._values)


def exposed(*messages: Message, process: Process | None = None, more: Sequence[Message] = ()) -> Page:
    """The page of a process with a stage that sent (or took) these messages, and another that sent ``more``."""
    exposition = Exposition("helmet")
    for stage, passed in (("uplink", messages), ("reader", more)):
        seen = exposition.observe(stage, "")
        for message in passed:
            (seen.took if isinstance(message, TAKEN) else seen.sent)(message)
    exposition.started(process or Process())
    return Page(exposition)


EVERYTHING: tuple[Message, ...] = (
    state(),
    reader_progress(),
    replace(uplink_progress(), recovered=()),
    worker_state(),
    cloud_answer(),
    result(),
    detected(),
    Inferred(hard_example(), Detections.empty(), "", {"cloud_detect": 80.0}),
    Undeliverable(result(), "it is too large"),
)


def test_the_table_is_what_is_exposed() -> None:
    page = exposed(*EVERYTHING, process=Process(dropped=Counter({"tandem/helmet/gate/frames": 1})))
    told = {}
    for family in page.families:
        if family.name.startswith("tandem_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            told[name] = (family.type, labels, family.documentation)
    assert told == {metric.name: (metric.kind, set(metric.labels), metric.help) for metric in METRICS}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_practices(metric: object) -> None:
    name, kind = metric.name, metric.kind  # type: ignore[attr-defined]
    assert name.startswith("tandem_")
    assert name.endswith("_total") == (kind == "counter")
    assert name.endswith("_seconds") or kind != "histogram"


def test_the_ledgers_counts() -> None:
    tally = Tally(30, 20, 4, 6, easy=1, cloud=1, expired=1, failed=1, interrupted=1, pending=1)
    page = exposed(state(), replace(state(), tally=tally, upload_bytes=123))
    assert page("tandem_frames_read_total", stream="gate") == 30
    assert page("tandem_frames_skipped_total", stream="gate") == 20
    assert page("tandem_frames_dropped_total", stream="gate") == 4
    assert page("tandem_frames_admitted_total", stream="gate") == 6
    assert page("tandem_frames_pending", stream="gate") == 1
    assert page("tandem_upload_bytes_total", stream="gate") == 123
    for ending in ("easy", "cloud", "expired", "failed", "interrupted"):
        assert page("tandem_frames_ended_total", stream="gate", ending=ending) == 1


def test_a_source_is_in_one_state() -> None:
    page = exposed(reader_progress(status=SourceStatus.RETRYING))
    told = {status: page("tandem_source_status", stream="gate", status=status) for status in SourceStatus}
    assert told == {status: status is SourceStatus.RETRYING for status in SourceStatus}


def test_a_worker_that_was_never_busy_says_so() -> None:
    page = exposed(worker_state(), cloud_answer(), cloud_answer())
    told = {status: page("tandem_worker_answers_total", status=status) for status in AnswerStatus}
    assert told == {"answered": 2, "busy": 0, "error": 0}
    assert page("tandem_inference_failures_total", stage="cloud") == 0
    assert (page("tandem_worker_slots"), page("tandem_worker_share_frames")) == (4, 4)


def test_an_uplink() -> None:
    page = exposed(uplink_progress())
    assert page("tandem_uplink_queued_frames", stream="gate") == 2
    assert page("tandem_uplink_offered_frames", stream="gate") == 1
    assert page("tandem_uplink_late_answers_total", stream="gate") == 0


def test_latencies_are_a_histogram_over_every_stage_that_answers() -> None:
    page = exposed(result(), result(revision=2, ending=Ending.CLOUD), more=[replace(result(), latency_ms=2000.0)])
    bucket = "tandem_answer_latency_seconds_bucket"
    found = {le: page(bucket, stream="gate", source="edge", le=le) for le in ("0.025", "0.05", "1.0", "2.5", "+Inf")}
    assert found == {"0.025": 0, "0.05": 1, "1.0": 1, "2.5": 2, "+Inf": 2}
    assert page("tandem_answer_latency_seconds_count", stream="gate", source="edge") == 2
    assert page("tandem_answer_latency_seconds_sum", stream="gate", source="edge") == pytest.approx(2.045125)
    assert page("tandem_answer_latency_seconds_count", stream="gate", source="cloud") == 1


def test_what_stages_hold() -> None:
    page = exposed()
    assert page("tandem_reader_window_frames", stream="gate") == 3
    assert page("tandem_reader_backlog_frames", stream="gate") == 5
    names = ("outbox_frames", "outbox_bytes", "uplink_workers", "uplink_credit_frames", "worker_queue_frames")
    names += ("sink_uncommitted_revisions", "sink_refused_revisions")
    assert [page(f"tandem_{name}") for name in names] == [7, 9000, 2, 6, 4, 8, 1]
    assert page("tandem_stage_inbox_messages", stage="reader", stream="gate") == 2
    assert page("tandem_stage_cpu_seconds_total", stage="sink", stream="") == 1.5


def test_the_link() -> None:
    page = exposed()
    assert page("tandem_broker_connected") == 1
    assert page("tandem_broker_connections_total") == 3
    assert page("tandem_broker_refused_packets_total") == 1
    dropped = [page("tandem_broker_dropped_packets_total", reason=why) for why in ("offline", "overflow", "too_large")]
    assert dropped == [2, 3, 4]
    waiting = [page("tandem_broker_waiting_packets", state=how) for how in ("kept", "queued", "unacknowledged")]
    assert waiting == [5, 6, 7]


def test_malformed_messages_have_as_many_labels_as_there_are_kinds_of_topics() -> None:
    dropped = Counter({f"tandem/helmet/workers/w-{n}": 1 for n in range(100)})
    dropped.update({"tandem/helmet/gate/results/cloud": 2, "detector": 3, "some/where/else": 4})
    page = exposed(process=Process(dropped=dropped))
    told = {"workers": 100, "results/cloud": 2, "detector": 3, "unknown": 4}
    assert {where: page("tandem_messages_dropped_total", where=where) for where in told} == told


def test_what_runs_here() -> None:
    page = exposed()
    ours = {"version": version("tandem-inference"), "service": "helmet", "process": "edge-1"}
    assert page("tandem_build_info", **ours) == 1
    assert page("tandem_model_info", model="little", provider="CPUExecutionProvider") == 1
    assert page("process_cpu_seconds_total") > 0
    assert page("process_resident_memory_bytes") > 1e6


def test_while_models_load_there_is_the_process_alone() -> None:
    page = Page(Exposition("helmet"))
    assert page.has("process_cpu_seconds_total")
    assert page("tandem_build_info", version=version("tandem-inference"), service="helmet", process="") == 1
    assert not page.has("tandem_broker_connected")


def test_prometheus_may_ask_for_openmetrics() -> None:
    exposition = Exposition("helmet")
    for message in EVERYTHING:
        exposition.observe("uplink", "").sent(message)
    exposition.started(Process())
    text, content_type = exposition.page("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert "tandem_frames_read" in {family.name for family in openmetrics_families(text.decode())}


@pytest.mark.parametrize("accept", ["", "*/*", "application/openmetrics-text;version=x", "text/plain;version=1.x"])
def test_whoever_asks_for_nothing_that_we_have_gets_plain_text(accept: str) -> None:
    _, content_type = Exposition("helmet").page(accept)
    assert content_type.startswith("text/plain; version=0.0.4")
