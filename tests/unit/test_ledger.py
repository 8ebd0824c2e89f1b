"""The ledger keeps its sums, its promises about restarts, and its file to one owner."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.app.spending import spending, spendings
from pipeline.budget import Budget
from pipeline.errors import ConfigError, StorageError
from pipeline.gain import Found
from pipeline.messages import SEQ_AHEAD, ReaderProgress, Result, SourceStatus, UplinkProgress
from pipeline.model import BudgetState, Counts, Detections, Ending, FrameId, Tally, Verdict
from stages import ledger_statements as statements
from stages.compare import corrections
from stages.ledger import SqliteLedger
from stages.ledger_report import Paid, percentile, read_frames, read_report
from stages.ledger_schema import decode_boxes, encode_boxes
from stages.sink_stores import Written

NAMES = ("person", "helmet")


def boxes(*labels: int) -> Detections:
    n = len(labels)
    corners = np.array([[10 * i, 5, 10 * i + 8.125, 20] for i in range(n)], np.float32).reshape(-1, 4)
    return Detections(corners, np.linspace(0.9, 0.5, n, dtype=np.float32), np.array(labels, np.int32), NAMES)


def result(
    seq: int, revision: int = 1, ending: Ending | None = None, *, stream: str = "gate", upload: int = 0, ms: float = 7
) -> Result:
    return Result(
        id=FrameId(stream, seq),
        revision=revision,
        ending=ending,
        reason="",
        source="cloud" if ending is Ending.CLOUD else "edge",
        captured_ns=1,
        media_s=seq / 25,
        width=64,
        height=48,
        detections=boxes(0, 1),
        verdict=Verdict(ending is not Ending.EASY, "IBT", 0.5, 0.4, "because"),
        edge_model="little",
        cloud_model="big" if revision == 2 else None,
        worker=None,
        latency_ms=ms,
        upload_bytes=upload,
        steps_ms={"detector": 1.0},
    )


def counts(admitted: int, every: int = 10) -> Counts:
    """A reader's counts when it has just admitted its n-th frame."""
    read = (admitted - 1) * every + 1
    return Counts(read, read - admitted, 0, admitted)


def reader(
    incarnation: str = "a",
    *,
    live: bool = False,
    fingerprint: str = "f",
    status: SourceStatus = SourceStatus.OPENING,
    counted: Counts | None = None,
) -> ReaderProgress:
    return ReaderProgress("gate", incarnation, fingerprint, "clip.mp4", live, status, "", counted or Counts())


def uplink(incarnation: str, *recovered: int) -> UplinkProgress:
    return UplinkProgress("gate", incarnation, recovered, 0, 0, 0, 0, "")


Open = Callable[[], SqliteLedger]


@pytest.fixture
def reopen(tmp_path: Path) -> Iterator[Open]:
    """Open the ledger; again, after what was not committed is lost."""
    opened: list[SqliteLedger] = []

    def again() -> SqliteLedger:
        for ledger in opened:
            ledger.close()
        opened.append(SqliteLedger(tmp_path / "state" / "ledger.sqlite", "a test, process 1"))
        return opened[-1]

    yield again
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(reopen: Open) -> SqliteLedger:
    return reopen()


def admit(ledger: SqliteLedger, nth: int, ending: Ending | None = Ending.EASY, after: int = 0) -> int:
    """Add the n-th admitted frame of every tenth, as revision 1; its reader numbers from ``after`` + 1."""
    seq = after + counts(nth).read
    ledger.add(result(seq, ending=ending), counts(nth), Written(("all",), 4096))
    return seq


