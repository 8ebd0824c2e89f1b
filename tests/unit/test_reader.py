"""The reader, driven through hours by a fake clock and a fake source."""

from __future__ import annotations

import gc
import itertools
import math
import random
import weakref
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, SourceError
from pipeline.image import Image
from pipeline.messages import (
    SEQ_AHEAD,
    Drain,
    Frame,
    Message,
    NotStored,
    ReaderProgress,
    Result,
    Resume,
    SourceStatus,
    Store,
    Stored,
    Tick,
    Undeliverable,
)
from pipeline.model import Counts, Ending, FrameId
from stages.intake import Pace
from stages.reader import Reader
from stages.source import Ended, Passed, Picture, Wanted, every_frame
from stages.unconfirmed import Unconfirmed


def image() -> Image:
    return Image(pixels=np.zeros((4, 4, 3), np.uint8))


@dataclass
class Clip:
    """A file of ``frames`` frames, of which every ``every``-th is sampled."""

    frames: int
    every: int = 1
    note: str = ""
    live: bool = False
    name: str = "clip.mp4"
    fps: float | None = 10.0
    length: int | None = None
    refusals: int = 0
    seq: int = 0
    opened: int = 0
    is_open: bool = False
    wanted: Wanted = every_frame

    def open(self, first_seq: int = 1, wanted: Wanted = every_frame) -> None:
        self.opened += 1
        if self.refusals:
            self.refusals -= 1
            raise SourceError("clip.mp4 does not exist")
        assert first_seq == 1
        self.seq, self.wanted, self.is_open = 0, wanted, True

    def read(self) -> Picture | Passed | Ended | None:
        assert self.is_open
        skipped = done = 0
        while self.seq < self.frames:
            self.seq += 1
            if (self.seq - 1) % self.every:
                skipped += 1
            elif not self.wanted(self.seq):
                done += 1
            else:
                passed = Passed(skipped, done=done)
                return Picture(self.seq, image(), self.seq * 10**9, (self.seq - 1) / 10, 0.0, passed)
        return Ended(Passed(skipped, done=done), self.note)

    def close(self) -> None:
        self.is_open = False


@dataclass
class Camera:
    """A camera that gives what the test puts in."""

    given: deque[Picture | Passed | SourceError] = field(default_factory=deque)
    live: bool = True
    name: str = "rtsp://gate"
    fps: float | None = 10.0
    length: int | None = None
    opened_at: list[int] = field(default_factory=list)
    closed: int = 0

    def open(self, first_seq: int = 1, wanted: Wanted = every_frame) -> None:
        self.opened_at.append(first_seq)

    def read(self) -> Picture | Passed | Ended | None:
        got = self.given.popleft() if self.given else None
        if isinstance(got, SourceError):
            raise got
        return got

    def close(self) -> None:
        self.closed += 1

    def give(self, seq: int, passed: Passed | None = None, age_s: float = 0.0) -> None:
        self.given.append(Picture(seq, image(), seq, seq / 10, age_s, passed or Passed()))


class World:
    """A reader, its clock, and all that it has said."""

    def __init__(self, source: Clip | Camera, *, resume: bool = True, **options: object) -> None:
        self.now_s = 1000.0
        self.source = source
        self.reader = Reader(
            "gate",
            source,
            fingerprint=lambda: "f",
            incarnation="i",
            clock=lambda: self.now_s,
            **options,  # type: ignore[arg-type]
        )
        self.said: list[Message] = []
        if resume:
            self.tick()
            self.send(resumed())

    def send(self, *messages: Message) -> list[Message]:
        said = [answer for message in messages for answer in self.reader.process(message)]
        self.said += said
        return said

    def tick(self) -> list[Message]:
        return self.send(Tick(self.now_s))

    def settle(self, limit: int = 10_000) -> list[Message]:
        """Tick for as long as the reader wants one now."""
        said: list[Message] = []
        for _ in range(limit):
            if self.reader.wakes_at_s > self.now_s:
                return said
            said += self.tick()
        pytest.fail("the reader never comes to rest")

    def sleep(self, seconds: float) -> list[Message]:
        """Let time pass, with a Tick whenever the reader wants one."""
        said, end_s = self.settle(), self.now_s + seconds
        while (wakes_at_s := self.reader.wakes_at_s) <= end_s:
            self.now_s = max(self.now_s, wakes_at_s)
            said += self.settle()
        self.now_s = end_s
        return said

    def store(self, *seqs: int, final: bool = True, revision: int = 1) -> list[Message]:
        return self.send(*(Stored(FrameId("gate", seq), revision, final, {}) for seq in seqs))


