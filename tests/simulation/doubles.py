"""What stands at the rim of the simulated pipeline: pictures, models, a ledger and outputs, all in memory.

Every picture and every answer has the picture's number in it, so that a mix-up shows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import cv2
import numpy as np

from pipeline.errors import StorageError
from pipeline.gain import Found, Gain
from pipeline.image import Image
from pipeline.messages import ReaderProgress, Result, Resume, UplinkProgress
from pipeline.model import Counts, Detections, Ending, FrameId, Tally, Verdict
from stages.gain import gain_of
from stages.outbox import Changes, MemoryOutbox, Waiting
from stages.sink_stores import Kept, Written

NAMES = ("edge", "cloud")
_NUMBER_OF: dict[bytes, int] = {}


@lru_cache(maxsize=4096)
def jpeg(number: int, size: int) -> bytes:
    """A picture with a number: ``size`` squared pixels of noise, the same in every run."""
    pixels = np.random.default_rng(number).integers(0, 256, (size, size, 3), np.uint8)
    data = cv2.imencode(".jpg", pixels)[1].tobytes()
    _NUMBER_OF[data] = number
    return data


def number_of(image: Image) -> int:
    """The number of this picture."""
    return _NUMBER_OF[image.jpeg]


@lru_cache(maxsize=4096)
def boxes(number: int, label: int) -> Detections:
    """What a model sees in a picture: one box at its number, of class ``edge`` (0) or ``cloud`` (1)."""
    corners = np.array([[number, 0, number + 1, 1]], np.float32)
    return Detections(corners, np.array([0.5], np.float32), np.array([label], np.int32), NAMES)


class LittleModel:
    """The edge's detector."""

    model = "little"

    def detect(self, image: Image) -> Detections:
        return boxes(number_of(image), 0)


@dataclass
class Account:
    """What a ledger knows of one stream."""

    counts: Counts = field(default_factory=Counts)
    fingerprint: str = ""
    rows: dict[int, tuple[Counts, tuple[Result, ...], tuple[str, ...]]] = field(default_factory=dict)

    def copy(self) -> Account:
        return Account(self.counts, self.fingerprint, dict(self.rows))


class MemoryLedger:
    """A ``LedgerStore`` that keeps what is committed, and forgets the rest when its process dies.

    Attributes:
        added: how often a revision 1 was committed for each frame.
        ended: how often a revision 2 was.
    """

    def __init__(self, full: Callable[[], bool]) -> None:
        """Commit nothing while ``full``."""
        self._full = full
        self.added: Counter[FrameId] = Counter()
        self.ended: Counter[FrameId] = Counter()
        self._committed: defaultdict[str, Account] = defaultdict(Account)
        self._accounts: defaultdict[str, Account] = defaultdict(Account)
        self._new: list[tuple[Counter[FrameId], FrameId]] = []

    def results(self, stream: str) -> dict[int, tuple[Result, ...]]:
        """The revisions that are stored, by frame."""
        return {seq: results for seq, (_, results, _) in self._committed[stream].rows.items()}

    def kept(self, frame: FrameId) -> Kept | None:
        row = self._accounts[frame.stream].rows.get(frame.seq)
        if row is None:
            return None
        _, results, files = row
        edge_final = results[0].final
        return Kept(len(results), results[-1].final, edge_final, files, ("all",) if len(results) > 1 else ())

    def add(self, result: Result, counts: Counts, written: Written) -> None:
        account = self._accounts[result.id.stream]
        assert result.id.seq not in account.rows, f"{result.id} is stored already"
        account.rows[result.id.seq] = counts, (result,), written.files
        if counts.read > account.counts.read:
            account.counts = counts
        self._new.append((self.added, result.id))

    def end(self, result: Result, written: Written) -> None:
        account = self._accounts[result.id.stream]
        counts, results, edge_files = account.rows[result.id.seq]
        assert not results[-1].final, f"{result.id} has ended already"
        account.rows[result.id.seq] = counts, (*results, result), edge_files
        self._new.append((self.ended, result.id))

    def open(self, progress: ReaderProgress) -> Resume:
        account = self._accounts[progress.stream]
        assert account.fingerprint in {"", progress.fingerprint}
        account.fingerprint = progress.fingerprint
        done: list[tuple[int, int]] = []
        before = -1
        for seq, (counts, results, _) in sorted(account.rows.items()):
            if not results[-1].final:
                continue
            if counts.admitted == before + 1:
                done[-1] = (done[-1][0], seq)
            else:
                done.append((seq, seq))
            before = counts.admitted
        return Resume(progress.stream, progress.incarnation, account.counts, tuple(done), "")

    def count(self, progress: ReaderProgress) -> None:
        account = self._accounts[progress.stream]
        if progress.counts.read > account.counts.read:
            account.counts = progress.counts

    def meet(self, progress: UplinkProgress) -> bool:
        return False

    def recalled(self, stream: str) -> list[tuple[int, Verdict]]:
        rows = sorted(self._accounts[stream].rows.items())
        return [(seq, results[0].verdict) for seq, (_, results, _) in rows]

    def tally(self, stream: str) -> Tally:
        counts = self._accounts[stream].counts
        ended = Counter(results[-1].ending for results in self.results(stream).values())
        easy, cloud, expired, failed = (ended[ending] for ending in Ending)
        pending = counts.admitted - easy - cloud - expired - failed
        return Tally(
            counts.read, counts.skipped, counts.dropped, counts.admitted, easy, cloud, expired, failed, 0, pending
        )

    def gain(self, stream: str) -> Gain:
        results = self.results(stream).values()
        return gain_of(*(_found([r for r in results if r[0].verdict.hard is hard]) for hard in (True, False)))

    def removed_frames(self, stream: str) -> int:
        return 0

    def upload_bytes(self, stream: str) -> int:
        return sum(results[-1].upload_bytes for results in self.results(stream).values())

    def commit(self) -> None:
        if self._full() and (self._new or self._accounts != self._committed):
            raise StorageError("the disk is full")
        self._committed = defaultdict(Account, {name: account.copy() for name, account in self._accounts.items()})
        for counter, frame in self._new:
            counter[frame] += 1
        self._new.clear()

    def rollback(self) -> None:
        counts = {name: account.counts for name, account in self._accounts.items()}
        self._accounts = defaultdict(Account, {name: account.copy() for name, account in self._committed.items()})
        for name, counted in counts.items():
            self._accounts[name].counts = counted
        self._new.clear()

    def died(self) -> None:
        """The process that owned it has died."""
        self._accounts = defaultdict(Account, {name: account.copy() for name, account in self._committed.items()})
        self._new.clear()