def test_a_frame_is_known_as_it_was_stored(ledger: SqliteLedger) -> None:
    ledger.add(result(1), counts(1), Written(("all", "hard_edge", "dataset"), 4096))
    kept = ledger.kept(FrameId("gate", 1))
    assert kept is not None
    assert (kept.revision, kept.final, kept.edge_final) == (1, False, False)
    assert kept.edge_files == ("all", "hard_edge", "dataset")
    ledger.end(result(1, 2, Ending.CLOUD), Written(("all", "hard_cloud"), 4096))
    kept = ledger.kept(FrameId("gate", 1))
    assert kept is not None
    assert (kept.revision, kept.final, kept.edge_final) == (2, True, False)
    assert kept.cloud_files == ("all", "hard_cloud")
    assert ledger.kept(FrameId("gate", 2)) is None
    assert ledger.kept(FrameId("other", 1)) is None


def test_the_tally_balances_and_shows_only_endings_that_are_committed(ledger: SqliteLedger, reopen: Open) -> None:
    ledger.open(reader())
    admit(ledger, 1)
    admit(ledger, 2, None)
    admit(ledger, 3, None)
    admit(ledger, 4, Ending.FAILED)
    ledger.end(result(11, 2, Ending.CLOUD, upload=300), Written())
    assert ledger.tally("gate") == Tally(31, 27, 0, 4, pending=4)
    ledger.commit()
    expected = Tally(31, 27, 0, 4, easy=1, cloud=1, failed=1, pending=1)
    assert ledger.tally("gate") == expected
    assert ledger.tally("gate").balanced
    assert ledger.upload_bytes("gate") == 300
    assert reopen().tally("gate") == expected


def test_what_is_not_committed_is_gone_after_a_rollback_and_after_a_kill(ledger: SqliteLedger, reopen: Open) -> None:
    ledger.open(reader())
    ledger.commit()
    admit(ledger, 1)
    ledger.rollback()
    assert ledger.kept(FrameId("gate", 1)) is None
    ledger.commit()
    assert ledger.tally("gate").easy == 0
    admit(ledger, 1)
    ledger = reopen()
    assert ledger.kept(FrameId("gate", 1)) is None
    assert ledger.tally("gate") == Tally(1, 0, 0, 1, pending=1)


def test_counts_never_go_back_and_a_second_pass_of_a_file_ends_with_the_same(ledger: SqliteLedger) -> None:
    ledger.open(reader())
    for nth in (3, 1, 2):
        ledger.count(reader(status=SourceStatus.RUNNING, counted=counts(nth)))
        assert ledger.tally("gate").read == 21
    ledger.count(reader(status=SourceStatus.ENDED, counted=Counts(25, 22, 0, 3)))
    assert ledger.tally("gate") == Tally(25, 22, 0, 3, pending=3)


def test_a_reader_with_another_fingerprint_or_kind_of_source_is_refused(ledger: SqliteLedger, reopen: Open) -> None:
    ledger.open(reader())
    ledger.commit()
    ledger = reopen()
    for stranger in (reader("b", fingerprint="g"), reader("b", live=True)):
        refused = ledger.open(stranger).refused
        assert str(ledger.path) in refused
        assert "made from another source, model, miner or config; choose another --out (sink.out), or" in refused
    ledger.count(reader(fingerprint="g", status=SourceStatus.RUNNING, counted=counts(5)))
    assert ledger.tally("gate").read == 0
    assert ledger.open(reader("b")).refused == ""


def test_a_file_goes_on_behind_runs_of_frames_that_have_ended(ledger: SqliteLedger) -> None:
    ledger.open(reader())
    for nth in (1, 2, 3, 5, 6, 8):
        admit(ledger, nth, None if nth == 2 else Ending.EASY)
    # 11 waits for the cloud; 31 and 61 were lost on their way.
    assert ledger.open(reader("b")).done == ((1, 1), (21, 21), (41, 51), (71, 71))
    ledger.end(result(11, 2, Ending.EXPIRED), Written())
    assert ledger.open(reader("b")).done == ((1, 21), (41, 51), (71, 71))