def resumed(done: tuple[tuple[int, int], ...] = (), counts: Counts | None = None, refused: str = "") -> Resume:
    return Resume("gate", "i", counts or Counts(), done, refused)


def frames(said: Iterable[Message]) -> list[int]:
    return [message.id.seq for message in said if isinstance(message, Frame)]


def reports(said: Iterable[Message]) -> list[ReaderProgress]:
    return [message for message in said if isinstance(message, ReaderProgress)]


def statuses(said: Iterable[Message]) -> list[tuple[SourceStatus, str]]:
    return [(report.status, report.reason) for report in reports(said)]


# Opening


def test_it_asks_until_it_is_answered() -> None:
    world = World(Clip(3), resume=False)
    times = []
    while len(times) < 6:
        assert [report.status for report in reports(world.tick())] == [SourceStatus.OPENING]
        times.append(world.now_s - 1000)
        world.now_s = world.reader.wakes_at_s
    assert times == [0, 1, 3, 7, 12, 17]
    assert not world.source.is_open  # type: ignore[union-attr]
    assert frames(world.said) == []


def test_it_takes_the_answer_to_its_own_question_alone() -> None:
    world = World(Clip(3), resume=False)
    world.tick()
    world.send(Resume("gate", "other", Counts(), (), ""), Resume("yard", "i", Counts(), (), "no"))
    world.settle()
    assert frames(world.said) == []
    world.send(resumed())
    assert frames(world.settle()) == [1, 2, 3]
    world.send(resumed(refused="another one is here"))
    assert frames(world.sleep(1)) == []


def test_a_refusal_is_an_error_of_the_call() -> None:
    world = World(Clip(3), resume=False)
    with pytest.raises(ConfigError, match="out: made by another config; use --fresh"):
        world.send(resumed(refused="made by another config; use --fresh"))


def test_a_source_that_is_absent_is_tried_again_ever_more_slowly() -> None:
    source = Clip(1, refusals=12)
    world = World(source, resume=False)
    times = [world.now_s]
    while source.refusals:
        world.tick()
        assert world.reader.wakes_at_s - world.now_s <= 30
        world.now_s = world.reader.wakes_at_s
        times.append(world.now_s)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert all(1 <= pause <= 30 for pause in pauses)
    assert sum(pauses[-4:]) > 60
    assert statuses(world.said) == [(SourceStatus.RETRYING, "clip.mp4 does not exist")]
    assert statuses(world.tick()) == [(SourceStatus.OPENING, "")]
    world.send(resumed())
    assert frames(world.settle()) == [1]
    assert statuses(world.said)[-1] == (SourceStatus.RUNNING, "")


def test_a_file_that_goes_away_after_the_question_is_tried_again() -> None:
    source = Clip(1)
    world = World(source)
    source.refusals = 3
    assert frames(world.sleep(30)[:4]) == [1]
    assert (SourceStatus.RETRYING, "clip.mp4 does not exist") in statuses(world.said)


