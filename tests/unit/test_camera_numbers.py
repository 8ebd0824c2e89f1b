"""A camera's numbers are never used twice, whenever reader and sink are killed, and the sums balance all the same."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from pipeline.image import Image
from pipeline.messages import Drain, Frame, Message, NotStored, ReaderProgress, Resume, Store, Stored, Tick
from pipeline.model import Ending, FrameId
from stages.ledger import SqliteLedger
from stages.ledger_report import read_frames, read_report
from stages.reader import Reader
from stages.sink import Sink
from stages.source import Passed, Picture, Wanted, every_frame
from tests.examples import result
from tests.unit.test_sink import Disk

IMAGE = Image(pixels=np.zeros((4, 4, 3), np.uint8))
STREAM = "gate"


@dataclass
class Camera:
    """A camera whose newest sampled frame is ``behind`` frames after the last one that was read."""

    draw: random.Random
    live: bool = True
    name: str = "rtsp://gate"
    fps: float | None = 25.0
    length: int | None = None
    seq: int = 0

    def open(self, first_seq: int = 1, wanted: Wanted = every_frame) -> None:
        self.seq = first_seq - 1

    def read(self) -> Picture:
        behind = self.draw.choice((0, 0, 3, 24, 700, 60_000))
        self.seq += behind + 1
        return Picture(self.seq, IMAGE, self.seq, 0.0, 0.0, Passed(skipped=behind // 2, dropped=behind - behind // 2))

    def close(self) -> None:
        pass


class Edge:
    """A reader and a sink, and between them a miner that finds every second frame hard; all die together.

    Args:
        public: which picture was seen under which number, by this process and those before.
        outbox: hard frames that survive the process, until they are stored.
    """

    def __init__(
        self,
        ledger: SqliteLedger,
        draw: random.Random,
        incarnation: str,
        public: dict[FrameId, Frame],
        outbox: dict[FrameId, Store],
    ) -> None:
        self.now_s, self.draw, self.public, self.outbox = 1000.0, draw, public, outbox
        self.disk = Disk()
        self.sink = Sink(ledger, self.disk, lambda: self.now_s)
        self.reader = Reader(
            STREAM,
            Camera(draw),
            fingerprint=lambda: "f",
            incarnation=incarnation,
            clock=lambda: self.now_s,
            window=3,
        )
        self.queue: deque[Message] = deque()
        self.unsaid = list(outbox.values())

    def step(self) -> None:
        """Let time pass, and one of the two do something."""
        self.now_s += self.draw.choice((0.001, 0.01, 0.03, 1.0))
        if self.draw.random() < 0.02:
            self.disk.full = not self.disk.full
        if self.unsaid and self.draw.random() < 0.1:
            self.queue.append(self.unsaid.pop())
        stage = self.draw.choice((self.reader, self.sink))
        if self.queue and self.draw.random() < 0.7:
            message = self.queue.popleft()
            stage = self.reader if isinstance(message, Stored | NotStored | Resume) else self.sink
            self.hear(stage.process(message))
        elif stage.wakes_at_s <= self.now_s:
            self.hear(stage.process(Tick(self.now_s)))

    def hear(self, said: Iterable[Message]) -> None:
        for message in said:
            match message:
                case Frame():
                    assert self.public.setdefault(message.id, message) is message, "a number is used twice"
                    self.queue.append(self._first(message))
                case Stored():
                    self.outbox.pop(message.id, None)
                    self.queue.append(message)
                case NotStored() | ReaderProgress() | Resume():
                    self.queue.append(message)

    def _first(self, frame: Frame) -> Store:
        ending = Ending.EASY if frame.counts.admitted % 2 else None
        store = Store(result(frame.id.seq, ending=ending), IMAGE, frame.counts)
        if ending is None:
            self.outbox.setdefault(frame.id, store)
        return store

    def stop(self) -> None:
        """End in good order."""
        self.disk.full = False
        self.hear(self.reader.process(Drain()))
        for _ in range(3000):
            self.step()
            self.disk.full = False
            if self.reader.drained and not self.queue and not self.unsaid and not self.sink.levels["uncommitted"]:
                break
        self.hear(self.sink.process(Drain()))
        assert self.reader.drained


@pytest.mark.parametrize("seeds", [range(first, first + 10) for first in range(0, 30, 10)], ids=str)
def test_no_number_is_used_twice_and_the_sums_balance(seeds: range, tmp_path: Path) -> None:
    for seed in seeds:
        draw = random.Random(seed)
        public: dict[FrameId, Frame] = {}
        outbox: dict[FrameId, Store] = {}
        for life in range(5):
            with closing(SqliteLedger(tmp_path / f"{seed}.sqlite", "a test")) as ledger, capture_logs():
                edge = Edge(ledger, draw, f"{seed}-{life}", public, outbox)
                for _ in range(draw.randint(10, 300)):
                    edge.step()
                if life == 4 or draw.random() < 0.2:
                    edge.stop()
                tally = ledger.tally(STREAM)
                assert tally.read == tally.skipped + tally.dropped + tally.admitted, seed
        report = read_report(tmp_path / f"{seed}.sqlite")[STREAM].tally
        assert report == tally, seed
        rows = [row.ending for row in read_frames(tmp_path / f"{seed}.sqlite", STREAM)]
        assert (report.easy, report.pending) == (rows.count("easy"), rows.count(None)), seed
        assert report.interrupted == report.admitted - len(rows) >= 0, seed
        assert not outbox, seed