def test_resume_is_answered_again(ledger: SqliteLedger) -> None:
    first = ledger.open(reader("a", live=True))
    admit(ledger, 1)
    ledger.commit()
    assert first.done == ()
    assert ledger.open(reader("b", live=True)) == ledger.open(reader("b", live=True))


def test_a_live_stream_goes_on_and_loses_what_was_only_in_memory(ledger: SqliteLedger, reopen: Open) -> None:
    ledger.open(reader("a", live=True))
    ledger.meet(uplink("u1"))
    admit(ledger, 1)
    admit(ledger, 2, None)
    admit(ledger, 3, None)
    ledger.count(reader(live=True, status=SourceStatus.RUNNING, counted=Counts(60, 50, 5, 5)))
    ledger.commit()
    ledger = reopen()
    resume = ledger.open(reader("b", live=True))
    assert resume.counts == Counts(60, 50, 5, 5)
    assert resume.done == ((1, 60 + SEQ_AHEAD),)
    ledger.commit()
    assert ledger.tally("gate") == Tally(60, 50, 5, 5, easy=1, interrupted=2, pending=2)
    assert ledger.meet(uplink("u2", 11))
    ledger.commit()
    assert ledger.tally("gate") == Tally(60, 50, 5, 5, easy=1, interrupted=3, pending=1)
    kept = ledger.kept(FrameId("gate", 21))
    assert kept is not None
    assert not kept.final
    assert not kept.edge_final
    assert reopen().tally("gate").balanced


def test_a_frame_that_was_given_up_but_ends_has_one_ending(ledger: SqliteLedger) -> None:
    """An uplink had it all the while: only its first report was lost."""
    ledger.open(reader("a", live=True))
    ledger.meet(uplink("u1"))
    ledger.commit()
    admit(ledger, 1, None)
    assert ledger.meet(uplink("u2"))
    ledger.commit()
    assert ledger.tally("gate") == Tally(1, 0, 0, 1, interrupted=1)
    ledger.end(result(1, revision=2, ending=Ending.CLOUD), Written(("all",)))
    ledger.commit()
    assert ledger.tally("gate") == Tally(1, 0, 0, 1, cloud=1)


def test_a_frame_that_was_given_up_but_arrives_is_counted_once(ledger: SqliteLedger) -> None:
    ledger.open(reader("a", live=True))
    ledger.count(reader(live=True, status=SourceStatus.RUNNING, counted=counts(2)))
    ledger.open(reader("b", live=True))
    ledger.commit()
    assert ledger.tally("gate").interrupted == 2
    admit(ledger, 2)
    ledger.commit()
    assert ledger.tally("gate") == Tally(11, 9, 0, 2, easy=1, interrupted=1)


def test_an_uplink_that_goes_on_while_the_sink_restarts_loses_nothing(ledger: SqliteLedger, reopen: Open) -> None:
    ledger.open(reader("a", live=True))
    ledger.meet(uplink("u1"))
    admit(ledger, 1, None)
    ledger.commit()
    ledger = reopen()
    assert not ledger.meet(uplink("u1"))
    ledger.open(reader("a", live=True))
    ledger.commit()
    assert ledger.tally("gate").pending == 1


def test_a_frame_that_overtakes_its_new_uplink_is_not_lost(ledger: SqliteLedger, reopen: Open) -> None:
    ledger.open(reader("a", live=True))
    ledger.meet(uplink("u1"))
    admit(ledger, 1, None)
    ledger.commit()
    ledger = reopen()
    ledger.open(reader("b", live=True))
    admit(ledger, 2, None, after=SEQ_AHEAD)
    ledger.meet(uplink("u2"))
    ledger.commit()
    assert ledger.tally("gate") == Tally(11, 9, 0, 2, interrupted=1, pending=1)