def test_a_fingerprint_is_taken_once_and_not_before_a_file_can_be_opened() -> None:
    source, opened = Clip(1, refusals=2), []

    def fingerprint() -> str:
        opened.append(source.opened)
        if len(opened) == 1:
            raise SourceError("clip.mp4 is gone again")
        return "f"

    world = World(source, resume=False)
    world.reader._find_fingerprint = fingerprint
    world.sleep(60)
    assert opened == [3, 4]
    assert {report.fingerprint for report in reports(world.said) if report.status is SourceStatus.OPENING} == {"f"}


# The window


def test_a_frame_carries_what_is_known_of_it() -> None:
    world = World(Clip(25, every=10))
    first, second, _third = (message for message in world.settle() if isinstance(message, Frame))
    assert (first.id, second.id) == (FrameId("gate", 1), FrameId("gate", 11))
    assert (first.counts, second.counts) == (Counts(1, 0, 0, 1), Counts(11, 9, 0, 2))
    assert (second.captured_ns, second.media_s, second.born_s) == (11 * 10**9, 1.0, 1000.0)
    assert second.steps_ms == {"read": 0.0}


def test_reading_is_timed_by_the_clock() -> None:
    class Slow(Clip):
        def read(self) -> Picture | Passed | Ended | None:
            world.now_s += 0.25
            return super().read()

    world = World(Slow(1))
    (frame,) = (message for message in world.settle() if isinstance(message, Frame))
    assert frame.steps_ms == {"read": 250.0}
    assert frame.born_s == 1000.0


def test_the_window_is_kept_and_opens_by_one() -> None:
    world = World(Clip(100), window=3)
    assert frames(world.settle()) == [1, 2, 3]
    world.store(2)
    assert frames(world.settle()) == [4]
    world.store(2, 2)
    world.send(Stored(FrameId("yard", 1), 1, final=True, files={}))
    assert frames(world.settle()) == []
    world.store(1, 3)
    assert frames(world.settle()) == [5, 6]


def pixels_of(world: World) -> list[weakref.ref[object]]:
    """Watch the pixels that were sent, and forget all that was said."""
    watched: list[weakref.ref[object]] = [
        weakref.ref(message.image.pixels) for message in world.said if isinstance(message, Frame)
    ]
    world.said.clear()
    gc.collect()
    return watched


def test_stored_frames_hold_no_pixels() -> None:
    world = World(Clip(3), window=3)
    world.settle()
    watched = pixels_of(world)
    assert [watch() is not None for watch in watched] == [True, True, True]
    world.store(1, 3, final=False)
    assert [watch() is not None for watch in watched] == [False, True, False]


def test_a_failed_frame_holds_no_pixels() -> None:
    world = World(Clip(1))
    world.settle()
    world.send(*(Undeliverable(message, "too large") for message in world.said if isinstance(message, Frame)))
    (watch,) = pixels_of(world)
    assert watch() is None


def test_a_file_waits_for_the_cloud_when_the_backlog_is_full() -> None:
    world = World(Clip(100), window=2, backlog=4)
    for seq in range(1, 5):
        world.settle()
        world.store(seq, final=False)
    assert frames(world.settle()) == []
    assert frames(world.said) == [1, 2, 3, 4]
    assert statuses(world.sleep(2))[-1] == (SourceStatus.WAITING, "waits for the cloud: 4 hard frames are under way")
    world.store(3, revision=2)
    assert frames(said := world.settle()) == [5]
    assert (SourceStatus.RUNNING, "") in statuses(said)


def test_it_says_how_full_window_and_backlog_are() -> None:
    world = World(Clip(100), window=3, backlog=9)
    world.settle()
    assert world.reader.levels == {"window": 3, "backlog": 3}
    world.store(1, final=False)
    world.store(2)
    assert world.reader.levels == {"window": 1, "backlog": 2}


def test_a_final_word_that_comes_first_leaves_nothing_behind() -> None:
    world = World(Clip(100), window=1, backlog=1)
    for seq in range(1, 50):
        assert frames(world.settle()) == [seq]
        world.store(seq, revision=2)
        world.store(seq, final=False)


