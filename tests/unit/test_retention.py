"""The oldest pictures go first, all of a frame together, and nothing goes that is not final."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import StorageError
from pipeline.image import Image
from pipeline.messages import Drain, Message, ReaderProgress, Resume, SourceStatus, State, Store, Stored, Tick
from pipeline.model import Counts, Detections, Ending, FrameId
from stages.ledger import SqliteLedger
from stages.ledger_report import read_frames, read_report
from stages.ledger_statements import OLDEST
from stages.outputs import FolderOutputs, OutputFolders
from stages.retention import AT_ONCE, Old, Retention
from stages.sink import Sink
from tests.unit.test_sink import store

DAY_S = 86400.0
FRAME_BYTES = 4096
"""What an easy frame's one small picture takes."""

IMAGE = Image(pixels=np.zeros((48, 64, 3), np.uint8))


class House:
    """A sink over a real ledger and real folders, with clocks that the test moves."""

    def __init__(self, folder: Path, budget_bytes: int | None = None, age_s: float | None = None) -> None:
        self.folder = folder
        self.limits = (budget_bytes, age_s)
        self.now_s = 100.0
        self.start()

    def start(self) -> None:
        """Begin as a new process does."""
        self.ledger = SqliteLedger(self.folder / "ledger.sqlite", "a test")
        outputs = FolderOutputs({"gate": OutputFolders.under(self.folder)})
        budget_bytes, age_s = self.limits
        self.retention = Retention(
            self.ledger, outputs, ["gate"], budget_bytes=budget_bytes, age_s=age_s, wall_ns=lambda: self.wall_ns
        )
        self.sink = Sink(self.ledger, outputs, lambda: self.now_s, self.retention)

    @property
    def wall_ns(self) -> int:
        return int(self.now_s * 1e9)

    def send(self, message: Message) -> list[Message]:
        return list(self.sink.process(message))

    def later(self, seconds: float) -> list[Message]:
        """Let time pass, with a Tick whenever the sink wants one."""
        until_s, said = self.now_s + seconds, []
        for _ in range(10_000):
            self.now_s = max(self.now_s, min(until_s, self.sink.wakes_at_s))
            if self.sink.wakes_at_s > self.now_s:
                return said
            said += self.send(Tick(self.now_s))
        raise AssertionError("the sink wants a Tick again and again")

    def easy(self, seq: int) -> list[Message]:
        return [*self._say(store(seq, 1, Ending.EASY)), *self.later(1)]

    def hard(self, seq: int) -> None:
        self._say(store(seq))
        self.later(1)

    def end(self, seq: int, ending: Ending = Ending.CLOUD) -> None:
        self._say(store(seq, 2, ending))
        self.later(1)

    def _say(self, message: Store) -> list[Message]:
        result = replace(message.result, captured_ns=self.wall_ns, detections=Detections.empty(("person",)))
        return self.send(replace(message, result=result))

    def files(self, name: str = "all") -> list[int]:
        return sorted(int(path.stem) for path in (self.folder / name).glob("*.jpeg"))

    def left(self, seq: int) -> list[str]:
        """The folders that have a file of a frame."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob(f"{seq}.*"))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, budget_bytes=4 * FRAME_BYTES)
    yield house
    house.ledger.close()


def limited(house: House, budget_bytes: int | None = None, age_s: float | None = None) -> None:
    house.ledger.close()
    house.limits = (budget_bytes, age_s)
    house.start()


def test_over_the_budget_the_oldest_go(house: House) -> None:
    for seq in range(1, 5):
        house.easy(seq)
    assert house.files() == [1, 2, 3, 4]
    house.easy(5)
    assert house.files() == [3, 4, 5]
    for seq in range(6, 20):
        house.easy(seq)
        assert house.ledger.kept_bytes(["gate"]) == len(house.files()) * FRAME_BYTES <= 4 * FRAME_BYTES
    assert house.files()[-1] == 19


def test_what_is_not_final_stays_however_old(house: House) -> None:
    house.hard(1)
    for seq in range(2, 12):
        house.easy(seq)
    assert house.left(1) == ["all/1.jpeg", "dataset/1.jpeg", "hard_edge/1.jpeg"]
    house.end(1)
    house.easy(12)
    assert house.left(1) == []
    assert house.ledger.tally("gate").cloud == 1


def test_revision_2_is_drawn_on_a_picture_that_was_kept_for_it(house: House) -> None:
    limited(house, budget_bytes=1)
    house.hard(1)
    house.easy(2)
    (stored,) = [
        said for said in house.send(store(1, 2, Ending.EXPIRED)) + house.later(0.02) if isinstance(said, Stored)
    ]
    assert stored.files == {"all": str(house.folder / "all/1.jpeg")}
    assert house.left(1) == house.left(2) == []


def test_too_old_is_counted_from_capture(house: House) -> None:
    limited(house, age_s=DAY_S)
    house.easy(1)
    house.later(DAY_S / 2)
    house.easy(2)
    house.hard(3)
    house.later(DAY_S / 2 - 10)
    assert house.files() == [1, 2, 3]
    house.later(80)
    assert house.files() == [2, 3]
    house.later(2 * DAY_S)
    assert house.files() == [3]
    assert house.left(3) == ["all/3.jpeg", "dataset/3.jpeg", "hard_edge/3.jpeg"]


def test_a_short_age_is_looked_at_in_time_and_not_all_the_time(house: House) -> None:
    limited(house, age_s=10)
    house.easy(1)
    assert house.files() == [1]
    house.later(9.2)
    assert house.files() == []
    ticks = 0
    until_s = house.now_s + 60
    while house.now_s < until_s:
        house.now_s = house.sink.wakes_at_s
        house.send(Tick(house.now_s))
        ticks += 1
    assert ticks <= 10


def test_without_limits_nothing_is_removed_and_nobody_is_woken(house: House) -> None:
    house.ledger.close()
    house.start()
    house.sink = Sink(house.ledger, FolderOutputs({"gate": OutputFolders.under(house.folder)}), lambda: house.now_s)
    for seq in range(1, 12):
        house.easy(seq)
    assert house.files() == list(range(1, 12))
    assert house.sink.wakes_at_s == float("inf")


def test_both_limits_hold(house: House) -> None:
    limited(house, 3 * FRAME_BYTES, DAY_S)
    for seq in range(1, 5):
        house.easy(seq)
    assert house.files() == [3, 4]
    house.later(DAY_S + 100)
    assert house.files() == []


def test_a_smaller_budget_holds_from_the_start_and_in_steps(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(house)
    for seq in range(1, 9):
        house.easy(seq)
    monkeypatch.setattr("stages.retention.AT_ONCE", 2)
    limited(house, 4 * FRAME_BYTES)
    house.send(Tick(house.now_s))
    assert house.files() == [3, 4, 5, 6, 7, 8]
    house.later(1)
    assert house.files() == [5, 6, 7, 8]
    assert AT_ONCE > 100


def test_ledger_report_and_state_say_what_was_removed(house: House) -> None:
    house.send(ReaderProgress("gate", "a", "f", "clip.mp4", False, SourceStatus.RUNNING, "", Counts(1, 0, 0, 1)))
    said = [message for seq in range(1, 6) for message in house.easy(seq)]
    assert [message.removed for message in said if isinstance(message, State)][-1] == 2
    report = read_report(house.ledger.path)["gate"]
    assert (report.removed, report.kept_bytes) == (2, 3 * FRAME_BYTES)
    rows = list(read_frames(house.ledger.path, "gate"))
    assert [row.removed for row in rows] == [True, True, False, False, False]
    assert [row.files for row in rows] == [frozenset()] * 2 + [frozenset({"all"})] * 3
    assert [row.ending for row in rows] == ["easy"] * 5


def test_a_removed_frame_is_confirmed_again_and_is_not_read_again(house: House) -> None:
    house.send(ReaderProgress("gate", "a", "f", "clip.mp4", False, SourceStatus.OPENING, "", Counts()))
    for seq in range(1, 7):
        house.easy(seq)
    house.ledger.close()
    house.start()
    assert house.easy(1) == [Stored(FrameId("gate", 1), 1, True, {})]
    assert house.left(1) == []
    asked = ReaderProgress("gate", "b", "f", "clip.mp4", False, SourceStatus.OPENING, "", Counts())
    (resume,) = [said for said in house.send(asked) if isinstance(said, Resume)]
    assert resume.done == ((1, 6),)


def test_who_dies_between_files_and_ledger_finishes_at_the_next_start(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seq in range(1, 5):
        house.easy(seq)

    def dies(frame: FrameId, at_ns: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(house.ledger, "removed", dies)
    with pytest.raises(KeyboardInterrupt):
        house.easy(5)
    assert house.files() == [2, 3, 4, 5]
    house.ledger.close()
    house.start()
    house.later(1)
    assert house.files() == [3, 4, 5]
    assert read_report(house.ledger.path)["gate"].removed == 2
    assert house.ledger.kept_bytes(["gate"]) == 3 * FRAME_BYTES


def test_what_cannot_be_removed_holds_the_source_up_until_it_can(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.send(ReaderProgress("gate", "a", "f", "clip.mp4", False, SourceStatus.RUNNING, "", Counts(1, 0, 0, 1)))
    for seq in range(1, 5):
        house.easy(seq)

    def refuse(path: Path) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        said = house.easy(5)
        assert any(isinstance(message, Stored) for message in said)
        assert "cannot be removed" in [message.waiting for message in said if isinstance(message, State)][-1]
        said = house.later(5)
        assert not [message for message in said if isinstance(message, State) and not message.waiting]
    said = house.later(10)
    assert [message.waiting for message in said if isinstance(message, State)] == [""]
    assert house.files() == [3, 4, 5]


def test_a_drain_leaves_no_more_than_is_to_be_kept(house: House) -> None:
    for seq in range(1, 5):
        house.easy(seq)
    house._say(store(5, 1, Ending.EASY))
    house.send(Drain())
    assert house.sink.drained
    assert house.files() == [3, 4, 5]


def test_frames_of_streams_that_are_not_here_stay(house: House) -> None:
    house.easy(1)
    assert house.ledger.oldest(["yard"], 5) == []
    assert house.ledger.oldest(["yard", "gate"], 5) == [Old(FrameId("gate", 1), 100_000_000_000, ("all",))]
    assert house.ledger.kept_bytes(["yard"]) == 0


def test_a_removal_that_the_ledger_does_not_take_is_done_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for seq in range(1, 5):
        house.easy(seq)
    commit = house.ledger.commit

    def full() -> None:
        if house.ledger.removed_frames("gate") or house.files() == [3, 4, 5]:
            raise StorageError("full")
        commit()

    with monkeypatch.context() as patch:
        patch.setattr(house.ledger, "commit", full)
        house.easy(5)
    assert house.ledger.kept_bytes(["gate"]) == 5 * FRAME_BYTES
    house.later(5)
    assert house.ledger.kept_bytes(["gate"]) == 3 * FRAME_BYTES
    assert house.ledger.removed_frames("gate") == 2


def test_the_oldest_are_found_by_an_index_and_not_by_looking_at_every_frame(house: House) -> None:
    plan = house.ledger._rows._connection.execute(f"EXPLAIN QUERY PLAN {OLDEST}", ('["gate"]', 5)).fetchall()
    assert [row[-1] for row in plan if "frames" in row[-1]] == ["SCAN frames USING INDEX frames_kept"]
    assert not [row for row in plan if "SORT" in row[-1] or "ORDER BY" in row[-1]]