def test_frames_that_come_while_an_uplink_cannot_be_recorded_are_not_lost(ledger: SqliteLedger) -> None:
    ledger.open(reader("a", live=True))
    ledger.meet(uplink("u1"))
    admit(ledger, 1, None)
    ledger.commit()
    assert ledger.meet(uplink("u2"))
    ledger.rollback()  # the disk was full
    admit(ledger, 2, None)
    ledger.commit()
    assert ledger.meet(uplink("u2"))
    ledger.commit()
    assert ledger.tally("gate") == Tally(11, 9, 0, 2, interrupted=1, pending=1)


def test_a_file_has_no_interrupted_frames(ledger: SqliteLedger) -> None:
    ledger.open(reader("a"))
    admit(ledger, 1, None)
    ledger.open(reader("b"))
    ledger.meet(uplink("u2"))
    ledger.commit()
    assert ledger.tally("gate") == Tally(1, 0, 0, 1, pending=1)


def test_numbers_that_a_killed_reader_may_have_used_are_not_given_again(ledger: SqliteLedger) -> None:
    ledger.open(reader("a", live=True))
    admit(ledger, 2)
    assert ledger.open(reader("b", live=True)).done == ((1, 11 + SEQ_AHEAD),)
    admit(ledger, 3, after=SEQ_AHEAD)
    assert ledger.open(reader("c", live=True)).done == ((1, 21 + 2 * SEQ_AHEAD),)
    assert ledger.open(reader("d", live=True)).done == ((1, 21 + 3 * SEQ_AHEAD),)


def test_a_camera_whose_reader_stopped_in_good_order_goes_on_at_the_next_number(
    ledger: SqliteLedger, reopen: Open
) -> None:
    ledger.open(reader("a", live=True))
    admit(ledger, 2)
    ledger.count(reader("a", live=True, status=SourceStatus.STOPPED, counted=Counts(17, 14, 1, 2)))
    ledger.commit()
    ledger = reopen()
    assert ledger.open(reader("b", live=True)).done == ((1, 17),)
    ledger.count(reader("a", live=True, status=SourceStatus.STOPPED, counted=Counts(17, 14, 1, 2)))  # once more, late
    assert ledger.open(reader("c", live=True)).done == ((1, 17 + SEQ_AHEAD),)


def test_a_question_of_a_reader_that_was_replaced_changes_nothing(ledger: SqliteLedger) -> None:
    ledger.open(reader("a", live=True))
    ledger.open(reader("b", live=True))
    assert "another reader has begun with the stream 'gate' since" in ledger.open(reader("a", live=True)).refused
    assert ledger.open(reader("b", live=True)).done == ((1, SEQ_AHEAD),)


def test_a_reader_that_asks_how_far_it_may_go_is_taken_at_its_word(ledger: SqliteLedger) -> None:
    ledger.open(reader("a", live=True))
    ledger.open(reader("b", live=True))
    far = Counts(50_000, 49_000, 900, 100)
    assert ledger.open(reader("b", live=True, counted=far)).done == ((1, 50_000 + SEQ_AHEAD),)
    ledger.commit()
    assert ledger.open(reader("c", live=True)).done == ((1, 50_000 + 2 * SEQ_AHEAD),)


def test_a_frame_that_died_with_its_readers_last_counts_but_is_found_is_counted(ledger: SqliteLedger) -> None:
    ledger.open(reader("a", live=True))
    admit(ledger, 1)
    ledger.commit()
    assert ledger.open(reader("b", live=True)).counts == counts(1)
    ledger.commit()
    admit(ledger, 2, None)  # it was in the outbox
    ledger.commit()
    assert ledger.tally("gate") == Tally(2, 0, 0, 2, easy=1, pending=1)
    admit(ledger, 2, after=SEQ_AHEAD + 1)
    ledger.commit()
    assert ledger.tally("gate") == Tally(12, 9, 0, 3, easy=2, pending=1)
    assert ledger.open(reader("b", live=True)).counts == counts(2)  # its own, which it goes on counting from
    assert ledger.open(reader("c", live=True)).counts == Counts(12, 9, 0, 3)