def test_a_lost_final_word_does_not_stop_a_file_for_ever() -> None:
    world = World(Clip(3), window=1, backlog=1, forget_s=900)
    world.settle()
    world.store(1, final=False)
    assert frames(world.sleep(899)) == []
    assert frames(world.sleep(2)) == [2]


def test_a_camera_does_not_wait_for_the_cloud() -> None:
    camera = Camera()
    world = World(camera, window=2, backlog=2)
    for seq in range(1, 10):
        camera.give(seq)
        assert frames(world.sleep(0.1)) == [seq]
        world.store(seq, final=False)


def test_a_window_that_stays_full_is_told_and_a_busy_one_is_not() -> None:
    world = World(Clip(1000), window=2)
    for seq in range(1, 40):
        world.sleep(0.5)
        world.store(seq)
    assert {status for status, _ in statuses(world.said[1:])} == {SourceStatus.RUNNING}
    told = statuses(world.sleep(10))
    assert told[-1] == (SourceStatus.WAITING, "waits for the sink: 2 frames are sent and not stored")


def test_the_reason_follows_what_it_waits_for() -> None:
    world = World(Clip(1000), window=2, backlog=2)
    world.sleep(6)
    said = world.send(NotStored(FrameId("gate", 1), 1, "the disk is full"))
    assert statuses(said) == [(SourceStatus.WAITING, "waits for the sink: the disk is full")]
    said = world.store(1, 2, final=False)
    assert statuses(said)[-1] == (SourceStatus.WAITING, "waits for the cloud: 2 hard frames are under way")


def test_a_refusal_is_told_soon_and_until_that_frame_is_stored() -> None:
    world = World(Clip(1000), window=2)
    world.sleep(0.5)
    world.send(NotStored(FrameId("gate", 1), 1, "the disk is full"))
    refused = (SourceStatus.WAITING, "waits for the sink: the disk is full")
    assert statuses(world.sleep(1.5))[-1] == refused
    world.store(2)
    assert statuses(world.sleep(1.5))[-1] == refused
    world.store(1)
    assert statuses(world.sleep(0.5))[-1] == (SourceStatus.RUNNING, "")


# Sending again


def test_what_is_not_stored_is_sent_again_ever_more_slowly() -> None:
    world = World(Clip(1))
    times = []
    for _ in range(100):
        world.now_s = max(world.now_s, min(world.reader.wakes_at_s, 2000))
        times += [world.now_s - 1000] * len(frames(world.tick()))
    assert times[:6] == [0, 5, 15, 35, 75, 135]
    assert times[6] - times[5] == 60
    world.store(1)
    assert frames(world.sleep(600)) == []


def test_the_first_copy_and_the_second_are_the_same_frame() -> None:
    world = World(Clip(1))
    world.sleep(6)
    first, second = (message for message in world.said if isinstance(message, Frame))
    assert first is second


def test_deadlines_follow_the_measured_times() -> None:
    held = Unconfirmed()
    frame = next(message for message in World(Clip(1)).settle() if isinstance(message, Frame))
    for seq in range(1, 101):
        held.hold(seq, frame, seq)
        held.confirm(seq, seq + (3.0 if seq % 20 == 0 else 0.1))
    held.hold(200, frame, 1000)
    assert held.next_due_s == pytest.approx(1012)


def test_a_frame_sent_twice_is_not_measured_and_slows_the_next() -> None:
    held = Unconfirmed()
    frame = next(message for message in World(Clip(1)).settle() if isinstance(message, Frame))
    held.hold(1, frame, 0)
    assert len(held.due(5)) == 1
    held.confirm(1, 5000)
    held.hold(2, frame, 10_000)
    assert held.next_due_s == 10_010
    held.confirm(2, 10_001)
    held.hold(3, frame, 20_000)
    assert held.next_due_s == 20_005