def _found(frames: list[tuple[Result, ...]]) -> Found:
    judged = [results for results in frames if results[0].ending is not Ending.FAILED]
    answered = sum(results[-1].ending is Ending.CLOUD for results in judged)
    return Found(len(judged), answered, answered, answered)  # the cloud's box is always of another class


class FillingOutbox(MemoryOutbox):
    """An ``OutboxStore`` in memory, on a disk that may be full. What it has taken survives its process."""

    def __init__(self, full: Callable[[], bool]) -> None:
        """Take nothing while ``full``."""
        super().__init__()
        self._full = full

    def kept(self, frame: FrameId) -> Waiting | None:
        """What there is of a frame."""
        return self._kept.get(frame)

    def write(self, changes: Changes) -> None:
        if self._full():
            raise StorageError("the disk is full")
        super().write(changes)


class MemoryOutputs:
    """An ``OutputStore`` that checks that each file has the picture and the boxes of its own frame.

    Attributes:
        writes: the boxes that were written, by frame and revision.
        pictures: the number of the picture that was last written, by frame.
    """

    def __init__(self, full: Callable[[], bool], seq_of: Callable[[int], int]) -> None:
        """Take nothing while ``full``; ``seq_of`` says of which frame a picture is, by its number."""
        self.writes: defaultdict[tuple[FrameId, int], list[Result]] = defaultdict(list)
        self.pictures: dict[FrameId, int] = {}
        self._full, self._seq_of = full, seq_of

    def edge(self, result: Result, image: Image) -> Written:
        number = number_of(image)
        assert self._seq_of(number) == result.id.seq, "the picture is another frame's"
        assert result.revision == 1
        self._write(result, number)
        return Written(("all", "hard_edge", "dataset") if result.verdict.sent else ("all",))

    def cloud(self, result: Result, before: tuple[str, ...]) -> Written:
        assert before == ("all", "hard_edge", "dataset"), "revision 1 has not been written"
        self._write(result, self.pictures[result.id])
        return Written(("all",))

    def paths(self, frame: FrameId, files: tuple[str, ...]) -> Mapping[str, str]:
        return {folder: f"{folder}/{frame.seq}.jpeg" for folder in files}

    def _write(self, result: Result, number: int) -> None:
        if self._full():
            raise StorageError("the disk is full")
        label = 1 if result.ending is Ending.CLOUD else 0
        seen = boxes(number, label)
        assert np.array_equal(result.detections.boxes, seen.boxes), "the boxes are another picture's"
        assert result.detections.labels.tolist() == [label], "the boxes are another model's"
        self.pictures[result.id] = number
        self.writes[result.id, result.revision].append(replace(result, latency_ms=0.0, steps_ms={}))