def test_a_second_owner_is_told_who_the_first_is(ledger: SqliteLedger) -> None:
    with pytest.raises(ConfigError, match=r"ledger\.sqlite: is used by a test, process 1; stop that one, or choose"):
        SqliteLedger(ledger.path, "another")
    ledger.close()
    SqliteLedger(ledger.path, "another").close()
    assert [path.name for path in ledger.path.parent.iterdir()] == ["ledger.sqlite"]


def test_a_damaged_ledger_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"nothing like a database" * 100)
    for _ in range(2):  # the first attempt has let go of the lock
        with pytest.raises(ConfigError, match=r"ledger\.sqlite: is no readable ledger: .*--fresh"):
            SqliteLedger(path, "me")


def test_counts_that_were_heard_before_cost_no_write(ledger: SqliteLedger) -> None:
    ledger.open(reader())
    ledger.count(reader(status=SourceStatus.RUNNING, counted=counts(1)))
    ledger.commit()
    writes = ledger._rows._connection.total_changes
    ledger.count(reader(status=SourceStatus.RUNNING, counted=counts(1)))
    ledger.commit()
    assert ledger._rows._connection.total_changes == writes
    ledger.count(reader(status=SourceStatus.RUNNING, counted=counts(2)))
    ledger.commit()
    assert ledger._rows._connection.total_changes == writes + 1


def test_a_truncated_ledger_is_named_with_the_remedy(ledger: SqliteLedger) -> None:
    for nth in range(1, 100):
        admit(ledger, nth)
    ledger.commit()
    ledger.close()
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="is no readable ledger"):
        SqliteLedger(ledger.path, "me")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("PRAGMA user_version = 1", "has format 1, but this Tandem knows 4"),
        (
            "PRAGMA user_version = 3",
            "has format 3, but this Tandem knows 4",
        ),  # without duplicates, budgets and memories
        ("CREATE TABLE t (a)", "another program"),
    ],
)
def test_a_ledger_of_another_kind_is_refused(tmp_path: Path, statement: str, message: str) -> None:
    path = tmp_path / "ledger.sqlite"
    if "user_version" in statement:
        SqliteLedger(path, "me").close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    with pytest.raises(ConfigError, match=message):
        SqliteLedger(path, "me")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/state: cannot be made: .*choose another --out"):
        SqliteLedger(tmp_path / "file" / "state" / "ledger.sqlite", "me")


def test_a_full_disk_is_a_storage_error_and_leaves_the_ledger_in_order(ledger: SqliteLedger) -> None:
    ledger.open(reader())
    ledger.commit()
    (pages,) = ledger._rows._connection.execute("PRAGMA page_count").fetchone()
    ledger._rows._connection.execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        for nth in range(1, 1000):
            admit(ledger, nth)

    with pytest.raises(StorageError, match=r"ledger\.sqlite cannot be written: .*full; make room"):
        fill()
    ledger.rollback()
    assert ledger.kept(FrameId("gate", 1)) is None
    ledger._rows._connection.execute("PRAGMA max_page_count = 100000")
    admit(ledger, 1)
    ledger.commit()
    assert ledger.tally("gate").easy == 1


@pytest.mark.parametrize("in_place", [(), ("ledger.sqlite",)])
def test_a_ledger_that_is_removed_while_it_is_open_confirms_nothing_more(
    ledger: SqliteLedger, in_place: tuple[str, ...]
) -> None:
    away = ledger.path.with_name("away")
    ledger.path.rename(away)
    for name in in_place:
        ledger.path.with_name(name).touch()
    admit(ledger, 1)
    with pytest.raises(StorageError, match="is not the ledger that was opened: put that one back, or start again"):
        ledger.commit()
    ledger.rollback()
    away.replace(ledger.path)
    admit(ledger, 1)
    ledger.commit()
    assert ledger.tally("gate").easy == 1