def test_a_full_disk_stops_sending_again_for_a_minute() -> None:
    world = World(Clip(1))
    world.settle()
    world.send(NotStored(FrameId("gate", 1), 1, "the disk is full"))
    world.send(NotStored(FrameId("gate", 7), 1, "the disk is full"))
    assert frames(world.sleep(59)) == []
    assert frames(world.sleep(2)) == [1]


def test_a_frame_that_cannot_be_sent_ends_as_failed_and_lets_its_picture_go() -> None:
    world = World(Clip(1))
    (frame,) = (message for message in world.settle() if isinstance(message, Frame))
    result, store = world.send(Undeliverable(frame, "larger than the broker takes"))
    assert isinstance(store, Store)
    assert isinstance(result, Result)
    assert (result.ending, result.reason, store.image) == (Ending.FAILED, "larger than the broker takes", None)
    again = [message for message in world.sleep(6) if not isinstance(message, ReaderProgress)]
    assert again == [store]
    assert statuses(world.store(1)) == [(SourceStatus.ENDED, "")]
    assert world.send(Undeliverable(frame, "larger than the broker takes")) == []


def test_a_picture_that_is_too_large_for_others_ends_as_failed() -> None:
    world = World(camera := Camera())
    wide = Image(pixels=np.zeros((1, 70_000, 3), np.uint8))
    camera.given.append(Picture(1, wide, 1, 0.0, 0.0, Passed()))
    result, store = (message for message in world.tick() if not isinstance(message, ReaderProgress))
    assert isinstance(store, Store)
    assert isinstance(result, Result)
    assert (result.ending, store.image, store.counts) == (Ending.FAILED, None, Counts(1, 0, 0, 1))
    assert result.reason.startswith("a picture of 70000x1 pixels")
    world.store(1)
    world.send(Drain())
    assert world.reader.drained


# Ends


def test_a_file_ends_when_all_is_stored() -> None:
    world = World(Clip(25, every=10, note="cut short"))
    world.settle()
    assert (SourceStatus.ENDED, "cut short") not in statuses(world.sleep(1.5))
    world.store(1, 11)
    (last,) = reports(world.store(21, final=False))
    assert (last.status, last.reason, last.counts) == (SourceStatus.ENDED, "cut short", Counts(25, 22, 0, 3))
    assert not world.source.is_open  # type: ignore[union-attr]
    assert world.send(Drain(), *[Stored(FrameId("gate", 21), 2, final=True, files={})]) == []
    assert world.reader.drained


def test_ended_is_repeated_since_it_may_be_lost() -> None:
    world = World(Clip(1))
    world.settle()
    world.store(1)
    assert world.sleep(4.9) == []
    assert statuses(world.sleep(0.2)) == [(SourceStatus.ENDED, "")]


def test_draining_admits_nothing_and_waits_for_what_is_under_way() -> None:
    world = World(Clip(100), window=2)
    world.settle()
    assert statuses(world.send(Drain())) == [(SourceStatus.STOPPED, "")]
    assert not world.source.is_open  # type: ignore[union-attr]
    assert not world.reader.drained
    world.store(1)
    assert world.settle() == []
    assert frames(world.sleep(6)) == [2]
    world.store(2, final=False)
    assert world.reader.drained
    assert world.reader.wakes_at_s == math.inf


def test_a_reader_that_only_asks_is_drained_at_once() -> None:
    world = World(Clip(1), resume=False)
    world.tick()
    world.send(Drain())
    assert world.reader.drained
    assert world.reader.wakes_at_s == math.inf


def test_counts_are_told_once_a_second() -> None:
    world = World(Clip(1000), window=1)
    for _ in range(50):
        world.settle()
        world.store(*frames(world.said)[-1:])
        world.sleep(0.1)
    assert 5 <= len(reports(world.said)) <= 8
    assert reports(world.said)[-1].counts.admitted >= 40


# Resuming


