"""Every metric of Tandem: its name, type, labels and meaning. The README's table is made from this.

Names follow Prometheus' practices (https://prometheus.io/docs/practices/naming/): base units, ``_total`` for what only
rises, and labels over which a sum makes sense.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, as Prometheus knows it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


_STREAM: Final = ("stream",)
_STAGE: Final = ("stage", "stream")

READ: Final = Metric("tandem_frames_read_total", "counter", _STREAM, "frames that the source gave")
SKIPPED: Final = Metric(
    "tandem_frames_skipped_total", "counter", _STREAM, "frames that sampling left out, or that cannot be read"
)
DROPPED: Final = Metric(
    "tandem_frames_dropped_total", "counter", _STREAM, "frames of a camera that found the window full"
)
ADMITTED: Final = Metric("tandem_frames_admitted_total", "counter", _STREAM, "frames that entered the pipeline")
ENDED: Final = Metric(
    "tandem_frames_ended_total",
    "counter",
    ("stream", "ending"),
    "admitted frames by how they ended: easy, cloud, expired, failed or interrupted",
)
PENDING: Final = Metric("tandem_frames_pending", "gauge", _STREAM, "admitted frames that have not ended")
UPLOAD: Final = Metric(
    "tandem_upload_bytes_total", "counter", _STREAM, "bytes of JPEG sent to workers for frames that ended"
)
JUDGED: Final = Metric(
    "tandem_gain_judged_frames_total", "counter", ("stream", "verdict"), "frames that the miner found hard or easy"
)
ANSWERED: Final = Metric(
    "tandem_gain_answered_frames_total",
    "counter",
    ("stream", "verdict"),
    "of these the frames that the cloud answered; of easy ones those that were audited",
)
CORRECTED: Final = Metric(
    "tandem_gain_corrected_frames_total",
    "counter",
    ("stream", "verdict"),
    "of these the frames in which the cloud changed anything",
)
MISSED: Final = Metric(
    "tandem_gain_missed_frames_total",
    "counter",
    ("stream", "verdict"),
    "of these the frames in which the cloud saw what the edge did not",
)
GAIN: Final = Metric(
    "tandem_gain_ratio",
    "gauge",
    ("stream", "of", "bound"),
    "estimate, or low or high end of its 95 % interval: of all frames missed, or corrected; recall of the miner",
)
SOURCE: Final = Metric(
    "tandem_source_status",
    "gauge",
    ("stream", "status"),
    "1 for what the source is doing: opening, running, waiting, retrying, stopped or ended; 0 for the others",
)
WINDOW: Final = Metric("tandem_reader_window_frames", "gauge", _STREAM, "frames under way that are not stored")
BACKLOG: Final = Metric("tandem_reader_backlog_frames", "gauge", _STREAM, "frames of a file that are not final")
QUEUED: Final = Metric("tandem_uplink_queued_frames", "gauge", _STREAM, "hard frames that wait for a worker")
OFFERED: Final = Metric("tandem_uplink_offered_frames", "gauge", _STREAM, "hard frames that a worker has")
LATE: Final = Metric("tandem_uplink_late_answers_total", "counter", _STREAM, "answers that came after the decision")
WORKERS: Final = Metric("tandem_uplink_workers", "gauge", (), "workers that are known and alive")
CREDIT: Final = Metric("tandem_uplink_credit_frames", "gauge", (), "frames that workers would take from here now")
OUTBOX: Final = Metric("tandem_outbox_frames", "gauge", (), "hard frames whose end is not stored")
OUTBOX_BYTES: Final = Metric(
    "tandem_outbox_bytes", "gauge", (), "bytes of the pictures of hard frames that have no end yet"
)
UNCOMMITTED: Final = Metric("tandem_sink_uncommitted_revisions", "gauge", (), "answers that wait for a commit")
REFUSED: Final = Metric("tandem_sink_refused_revisions", "gauge", (), "answers that the disk does not take now")
ANSWER: Final = Metric(
    "tandem_answer_latency_seconds",
    "histogram",
    ("stream", "source"),
    "from capture to the answer of the edge, or of the cloud",
)
INFERENCE: Final = Metric(
    "tandem_inference_duration_seconds",
    "histogram",
    ("stage",),
    "what a model takes for a picture, its decoding included",
)
FAILED_INFERENCES: Final = Metric(
    "tandem_inference_failures_total", "counter", ("stage",), "pictures a worker failed on"
)
ANSWERS: Final = Metric(
    "tandem_worker_answers_total", "counter", ("status",), "a worker's answers: answered, busy or error"
)
SLOTS: Final = Metric("tandem_worker_slots", "gauge", (), "frames that the worker wants to hold")
SHARE: Final = Metric("tandem_worker_share_frames", "gauge", (), "slots that each of its uplinks may use")
WORKER_QUEUE: Final = Metric("tandem_worker_queue_frames", "gauge", (), "frames that the worker holds")
INBOX: Final = Metric("tandem_stage_inbox_messages", "gauge", _STAGE, "messages that wait for a stage")
STAGE_CPU: Final = Metric(
    "tandem_stage_cpu_seconds_total",
    "counter",
    _STAGE,
    "CPU time of a stage's thread; background runs a worker's model",
)
MALFORMED: Final = Metric(
    "tandem_messages_dropped_total", "counter", ("where",), "malformed messages, by kind of topic or by stage"
)
UNDELIVERABLE: Final = Metric(
    "tandem_messages_undeliverable_total", "counter", ("stage",), "messages that are too large, or cannot be encoded"
)
CONNECTED: Final = Metric("tandem_broker_connected", "gauge", (), "1 while the broker is reached")
CONNECTIONS: Final = Metric(
    "tandem_broker_connections_total", "counter", (), "connections made, the first one included"
)
REFUSALS: Final = Metric("tandem_broker_refused_packets_total", "counter", (), "packets that the broker refused")
PACKETS: Final = Metric(
    "tandem_broker_waiting_packets",
    "gauge",
    ("state",),
    "packets that are kept while the broker is away, queued, or unacknowledged",
)
LOST_PACKETS: Final = Metric(
    "tandem_broker_dropped_packets_total",
    "counter",
    ("reason",),
    "packets dropped: offline (the stages send them again), overflow of those kept, or too_large",
)
BUILD: Final = Metric(
    "tandem_build_info", "gauge", ("version", "service", "process"), "always 1; the labels say what runs here"
)
MODEL: Final = Metric(
    "tandem_model_info", "gauge", ("model", "provider"), "always 1; the labels name a model and what it really runs on"
)

METRICS: Final = (
    READ,
    SKIPPED,
    DROPPED,
    ADMITTED,
    ENDED,
    PENDING,
    UPLOAD,
    JUDGED,
    ANSWERED,
    CORRECTED,
    MISSED,
    GAIN,
    SOURCE,
    WINDOW,
    BACKLOG,
    QUEUED,
    OFFERED,
    LATE,
    WORKERS,
    CREDIT,
    OUTBOX,
    OUTBOX_BYTES,
    UNCOMMITTED,
    REFUSED,
    ANSWER,
    INFERENCE,
    FAILED_INFERENCES,
    ANSWERS,
    SLOTS,
    SHARE,
    WORKER_QUEUE,
    INBOX,
    STAGE_CPU,
    MALFORMED,
    UNDELIVERABLE,
    CONNECTED,
    CONNECTIONS,
    REFUSALS,
    PACKETS,
    LOST_PACKETS,
    BUILD,
    MODEL,
)
"""In the order of the README's table. The process's own (``process_...``) come from prometheus-client."""