def test_a_transaction_that_a_broken_disk_undid_by_itself_is_rolled_back(ledger: SqliteLedger) -> None:
    admit(ledger, 1)
    ledger._rows._connection.close()
    ledger.rollback()
    assert ledger.tally("gate").admitted == 0


def test_the_owner_lock_needs_no_room_for_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    ledger = SqliteLedger(tmp_path / "ledger.sqlite", "me")
    with pytest.raises(ConfigError, match="is used by another process"):
        SqliteLedger(tmp_path / "ledger.sqlite", "you")
    ledger.close()


def test_somebody_else_who_writes_is_waited_for(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger._rows._connection.execute("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(ledger.path)) as person:
        person.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked"):
            admit(ledger, 1)
    ledger.rollback()
    admit(ledger, 1)


def test_the_report_counts_the_rows_themselves(ledger: SqliteLedger) -> None:
    ledger.open(reader())
    for nth in range(1, 6):
        admit(ledger, nth, Ending.EASY if nth > 2 else None)
    ledger.end(result(1, 2, Ending.CLOUD, upload=300, ms=50), Written())
    ledger.end(result(11, 2, Ending.EXPIRED, upload=200, ms=5000), Written())
    ledger.commit()
    report = read_report(ledger.path)["gate"]
    assert report.tally == ledger.tally("gate") == Tally(41, 36, 0, 5, easy=3, cloud=1, expired=1)
    assert (report.source, report.live) == ("clip.mp4", False)
    assert (report.uploaded, report.upload_bytes, report.upload_ratio) == (2, 500, 0.4)
    assert report.edge_ms.tolist() == [7] * 5
    assert percentile(report.cloud_ms, 99) == 50
    assert percentile(report.cloud_ms[:0], 50) is None


def test_what_was_spent_of_a_budget_is_what_sent_frames_cost(ledger: SqliteLedger) -> None:
    """Hard and audited ones; the frames lie 10 / 25 s apart."""
    ledger.open(reader())
    for nth, (hard, audited, cost) in enumerate([(1, 0, 300.0), (0, 0, 250.0), (0, 1, 200.0), (0, 0, 225.0)], start=1):
        budget = BudgetState("2 kB/s", "bytes", 500.0, 3000.0, cost)
        verdict = Verdict(bool(hard), "IBT", 0.5, 0.4, "because", audited=bool(audited), budget=budget)
        easy = replace(result(counts(nth).read, ending=Ending.EASY), verdict=verdict)
        ledger.add(easy, counts(nth), Written(("all",), 4096))
    ledger.commit()
    paid = read_report(ledger.path)["gate"].paid
    assert paid == Paid(4, pytest.approx(1.2), 500.0, 975.0)
    spent = spendings({"gate": Budget.parse("2 kB/s"), "yard": Budget.parse("20 %")}, {"gate": paid, "yard": None})
    assert spent["gate"].json() == {
        "setting": "2 kB/s",
        "unit": "bytes",
        "allowed": 3200.0,
        "spent": 500.0,
        "share": 0.1562,
    }
    assert str(spent["gate"]) == "2 kB/s: 500 bytes of 3.1 KiB spent, 16%"
    assert str(spending(Budget.parse("25 %"), Paid(4, 1.2, 1.0, 4.0))) == "25 %: 1 of 1.0 frames spent, 100%"
    over = str(spending(Budget.parse("25 %"), Paid(4, 1.2, 2.0, 4.0)))
    assert over.startswith("25 %: 2 of 1.0 frames spent, 200%; audited frames, and ")
    assert spending(Budget.parse("20 % of the bytes"), paid).allowed == 195.0
    assert spent.keys() == {"gate"}


def test_reading_leaves_nothing_beside_the_ledger(ledger: SqliteLedger) -> None:
    ledger.open(reader())
    ledger.commit()
    assert list(read_report(ledger.path)) == ["gate"]  # while its owner has it
    ledger.close()
    read_report(ledger.path)
    list(read_frames(ledger.path, "gate"))
    assert [path.name for path in ledger.path.parent.iterdir()] == ["ledger.sqlite"]


def test_the_report_includes_what_was_lost_without_a_row(ledger: SqliteLedger) -> None:
    ledger.open(reader("a", live=True))
    ledger.count(reader(live=True, status=SourceStatus.RUNNING, counted=counts(2)))
    ledger.open(reader("b", live=True))
    ledger.commit()
    assert read_report(ledger.path)["gate"].tally == Tally(11, 9, 0, 2, interrupted=2)


def test_rows_come_in_order_with_the_final_boxes(ledger: SqliteLedger) -> None:
    ledger.add(result(11), counts(2), Written(("all", "hard_edge", "dataset"), 4096))
    ledger.add(result(1, ending=Ending.EASY), counts(1), Written(("all",), 4096))
    ledger.end(result(11, 2, Ending.CLOUD), Written(("all", "hard_cloud"), 4096))
    ledger.commit()
    easy, hard = read_frames(ledger.path, "gate")
    assert (easy.seq, easy.hard, easy.ending, easy.files) == (1, False, "easy", {"all"})
    assert easy.joint is easy.edge
    assert (hard.seq, hard.hard, hard.ending) == (11, True, "cloud")
    assert hard.files == {"all", "hard_edge", "dataset", "hard_cloud"}


def test_no_ledger_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no ledger"):
        read_report(tmp_path / "ledger.sqlite")


def test_boxes_come_back_from_their_text() -> None:
    before = boxes(1, 0, 1)
    after = decode_boxes(encode_boxes(before))
    assert np.allclose(after.boxes, before.boxes, atol=0.005)
    assert np.allclose(after.scores, before.scores, atol=0.00005)
    assert [after.names[label] for label in after.labels] == ["helmet", "person", "helmet"]
    assert len(decode_boxes(encode_boxes(Detections.empty()))) == 0


def test_a_person_can_ask_with_sqlite(ledger: SqliteLedger) -> None:
    ledger.open(reader())
    admit(ledger, 1, None)
    ledger.commit()
    with closing(sqlite3.connect(ledger.path)) as person:
        query = "SELECT json_extract(edge_boxes, '$[0].class'), verdict FROM frames"
        assert person.execute(query).fetchall() == [("person", "because")]
        assert person.execute("SELECT stream, admitted, pending FROM tally").fetchall() == [("gate", 1, 1)]


def test_it_counts_what_the_cloud_saw_that_the_edge_did_not(reopen: Open) -> None:
    ledger = reopen()
    seen = {1: boxes(0, 1), 2: boxes(0, 1, 1), 3: boxes(0), 4: boxes(1, 0), 5: boxes(0, 1)}
    for seq in range(1, 7):
        first = result(seq, ending=Ending.EASY if seq == 6 else None)
        verdict = replace(first.verdict, hard=seq < 4, audited=seq in {4, 5})
        ledger.add(replace(first, verdict=verdict), counts(seq, every=1), Written())
    ledger.add(result(7, ending=Ending.FAILED), counts(7, every=1), Written())
    ledger.commit()
    for seq, found in seen.items():
        ledger.end(replace(result(seq, 2, Ending.CLOUD), detections=found), Written())
    ledger.rollback()
    assert ledger.gain("gate").hard == Found(3)
    for seq, found in seen.items():
        if seq == 3:
            ledger = reopen()  # a restart goes on with the sums
        ledger.end(replace(result(seq, 2, Ending.CLOUD), detections=found), Written())
        ledger.commit()
    gain = ledger.gain("gate")
    assert (gain.hard, gain.easy) == (Found(3, 3, 1, 2), Found(3, 2, 1, 1))
    assert ledger.tally("gate").cloud == 5
    assert ledger.tally("gate").easy == 1
    assert read_report(ledger.path)["gate"].gain == gain
    assert [row.audited for row in read_frames(ledger.path, "gate")] == [False] * 3 + [True] * 2 + [False] * 2


def test_a_frame_that_expires_says_nothing_of_the_gain(ledger: SqliteLedger) -> None:
    ledger.add(result(1), counts(1), Written())
    ledger.end(result(1, 2, Ending.EXPIRED), Written())
    ledger.commit()
    assert ledger.gain("gate").hard == Found(1)
    assert read_report(ledger.path)["gate"].gain.hard == Found(1)


def test_what_the_edge_has_not_looked_at_is_not_compared(ledger: SqliteLedger) -> None:
    unseen = replace(result(1), edge_model="", detections=boxes())
    ledger.add(unseen, counts(1), Written(("all",), 4096))
    ledger.end(replace(unseen, revision=2, ending=Ending.CLOUD, detections=boxes(0, 1)), Written(("all",), 0))
    ledger.commit()
    assert ledger.gain("gate").hard == Found(frames=1, answered=0, missed=0, corrected=0)
    assert read_report(ledger.path)["gate"].gain.hard == ledger.gain("gate").hard
    (row,) = read_frames(ledger.path, "gate")
    assert (row.seen, len(row.joint), [len(found) for found in corrections(row)]) == (False, 2, [0, 0])


def test_what_is_remembered_is_that_of_the_newest_frames_and_verdicts_of_those_that_wait_are_given_as_well(
    ledger: SqliteLedger, reopen: Open
) -> None:
    for seq in range(1, 101):
        judged = replace(result(seq, ending=None if seq % 20 == 1 else Ending.EASY))
        remembering = replace(judged, verdict=replace(judged.verdict, score=float(seq), memory=f"m{seq}"))
        ledger.add(remembering, counts(seq, every=1), Written())
    ledger.commit()
    recalled = reopen().recalled("gate")
    assert [(seq, verdict.score, verdict.memory) for seq, verdict in recalled] == [
        *((1, 1.0, ""), (21, 21.0, "")),
        *((seq, float(seq), f"m{seq}") for seq in range(37, 101)),
    ]
    assert recalled[0][1].hard


def test_what_is_remembered_is_found_without_looking_through_all_frames(ledger: SqliteLedger) -> None:
    with closing(sqlite3.connect(ledger.path)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statements.RECALLED}", ("gate",) * 3).fetchall()
    looks = [row[3] for row in plan if " frames " in row[3]]
    assert len(looks) == 2
    assert all("(stream=? AND seq=?)" in look or "frames_open" in look for look in looks), looks


def test_a_miner_gets_its_verdict_back_as_it_was(ledger: SqliteLedger) -> None:
    budget = BudgetState("2 kB/s", "bytes", 500.0, 3000.0, 250.0)
    verdict = Verdict(False, "IBT", 0.25, 0.5, "because", True, 3, budget, "what was seen")
    ledger.add(replace(result(5), verdict=verdict), counts(5, every=1), Written())
    assert ledger.recalled("gate") == [(5, verdict)]


def test_a_frame_that_was_overtaken_hides_no_later_one(ledger: SqliteLedger) -> None:
    for seq in (7, 5):
        ledger.add(result(seq), counts(seq, every=1), Written(("all",), 4096))
    assert [seq for seq in range(1, 10) if ledger.kept(FrameId("gate", seq))] == [5, 7]


def test_what_was_undone_is_not_known_and_can_be_added_again(ledger: SqliteLedger) -> None:
    ledger.add(result(1), counts(1, every=1), Written(("all",), 4096))
    ledger.commit()
    ledger.add(result(2), counts(2, every=1), Written(("all",), 4096))
    ledger.rollback()
    assert [seq for seq in (1, 2) if ledger.kept(FrameId("gate", seq))] == [1]
    ledger.add(result(2), counts(2, every=1), Written(("all",), 4096))
    assert [seq for seq in (1, 2) if ledger.kept(FrameId("gate", seq))] == [1, 2]