def test_a_file_goes_on_where_it_was_and_counts_what_was_done() -> None:
    world = World(Clip(45, every=10), resume=False)
    world.tick()
    world.send(resumed(done=((1, 11), (31, 31)), counts=Counts(31, 27, 0, 4)))
    assert frames(world.settle()) == [21, 41]
    (last,) = reports(world.store(21, 41))
    assert (last.status, last.counts) == (SourceStatus.ENDED, Counts(45, 40, 0, 5))


def test_a_file_that_is_done_stays_done() -> None:
    world = World(Clip(45, every=10), resume=False)
    world.tick()
    world.send(resumed(done=((1, 41),)))
    assert frames(world.settle()) == []
    assert reports(world.said)[-1].status is SourceStatus.ENDED
    assert reports(world.said)[-1].counts == Counts(45, 40, 0, 5)


@pytest.mark.parametrize(("done", "first_seq"), [((), 1), (((1, 42),), 43), (((1, 7), (9, 57)), 58)])
def test_a_camera_goes_on_after_the_last_number(done: tuple[tuple[int, int], ...], first_seq: int) -> None:
    camera = Camera()
    world = World(camera, resume=False)
    world.tick()
    world.send(resumed(done=done, counts=Counts(42, 37, 1, 4)))
    camera.give(61, Passed(skipped=2, dropped=1), age_s=0.5)
    (frame,) = (message for message in world.settle() if isinstance(message, Frame))
    assert camera.opened_at == [first_seq]
    assert frame.counts == Counts(46, 39, 2, 5)
    assert frame.born_s == world.now_s - 0.5


def test_a_camera_numbers_no_frame_far_beyond_what_the_sink_has() -> None:
    camera = Camera()
    world = World(camera, resume=False)
    world.tick()
    world.send(resumed(done=((1, 40),), counts=Counts(40, 30, 0, 10)))
    camera.give(40 + SEQ_AHEAD, Passed(dropped=SEQ_AHEAD - 1))
    assert frames(world.settle()) == [40 + SEQ_AHEAD]
    camera.give(41 + SEQ_AHEAD)
    camera.give(42 + SEQ_AHEAD)
    (asked,) = reports(world.sleep(0.1))
    assert (asked.status, asked.counts.read) == (SourceStatus.OPENING, 40 + SEQ_AHEAD)
    assert frames(world.said) == [40 + SEQ_AHEAD]
    assert [report.status for report in reports(world.sleep(1))] == [SourceStatus.OPENING]
    said = world.send(resumed(done=((1, 40 + SEQ_AHEAD),), counts=Counts(40, 30, 0, 10)))
    assert frames(said) == [41 + SEQ_AHEAD]
    assert frames(world.sleep(0.1)) == [42 + SEQ_AHEAD]
    assert reports(world.sleep(1))[-1].counts == Counts(42 + SEQ_AHEAD, 30, SEQ_AHEAD - 1, 13)


def test_what_is_stored_lets_a_camera_go_on() -> None:
    camera = Camera()
    world = World(camera)
    camera.give(SEQ_AHEAD)
    world.settle()
    world.store(SEQ_AHEAD)
    camera.give(2 * SEQ_AHEAD)
    assert frames(world.sleep(0.1)) == [2 * SEQ_AHEAD]


def test_a_picture_without_a_number_is_dropped_and_counted_when_its_reader_stops() -> None:
    camera = Camera()
    world = World(camera)
    camera.give(1 + SEQ_AHEAD, Passed(skipped=SEQ_AHEAD))
    world.settle()
    assert reports(world.send(Drain()))[-1].counts == Counts(1 + SEQ_AHEAD, SEQ_AHEAD, 1, 0)
    assert world.reader.drained
    assert world.reader.wakes_at_s == math.inf


