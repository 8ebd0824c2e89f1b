"""The sink says ``Stored`` when it is on disk, the same again when asked again, and what it cannot store it keeps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from pipeline.errors import DropMessage, StorageError
from pipeline.image import Image
from pipeline.messages import (
    Drain,
    Message,
    MinerProgress,
    NotStored,
    ReaderProgress,
    Recalled,
    Result,
    Resume,
    SourceStatus,
    State,
    Store,
    Stored,
    Tick,
    Undeliverable,
    UplinkProgress,
)
from pipeline.model import Counts, Detections, Ending, FrameId, Tally, Verdict
from stages.ledger import SqliteLedger
from stages.sink import COMMIT_AFTER_S, COMMIT_AT, Sink
from stages.sink_stores import Written


class Disk:
    """An ``OutputStore`` that only says what it would write, unless it is full."""

    def __init__(self) -> None:
        self.full = False
        self.writes: list[tuple[str, int]] = []

    def edge(self, result: Result, image: Image) -> Written:
        return self._write("edge", result, ("all", "dataset") if result.verdict.hard else ("all",))

    def cloud(self, result: Result, before: tuple[str, ...]) -> Written:
        return self._write("cloud", result, ("all",))

    def paths(self, frame: FrameId, files: tuple[str, ...]) -> Mapping[str, str]:
        return {name: f"{name}/{frame.seq}" for name in files}

    def _write(self, what: str, result: Result, files: tuple[str, ...]) -> Written:
        if self.full:
            raise StorageError("no space left")
        self.writes.append((what, result.id.seq))
        return Written(files, 4096 * len(files))


class FragileLedger(SqliteLedger):
    """A ledger whose commits can be made to fail."""

    broken = False
    commits = 0

    def commit(self) -> None:
        if self.broken:
            raise StorageError("the ledger's disk is full")
        self.commits += 1
        super().commit()


class Bench:
    """A sink with a clock that the test moves, fed as the runner would."""

    def __init__(self, path: Path) -> None:
        self.now_s = 100.0
        self.fits = 0
        self.disk = Disk()
        self.ledger = FragileLedger(path, "a test")
        self.sink = Sink(self.ledger, self.disk, lambda: self.now_s)

    def send(self, message: Message) -> list[Message]:
        return list(self.sink.process(message))

    def idle(self) -> list[Message]:
        """No message comes for as long as an answer may wait: what the runner does then."""
        self.now_s = max(self.now_s, min(self.sink.wakes_at_s, self.now_s + COMMIT_AFTER_S))
        return self.send(Tick(self.now_s)) if self.sink.wakes_at_s <= self.now_s else []

    def send_alone(self, message: Message) -> list[Message]:
        return self.send(message) + self.idle()

    def later(self, seconds: float) -> list[Message]:
        self.now_s += seconds
        return self.send(Tick(self.now_s)) if self.sink.wakes_at_s <= self.now_s else []


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "ledger.sqlite")
    yield bench
    bench.ledger.close()


IMAGE = Image(pixels=np.zeros((48, 64, 3), np.uint8))


def store(seq: int, revision: int = 1, ending: Ending | None = None, image: Image | None = IMAGE) -> Store:
    result = Result(
        id=FrameId("gate", seq),
        revision=revision,
        ending=ending,
        reason="",
        source="edge",
        captured_ns=1,
        media_s=0,
        width=64,
        height=48,
        detections=Detections.empty(),
        verdict=Verdict(ending is not Ending.EASY, "IBT", None, None, ""),
        edge_model="little",
        cloud_model=None,
        worker=None,
        latency_ms=1,
        upload_bytes=0,
        steps_ms={},
    )
    return Store(result, image if revision == 1 else None, Counts(seq, 0, 0, seq))


def easy(seq: int) -> Store:
    return store(seq, 1, Ending.EASY)


def reader(status: SourceStatus, read: int = 0, *, incarnation: str = "a", fingerprint: str = "f") -> ReaderProgress:
    return ReaderProgress("gate", incarnation, fingerprint, "clip.mp4", False, status, "", Counts(read, 0, 0, read))


def uplink(queued: int = 0) -> UplinkProgress:
    return UplinkProgress("gate", "u", (), queued, 0, 1, 0, "")


def states(messages: list[Message]) -> list[State]:
    return [message for message in messages if isinstance(message, State)]


def test_an_idle_sink_confirms_at_once(bench: Bench) -> None:
    assert bench.sink.wakes_at_s == math.inf
    assert bench.send(easy(1)) == []
    assert bench.sink.wakes_at_s <= bench.now_s + COMMIT_AFTER_S
    assert bench.idle() == [Stored(FrameId("gate", 1), 1, True, {"all": "all/1"})]
    assert bench.sink.wakes_at_s == math.inf


def test_a_busy_sink_commits_in_groups(bench: Bench) -> None:
    for seq in range(1, COMMIT_AT):
        assert bench.send(easy(seq)) == []
    answers = bench.send(easy(COMMIT_AT))
    assert [answer.id.seq for answer in answers if isinstance(answer, Stored)] == list(range(1, COMMIT_AT + 1))
    assert bench.ledger.commits == 1


def test_nothing_is_confirmed_before_it_is_committed(bench: Bench) -> None:
    for first, again in ((easy(1), easy(1)), (store(2), store(2)), (easy(3), store(3, 2, Ending.CLOUD))):
        assert bench.send(first) == []
        assert bench.send(again) == []
    assert bench.ledger.tally("gate").easy == 0
    assert len(bench.idle()) == 3
    assert bench.ledger.tally("gate").easy == 2


@pytest.mark.parametrize(("revision", "ending"), [(1, None), (2, Ending.CLOUD)])
def test_what_is_stored_is_confirmed_again_and_not_written_again(
    bench: Bench, revision: int, ending: Ending | None
) -> None:
    bench.send_alone(store(1))
    first = bench.send_alone(store(1, revision, ending))
    if revision == 1:
        first = bench.send_alone(store(1))
    writes = list(bench.disk.writes)
    assert bench.send_alone(store(1, revision, ending)) == first != []
    assert bench.disk.writes == writes


def test_the_first_revision_is_confirmed_as_before_when_the_second_is_stored(bench: Bench) -> None:
    first = bench.send_alone(store(1))
    bench.send_alone(store(1, 2, Ending.CLOUD))
    assert (
        bench.send_alone(store(1))
        == first
        == [Stored(FrameId("gate", 1), 1, False, bench.disk.paths(FrameId("gate", 1), ("all", "dataset")))]
    )


def test_a_second_revision_before_the_first_is_ignored_and_counted(bench: Bench) -> None:
    assert bench.send_alone(store(1, 2, Ending.CLOUD)) == []
    assert bench.sink.ahead == 1
    assert bench.disk.writes == []
    bench.send_alone(store(1))
    assert bench.send_alone(store(1, 2, Ending.CLOUD)) == [Stored(FrameId("gate", 1), 2, True, {"all": "all/1"})]


def test_both_revisions_may_share_one_commit(bench: Bench) -> None:
    bench.send(store(1))
    bench.send(store(1, 2, Ending.CLOUD))
    assert [(a.revision, a.final) for a in bench.idle() if isinstance(a, Stored)] == [(1, False), (2, True)]


def test_nothing_changes_a_frame_that_has_ended(bench: Bench) -> None:
    bench.send_alone(store(1))
    bench.send_alone(store(1, 2, Ending.EXPIRED))
    answers = bench.send_alone(store(1, 2, Ending.CLOUD))
    assert [answer.final for answer in answers if isinstance(answer, Stored)] == [True]
    bench.send_alone(easy(2))
    bench.send_alone(store(2, 2, Ending.CLOUD))
    tally = bench.ledger.tally("gate")
    assert (tally.easy, tally.expired, tally.cloud) == (1, 1, 0)
    assert bench.disk.writes == [("edge", 1), ("cloud", 1), ("edge", 2)]


def test_a_failed_frame_is_recorded_without_a_picture(bench: Bench) -> None:
    answers = bench.send_alone(store(1, 1, Ending.FAILED, image=None))
    assert answers == [Stored(FrameId("gate", 1), 1, True, {})]
    assert bench.ledger.tally("gate").failed == 1
    assert bench.disk.writes == []


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (store(1, 1, None, image=None), "gate/1: revision 1 without a picture"),
        (store(1, 2, None), "gate/1: revision 2 without an ending"),
        (store(1, 3, Ending.CLOUD), "gate/1: revision 3 is neither"),
    ],
)
def test_a_store_that_makes_no_sense_is_dropped(bench: Bench, broken: Store, message: str) -> None:
    with pytest.raises(DropMessage, match=message):
        bench.send(broken)


def test_a_full_disk_is_said_once_and_tried_again_until_there_is_room(bench: Bench) -> None:
    bench.disk.full = True
    assert bench.send_alone(easy(1)) == [NotStored(FrameId("gate", 1), 1, "no space left")]
    waits = []
    for _ in range(7):
        waits.append(bench.sink.wakes_at_s - bench.now_s)
        assert bench.later(waits[-1]) == []
    assert waits == pytest.approx([1, 2, 4, 8, 16, 30, 30], abs=COMMIT_AFTER_S + 1e-9)
    bench.disk.full = False
    assert bench.later(29) == []
    assert bench.later(1.001) == [Stored(FrameId("gate", 1), 1, True, {"all": "all/1"})]
    assert bench.sink.wakes_at_s == math.inf
    bench.disk.full = True
    bench.send(easy(2))
    assert bench.sink.wakes_at_s - bench.now_s == 1


def test_it_says_what_waits_for_a_commit_and_what_for_room(bench: Bench) -> None:
    bench.send(easy(1))
    assert bench.sink.levels == {"uncommitted": 1, "refused": 0}
    bench.idle()
    bench.disk.full = True
    bench.send(easy(2))
    bench.send(easy(3))
    assert bench.sink.levels == {"uncommitted": 0, "refused": 2}


def test_who_sends_again_what_is_held_hears_so_again(bench: Bench) -> None:
    bench.disk.full = True
    first = bench.send(easy(1))
    assert bench.send(easy(1)) == first


def test_a_second_revision_waits_for_room_too(bench: Bench) -> None:
    bench.send_alone(store(1))
    bench.disk.full = True
    assert bench.send(store(1, 2, Ending.CLOUD)) == [NotStored(FrameId("gate", 1), 2, "no space left")]
    bench.disk.full = False
    assert [a.revision for a in bench.later(1) if isinstance(a, Stored)] == [2]
    assert bench.ledger.tally("gate").cloud == 1


def test_a_commit_that_fails_confirms_nothing_and_loses_nothing(bench: Bench) -> None:
    bench.ledger.broken = True
    bench.send(store(1))
    bench.send(store(1, 2, Ending.CLOUD))
    bench.send(easy(2))
    refused = bench.idle()
    assert [(a.id.seq, a.revision) for a in refused if isinstance(a, NotStored)] == [(1, 1), (1, 2), (2, 1)]
    assert bench.ledger.kept(FrameId("gate", 1)) is None
    assert bench.later(1) == []
    bench.ledger.broken = False
    answers = bench.later(2)
    assert [(a.id.seq, a.revision) for a in answers if isinstance(a, Stored)] == [(1, 1), (1, 2), (2, 1)]
    tally = bench.ledger.tally("gate")
    assert (tally.cloud, tally.easy, tally.pending) == (1, 1, 0)


def test_what_fits_is_stored_though_another_picture_does_not(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    write = bench.disk.edge

    def edge(result: Result, image: Image) -> Written:
        bench.disk.full = result.id.seq > bench.fits
        return write(result, image)

    monkeypatch.setattr(bench.disk, "edge", edge)
    bench.fits = 1
    assert bench.send(easy(1)) == []
    assert [type(answer) for answer in (*bench.send(easy(2)), *bench.send(easy(3)))] == [NotStored, NotStored]
    assert [answer.id.seq for answer in bench.idle() if isinstance(answer, Stored)] == [1]
    bench.fits = 2
    assert [answer.id.seq for answer in bench.later(1) if isinstance(answer, Stored)] == [2]
    bench.fits = 3
    assert [answer.id.seq for answer in bench.later(2) if isinstance(answer, Stored)] == [3]
    assert bench.ledger.tally("gate").easy == 3


def test_the_log_says_once_that_the_disk_refuses_and_once_that_it_takes_again(bench: Bench) -> None:
    with capture_logs() as logs:
        bench.disk.full = True
        bench.send(easy(1))
        bench.send(easy(2))
        bench.later(1)
        bench.disk.full = False
        bench.later(2)
        bench.send_alone(easy(3))
    assert [line["event"] for line in logs] == ["disk_refuses", "disk_takes_again"]
    assert logs[0]["reason"] == "no space left"
    assert logs[1]["after_s"] == 3


def test_the_last_word_of_a_sink_on_a_full_disk_is_what_is_left(bench: Bench) -> None:
    bench.disk.full = True
    bench.send(easy(11))
    bench.send(easy(7))
    with capture_logs() as logs:
        bench.send(Drain())
    (line,) = logs
    assert (line["event"], line["frames"], line["first"]) == ("not_stored", 2, "gate/7")
    assert line["reason"] == "no space left"
    assert "start again when there is room" in line["then"]


def test_a_drain_that_stores_everything_has_no_last_word(bench: Bench) -> None:
    bench.send(easy(1))
    with capture_logs() as logs:
        bench.send(Drain())
    assert logs == []


def test_a_picture_that_cannot_be_decoded_is_dropped_and_not_held(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(result: Result, image: Image) -> Written:
        raise DropMessage("damaged")

    monkeypatch.setattr(bench.disk, "edge", refuse)
    with pytest.raises(DropMessage):
        bench.send(easy(1))
    bench.send(Drain())
    assert bench.sink.drained


def test_opening_is_answered_and_answered_again(bench: Bench) -> None:
    bench.send_alone(easy(1))
    for _ in range(2):
        answers = bench.send(reader(SourceStatus.OPENING, incarnation="b"))
        assert [a for a in answers if isinstance(a, Resume)] == [Resume("gate", "b", Counts(1, 0, 0, 1), ((1, 1),), "")]


def test_a_resume_is_not_said_before_it_is_on_disk(bench: Bench) -> None:
    bench.ledger.broken = True
    answers = bench.send(reader(SourceStatus.OPENING))
    assert [state.waiting for state in states(answers)] == ["the ledger's disk is full"]
    assert len(answers) == 1
    bench.ledger.broken = False
    assert any(isinstance(answer, Resume) for answer in bench.later(1))


def test_a_held_picture_that_cannot_be_drawn_any_more_does_not_hold_up_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.ledger.broken = True
    bench.send(store(1))
    bench.send(easy(2))
    bench.idle()
    bench.ledger.broken = False

    def damaged(result: Result, image: Image) -> Written:
        if result.id.seq == 1:
            raise DropMessage("the picture outbox/gate.1.jpeg is damaged")
        return Written(("all",), 4096)

    monkeypatch.setattr(bench.disk, "edge", damaged)
    with capture_logs() as logs:
        answers = bench.later(1)
    assert [answer.id.seq for answer in answers if isinstance(answer, Stored)] == [2]
    assert [line["reason"] for line in logs if line["event"] == "held_picture_dropped"] == [
        "the picture outbox/gate.1.jpeg is damaged"
    ]
    assert bench.sink.wakes_at_s > bench.now_s
    bench.send(Drain())
    assert bench.sink.drained


def test_another_fingerprint_is_refused(bench: Bench) -> None:
    bench.send(reader(SourceStatus.OPENING))
    answers = bench.send(reader(SourceStatus.OPENING, incarnation="b", fingerprint="g"))
    (resume,) = [answer for answer in answers if isinstance(answer, Resume)]
    assert "choose another --out (sink.out), or start over with --fresh (tandem run: --anew)" in resume.refused


def test_a_change_of_status_is_said_at_once_and_the_rest_twice_a_second(bench: Bench) -> None:
    assert [state.status for state in states(bench.send(reader(SourceStatus.OPENING)))] == [SourceStatus.OPENING]
    assert len(states(bench.send(reader(SourceStatus.RUNNING)))) == 1
    said_s = bench.now_s
    assert states(bench.send_alone(reader(SourceStatus.RUNNING, 1))) == []
    assert states(bench.send_alone(easy(1))) == []
    assert states(bench.send_alone(uplink(queued=3))) == []
    assert bench.sink.wakes_at_s == said_s + 0.5
    (state,) = states(bench.later(0.5))
    assert (state.tally, state.queued, state.workers) == (Tally(1, 0, 0, 1, easy=1), 3, 1)
    assert bench.sink.wakes_at_s == math.inf


def test_the_same_state_is_not_said_twice(bench: Bench) -> None:
    bench.send(reader(SourceStatus.RUNNING))
    bench.send(reader(SourceStatus.RUNNING))
    assert states(bench.later(1)) == []


def test_the_end_is_said_when_the_last_frame_has_ended(bench: Bench) -> None:
    bench.send_alone(store(1))
    assert [s.tally.pending for s in states(bench.send_alone(reader(SourceStatus.ENDED, 1)))] == [1]
    answers = bench.send_alone(store(1, 2, Ending.CLOUD))
    assert [(s.status, s.tally.pending, s.tally.cloud) for s in states(answers)] == [(SourceStatus.ENDED, 0, 1)]


def test_the_state_says_that_the_disk_is_full_and_that_it_is_not_any_more(bench: Bench) -> None:
    bench.send(reader(SourceStatus.RUNNING))
    bench.disk.full = True
    assert [state.waiting for state in states(bench.send(easy(1)))] == ["no space left"]
    bench.disk.full = False
    assert [state.waiting for state in states(bench.later(1))] == [""]


def test_drain_commits_and_says_the_last_state(bench: Bench) -> None:
    bench.send(reader(SourceStatus.RUNNING))
    bench.send(easy(1))
    assert not bench.sink.drained
    answers = bench.send(Drain())
    assert [type(answer) for answer in answers] == [Stored, State]
    assert states(answers)[0].tally.easy == 1
    assert bench.sink.drained
    bench.send(easy(2))
    assert not bench.sink.drained
    assert [type(answer) for answer in bench.idle()] == [Stored, State]


def test_drain_is_not_done_while_the_disk_is_full(bench: Bench) -> None:
    bench.disk.full = True
    bench.send(easy(1))
    bench.send(Drain())
    assert not bench.sink.drained
    bench.disk.full = False
    bench.send(Tick(bench.now_s))
    assert bench.sink.drained


def test_counts_of_the_reader_are_on_disk_when_its_status_changes(bench: Bench, tmp_path: Path) -> None:
    bench.send(reader(SourceStatus.OPENING))
    bench.send(reader(SourceStatus.ENDED, 7))
    bench.ledger.close()
    bench.ledger = FragileLedger(tmp_path / "ledger.sqlite", "a test")
    assert bench.ledger.tally("gate").read == 7


def test_a_miner_waits_for_what_the_disk_does_not_take(bench: Bench) -> None:
    """It would judge the next frame as if those that wait had never been."""
    asks = MinerProgress("gate", "m", asks=True)
    bench.send_alone(store(1))
    bench.ledger.broken = True
    bench.send_alone(store(2))
    assert Recalled not in map(type, bench.send(asks))
    bench.ledger.broken = False
    bench.later(1.0)
    (recalled,) = [answer for answer in bench.send(asks) if isinstance(answer, Recalled)]
    assert [seq for seq, _ in recalled.judged] == [1, 2]


def test_what_is_too_much_for_a_miner_is_sent_without_its_older_half(bench: Bench) -> None:
    judged = tuple((seq, Verdict(True, "IBT", 1.0, 0.5, "so")) for seq in range(1, 6))
    sent = []
    answers: list[Message] = [Recalled("gate", "m", judged)]
    while answers:
        (recalled,) = answers
        assert isinstance(recalled, Recalled)
        sent.append([seq for seq, _ in recalled.judged])
        answers = bench.send(Undeliverable(recalled, "too large"))
    assert sent == [[1, 2, 3, 4, 5], [4, 5], [5], []]
