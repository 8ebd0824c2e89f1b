"""The reader stage: admits sampled frames into the pipeline, and holds each until the sink has stored it."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import structlog

from pipeline.errors import ConfigError, DropMessage, SourceError
from pipeline.messages import (
    SEQ_AHEAD,
    Drain,
    Frame,
    Message,
    NotStored,
    ReaderProgress,
    Resume,
    SourceStatus,
    Stored,
    Tick,
    Undeliverable,
)
from pipeline.model import Counts, FrameId
from pipeline.stage import Clock
from stages.failed import failed
from stages.intake import Intake, Pace, Retries, Taken
from stages.source import Ended, Passed, VideoSource, Wanted
from stages.unconfirmed import Backlog, Unconfirmed

log = structlog.get_logger()

ASK_AGAIN_S: Final = (1.0, 5.0)
"""The first and the longest pause between two requests for a ``Resume``."""

REFUSED_PAUSE_S: Final = 60.0
"""So long nothing that the sink cannot store is sent again."""

PROGRESS_S: Final = 1.0
"""The shortest time between two reports in which only the counts differ."""

PROGRESS_AGAIN_S: Final = 5.0
"""The longest time between two reports: one may be lost, and it may have been the one that says ``ended``."""

SINK_IS_SLOW_S: Final = 5.0
CLOUD_IS_SLOW_S: Final = 1.0
"""So long the reader must have stood still before it says that it waits, and for whom; the second if it knows why."""


class Reader:
    """One stream's reader, a pure state machine over a ``VideoSource``.

    It asks the sink where to go on (``opening``), then reads while its window has room. It guarantees that

    * at most ``window`` frames are under way whose revision 1 is not stored, and only of these it holds pixels;
    * of a file, at most ``backlog`` frames are under way that are not final: the rest waits for the cloud;
    * a frame that was admitted is sent again until it is stored; one with a picture that is too large for others ends
      as failed at once;
    * no number of a camera's frame is ever used for another one, whenever the process is killed (``SEQ_AHEAD``);
    * ``read = skipped + dropped + admitted`` holds in every message.

    A source that fails is opened again, as often as it takes. A file that has ended is over: when all its frames are
    stored, the reader says ``ended``, and repeats it from time to time.
    """

    def __init__(
        self,
        stream: str,
        source: VideoSource,
        *,
        fingerprint: Callable[[], str],
        incarnation: str,
        clock: Clock,
        window: int = 8,
        backlog: int = 64,
        pace: Pace = Pace.MAX,
        forget_s: float = 900.0,
    ) -> None:
        """Read ``source`` as ``stream``.

        Args:
            stream: the stream's name.
            source: where the pictures come from, not opened yet.
            fingerprint: of everything that shapes the stream's results; raises SourceError while it cannot be told,
                since the file is not there yet. It is asked once a file can be opened: before, it may be half a copy.
            incarnation: changes with every start of the reader.
            clock: the monotonic clock, the one that Ticks come from.
            window: how many frames may be under way that are not stored.
            backlog: how many frames of a file may be under way that are not final.
            pace: how fast a file is read.
            forget_s: longer than any hard frame may wait for its end; after it, a frame leaves the backlog.
        """
        self._stream, self._source, self._clock = stream, source, clock
        self._find_fingerprint, self._fingerprint, self._incarnation = fingerprint, "", incarnation
        self._intake, self._retries = Intake(source, stream, clock, pace), Retries(stream)
        self._window, self._unconfirmed = window, Unconfirmed()
        self._most_waiting, self._backlog = backlog, Backlog(forget_s)

        self._ask_at_s, self._ask_pause_s = -math.inf, ASK_AGAIN_S[0]
        self._resumed = self._stopped = False
        self._last_seq = 0.0 if source.live else math.inf
        self._beyond: Taken | None = None
        self._end: Ended | None = None
        self._blocked_s: float | None = None
        self._refusals: dict[int, str] = {}

        self._status, self._reason = SourceStatus.OPENING, ""
        self._counts = self._told_counts = Counts()
        self._told_s = -math.inf

    def process(self, message: Message) -> Sequence[Message]:
        """Handle one message; see ``Stage.process``.

        Raises:
            ConfigError: the sink refuses this stream.
        """
        answers: Iterable[Message] = ()
        match message:
            case Tick(now_s=now_s):
                answers = self._tick(now_s)
            case Stored(id=FrameId(stream=self._stream)):
                answers = self._stored(message)
            case NotStored(id=FrameId(stream=self._stream)):
                answers = self._not_stored(message)
            case Resume(stream=self._stream, incarnation=self._incarnation) if self._admits:
                answers = self._resume(message)
            case Undeliverable(message=Frame(id=FrameId(stream=self._stream)) as frame):
                answers = self._undeliverable(frame, message.reason)
            case Drain() if self._admits:
                answers = self._drain()
        return list(answers)

    @property
    def wakes_at_s(self) -> float:
        """When the next thing is due; in the past while there is something to read and room for it."""
        due_s = [self._unconfirmed.next_due_s, self._repeats_at_s]
        if self._counts != self._told_counts:
            due_s.append(self._told_s + PROGRESS_S)
        if self._asks:
            due_s.append(self._ask_at_s)
        elif self._admits and self._has_room:
            due_s.append(self._intake.next_at_s)
        elif self._admits:
            due_s += [self._complains_at_s, self._backlog.next_forgotten_s]
        return min(due_s)

    @property
    def drained(self) -> bool:
        """After ``Drain``: whether every frame that was admitted is stored."""
        return not self._admits and not len(self._unconfirmed)

    @property
    def levels(self) -> Mapping[str, int]:
        """The window's frames that are not stored, and a file's that are not final. Any thread may ask."""
        return {"window": len(self._unconfirmed), "backlog": len(self._backlog)}

    @property
    def _admits(self) -> bool:
        return not self._stopped and self._end is None

    @property
    def _asks(self) -> bool:
        return self._admits and (not self._resumed or self._beyond is not None)

    @property
    def _has_room(self) -> bool:
        return len(self._unconfirmed) < self._window and len(self._backlog) < self._most_waiting

    def _tick(self, now_s: float) -> Iterator[Message]:
        yield from self._unconfirmed.due(now_s)
        if self._asks:
            yield from self._ask(now_s)
        elif self._admits:
            self._backlog.forget(now_s)
            if self._has_room:
                yield from self._take(now_s)
            yield from self._complain(now_s)
        counted = self._counts != self._told_counts and self._told_s + PROGRESS_S <= now_s
        if counted or self._repeats_at_s <= now_s:
            yield self._progress(now_s)

    def _ask(self, now_s: float) -> Iterator[Message]:
        if self._ask_at_s > now_s:
            return
        try:
            self._fingerprint = self._fingerprint or self._look()
        except SourceError as error:
            self._ask_at_s = now_s + self._retries.pause_s()
            yield from self._say(SourceStatus.RETRYING, str(error), now_s)
            return
        self._ask_at_s = now_s + self._ask_pause_s
        self._ask_pause_s = min(2 * self._ask_pause_s, ASK_AGAIN_S[1])
        self._status, self._reason = SourceStatus.OPENING, ""
        yield self._progress(now_s)

    def _look(self) -> str:
        if not self._source.live:
            self._source.open()
            self._source.close()
        return self._find_fingerprint()

    def _resume(self, resume: Resume) -> Iterator[Message]:
        if resume.refused:
            raise ConfigError("out", resume.refused)
        last_seq = max((last for _, last in resume.done), default=0)
        self._last_seq = max(self._last_seq, last_seq + SEQ_AHEAD)
        if not self._resumed:
            self._resumed = True
            if self._source.live:
                self._counts = self._told_counts = resume.counts
            self._intake.start(last_seq + 1 if self._source.live else 1, _outside(resume.done))
        elif self._beyond is not None:
            now_s = self._clock()
            beyond, self._beyond = self._beyond, None
            yield from self._say(SourceStatus.RUNNING, "", now_s)
            yield from self._number(beyond, now_s)

    # What the source gives

    def _take(self, now_s: float) -> Iterator[Message]:
        try:
            got = self._intake.take(now_s)
        except SourceError as error:
            yield from self._say(SourceStatus.RETRYING, str(error), now_s)
            return
        if got is None:
            return
        yield from self._say(SourceStatus.RUNNING, "", now_s)
        match got:
            case Taken():
                yield from self._number(got, now_s)
            case Passed():
                self._count(got, admitted=0)
            case Ended():
                self._count(got.passed, admitted=0)
                self._end = got
                self._intake.close()
                yield from self._finish(now_s)

    def _number(self, taken: Taken, now_s: float) -> Iterator[Message]:
        """Admit a picture, if it may have its number; else ask the sink, which learns by that how far the camera is."""
        if taken.picture.seq <= self._last_seq:
            yield from self._admit(taken, now_s)
            return
        self._count(taken.picture.passed, admitted=0)
        self._beyond = replace(taken, picture=replace(taken.picture, passed=Passed()))
        self._ask_at_s, self._ask_pause_s = now_s, ASK_AGAIN_S[0]
        yield from self._ask(now_s)

    def _admit(self, taken: Taken, now_s: float) -> Iterator[Message]:
        picture = taken.picture
        self._count(picture.passed, admitted=1)
        frame = Frame(
            id=FrameId(self._stream, picture.seq),
            image=picture.image,
            captured_ns=taken.captured_ns,
            media_s=picture.media_s,
            born_s=taken.born_s,
            counts=self._counts,
            steps_ms={"read": taken.read_ms},
        )
        self._unconfirmed.hold(picture.seq, frame, now_s)
        if not self._source.live:
            self._backlog.add(picture.seq, now_s)
        self._blocked_s = None
        try:
            frame.image.check_size()
        except DropMessage as error:
            yield from self._undeliverable(frame, str(error))
        else:
            yield frame

    def _count(self, passed: Passed, admitted: int) -> None:
        self._counts = Counts(
            read=self._counts.read + passed.count + admitted,
            skipped=self._counts.skipped + passed.skipped,
            dropped=self._counts.dropped + passed.dropped,
            admitted=self._counts.admitted + passed.done + admitted,
        )

    # What becomes of frames

    def _stored(self, stored: Stored) -> Iterator[Message]:
        now_s = self._clock()
        self._unconfirmed.confirm(stored.id.seq, now_s)
        self._last_seq = max(self._last_seq, stored.id.seq + SEQ_AHEAD)
        self._refusals.pop(stored.id.seq, None)
        if stored.final:
            self._backlog.final(stored.id.seq)
        yield from self._still_waiting(now_s)
        yield from self._finish(now_s)

    def _not_stored(self, refused: NotStored) -> Iterator[Message]:
        if refused.id.seq in self._unconfirmed:
            now_s = self._clock()
            self._unconfirmed.postpone(refused.id.seq, now_s + REFUSED_PAUSE_S)
            self._refusals[refused.id.seq] = refused.reason
            yield from self._still_waiting(now_s)

    def _undeliverable(self, frame: Frame, reason: str) -> Sequence[Message]:
        if frame.id.seq not in self._unconfirmed:
            return ()
        result, store = failed(frame, reason, self._clock())
        self._unconfirmed.replace(frame.id.seq, store)
        return (result, store)

    def _drain(self) -> Iterator[Message]:
        self._stopped = True
        self._intake.close()
        if self._beyond is not None:
            self._beyond = None
            self._count(Passed(dropped=1), admitted=0)
        yield from self._say(SourceStatus.STOPPED, "", self._clock())

    def _finish(self, now_s: float) -> Iterator[Message]:
        if self._end is not None and not len(self._unconfirmed):
            yield from self._say(SourceStatus.ENDED, self._end.note, now_s)

    # What people see

    @property
    def _repeats_at_s(self) -> float:
        return self._told_s + PROGRESS_AGAIN_S if self._resumed and not self._stopped else math.inf

    @property
    def _complains_at_s(self) -> float:
        if self._status is SourceStatus.WAITING or self._blocked_s is None:
            return math.inf
        sink_is_slow = len(self._unconfirmed) >= self._window and not self._refusals
        return self._blocked_s + (SINK_IS_SLOW_S if sink_is_slow else CLOUD_IS_SLOW_S)

    def _complain(self, now_s: float) -> Iterator[Message]:
        if self._has_room:
            self._blocked_s = None
        elif self._blocked_s is None:
            self._blocked_s = now_s
        elif self._complains_at_s <= now_s:
            yield from self._say(SourceStatus.WAITING, self._complaint(), now_s)

    def _still_waiting(self, now_s: float) -> Iterator[Message]:
        if self._status is SourceStatus.WAITING and not self._has_room:
            yield from self._say(SourceStatus.WAITING, self._complaint(), now_s)

    def _complaint(self) -> str:
        if self._refusals:
            return f"waits for the sink: {next(reversed(self._refusals.values()))}"
        if len(self._unconfirmed) >= self._window:
            return f"waits for the sink: {len(self._unconfirmed)} frames are sent and not stored"
        return f"waits for the cloud: {len(self._backlog)} hard frames are under way"

    def _say(self, status: SourceStatus, reason: str, now_s: float) -> Iterator[Message]:
        if (status, reason) != (self._status, self._reason):
            if status is SourceStatus.RETRYING:
                log.warning("source_lost", stream=self._stream, reason=reason)
            elif self._status is SourceStatus.RETRYING and status is SourceStatus.RUNNING:
                log.info("source_back", stream=self._stream)
            self._status, self._reason = status, reason
            yield self._progress(now_s)

    def _progress(self, now_s: float) -> ReaderProgress:
        self._told_s, self._told_counts = now_s, self._counts
        return ReaderProgress(
            stream=self._stream,
            incarnation=self._incarnation,
            fingerprint=self._fingerprint,
            source=self._source.name,
            live=self._source.live,
            status=self._status,
            reason=self._reason,
            counts=self._counts,
        )


def _outside(done: Sequence[tuple[int, int]]) -> Wanted:
    """Whether a number lies in none of these sorted, inclusive ranges."""
    starts = [first for first, _ in done]

    def wanted(seq: int) -> bool:
        at = bisect.bisect_right(starts, seq) - 1
        return at < 0 or seq > done[at][1]

    return wanted