def test_a_lost_camera_is_opened_again_where_it_was() -> None:
    camera = Camera()
    world = World(camera)
    camera.give(1)
    camera.give(4, Passed(skipped=2))
    camera.given += [Passed(skipped=1), SourceError("rtsp://gate gives no more frames")]
    world.sleep(0.5)
    assert statuses(world.said)[-1] == (SourceStatus.RETRYING, "rtsp://gate gives no more frames")
    camera.give(6)
    assert frames(world.sleep(2)) == [6]
    assert camera.opened_at == [1, 6]
    assert statuses(world.said)[-1][0] is SourceStatus.RUNNING


def test_a_camera_is_polled_gently() -> None:
    world = World(Camera())
    world.settle()
    assert 0 < world.reader.wakes_at_s - world.now_s <= 0.05


# Pace


def test_a_file_at_its_own_speed_is_never_early() -> None:
    world = World(Clip(25, every=10), pace=Pace.REAL)
    born = [message for message in world.sleep(4) if isinstance(message, Frame)]
    assert [frame.born_s for frame in born] == pytest.approx([1000, 1001, 1002])
    # each was read when the one before it left, and captured when it left itself
    assert [frame.captured_ns / 1e9 for frame in born] == pytest.approx([1, 11 + 1, 21 + 1])


def test_a_file_at_its_own_speed_waits_for_the_window_and_loses_nothing() -> None:
    world = World(Clip(10), pace=Pace.REAL, window=2)
    assert frames(world.sleep(0.75)) == [1, 2]
    world.store(1, 2)
    assert frames(world.settle()) == [3, 4]
    world.store(3, 4)
    world.settle()
    world.store(5, 6)
    assert frames(world.said)[-1] == 6
    assert frames(world.settle()) == [7, 8]
    world.store(7)
    assert frames(world.sleep(0.1)) == [9]


# Whatever happens


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    window=st.integers(1, 8),
    backlog=st.integers(1, 20),
    every=st.integers(1, 4),
    loss=st.sampled_from([0.0, 0.3, 0.7]),
    lose_final=st.booleans(),
)
def test_every_frame_is_stored_in_the_end(
    seed: int, window: int, backlog: int, every: int, loss: float, *, lose_final: bool
) -> None:
    rng = random.Random(seed)
    world = World(Clip(rng.randrange(1, 80), every=every, refusals=rng.randrange(3)), window=window, backlog=backlog)
    stored: set[int] = set()
    open_frames: set[int] = set()
    ended_at_s = world.now_s + 4 * 3600 * 24
    while not world.said or not any(status is SourceStatus.ENDED for status, _ in statuses(world.said[-3:])):
        assert world.now_s < ended_at_s, f"not at its end in days, seed {seed}"
        said = world.settle()
        for message in said:
            if isinstance(message, Frame):
                open_frames.add(message.id.seq)
        confirmed_to_reader = {seq for seq in open_frames if seq not in world.reader._unconfirmed}
        assert len(open_frames - confirmed_to_reader) <= window
        arrived = [message for message in said if isinstance(message, Frame) and rng.random() >= loss]
        rng.shuffle(arrived)
        for frame in arrived:
            stored.add(frame.id.seq)
            hard = rng.random() < 0.5
            for _ in range(rng.choice([1, 1, 2])):
                if rng.random() >= loss:
                    world.store(frame.id.seq, final=not hard)
            if hard and not (lose_final and rng.random() < loss):
                world.store(frame.id.seq, revision=2)
        if rng.random() < 0.1 and open_frames:
            world.send(NotStored(FrameId("gate", rng.choice(sorted(open_frames))), 1, "full"))
        wakes_at_s = world.reader.wakes_at_s
        world.now_s = max(world.now_s, wakes_at_s) if wakes_at_s < math.inf else world.now_s + 1
    clip = world.source
    assert isinstance(clip, Clip)
    expected = set(range(1, clip.frames + 1, every))
    assert stored == open_frames == expected
    assert len(world.reader._unconfirmed) == 0
    last = reports(world.said)[-1].counts
    assert (last.read, last.admitted, last.dropped) == (clip.frames, len(expected), 0)
    assert frames(world.sleep(600)) == []
