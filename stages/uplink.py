"""The uplink: it answers easy frames at once, takes hard ones to the cloud, and alone decides how they end."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

import structlog

from pipeline.errors import DropMessage
from pipeline.messages import (
    AnswerStatus,
    CloudAnswer,
    Drain,
    Example,
    HardExample,
    Message,
    NotStored,
    Result,
    StageState,
    Store,
    Stored,
    Tick,
    Undeliverable,
    WorkerState,
)
from pipeline.model import Detections, Ending, FrameId
from pipeline.stage import Clock
from stages import revisions
from stages.awaited import Awaited
from stages.held import Held, Timers
from stages.outbox import OutboxStore, Waiting
from stages.outbox_group import OutboxGroup
from stages.round_trips import RoundTrips
from stages.undecided import Undecided
from stages.uplink_report import UplinkReport
from stages.waiting_line import WaitingLine
from stages.workers import Workers

log = structlog.get_logger()

RESEND_S: Final = 5.0
"""What the sink lacks of a decided frame is sent again after so long, doubled each time."""

RESEND_MOST_S: Final = 60.0

LOST_PICTURE: Final = "its picture in the outbox was gone or damaged when the uplink started"

ENDED_KEPT: Final = 256
"""Revision 1 is kept of so many frames that need nothing more from here, to be given again if one comes again."""


class Uplink:
    """The stage between miner and sink.

    An easy example passes through. A hard one passes on when it is on disk in the outbox, so that "revision 1 is
    stored" means "the outbox has it". Its revision 2 is decided once: ``cloud`` with a worker's boxes, ``expired`` or
    ``failed`` with the edge's. What comes later is counted as late (``cloud_late`` in the log) and changes nothing. The
    decision is on disk before anybody hears of it, and is sent to the sink until the sink has stored it.

    Live frames are offered first, the backlog behind them by hardness, and streams take turns; see ``WaitingLine``.
    Over its budget the outbox gives up the least hard. While the disk takes nothing, hard frames and decisions wait
    here; see ``OutboxGroup``.

    What an earlier process left behind goes on: tries, age and decisions with it; see ``Awaited`` for its revision 1.
    """

    def __init__(
        self,
        process: str,
        incarnation: str,
        outbox: OutboxStore,
        clock: Clock,
        *,
        streams: Iterable[str],
        expires_s: float = 600,
        budget_bytes: int = 1 << 30,
        tries: int = 3,
        seed: int = 0,
    ) -> None:
        """Take up what the outbox has kept.

        Args:
            process: this process's name; workers tell their uplinks apart by it.
            incarnation: changes with every start.
            outbox: where hard examples wait.
            clock: monotonic seconds.
            streams: the streams whose uplink this is.
            expires_s: so long a hard frame waits for the cloud.
            budget_bytes: so much the outbox may hold; over it the least hard expire.
            tries: so many workers a frame may end before it counts as failed.
            seed: of the choice among workers.
        """
        self._process = process
        self._incarnation = incarnation
        self._group = OutboxGroup(outbox)
        self._clock = clock
        self._expires_s = expires_s
        self._budget_bytes = budget_bytes
        self._tries = tries
        self._workers = Workers(seed)
        self._trips = RoundTrips()
        self._held: dict[FrameId, Held] = {}
        self._undecided = Undecided()
        self._line = WaitingLine()
        self._uncommitted: dict[FrameId, None] = {}
        self._restless: list[Held] = []
        self._ended: OrderedDict[FrameId, Result] = OrderedDict()
        self._timers = Timers()
        self._draining = self._introduced = False
        self._unsaid = tuple(Held.recovered(waiting) for waiting in outbox.entries())
        self._awaited = Awaited(self._unsaid, clock())
        self._report = UplinkReport(incarnation, streams, (held.id for held in self._unsaid))
        for held in self._unsaid:
            self._take_up(held)

    def process(self, message: Message) -> Iterable[Message]:
        """Handle one message; offers follow wherever a worker has credit."""
        if isinstance(message, Stored) and self._introduced and message.id not in self._held:
            return ()  # as for every easy frame
        now_s = self._clock()
        out = self._group.through([*self._say_recovered(now_s), *self._handle(message, now_s)])
        if self._group.due(now_s, idle=isinstance(message, Tick | Drain)):
            out += self._commit(now_s)
        out += self._offers(now_s)
        self._rest()
        if out or not isinstance(message, Tick):
            self._report.changed()
        out.extend(self._reports(now_s))
        return out

    @property
    def wakes_at_s(self) -> float:
        """The next deadline, silence, report or commit."""
        return min(
            self._timers.next_s,
            self._workers.wakes_at_s(self._clock()),
            self._report.wakes_at_s,
            self._group.wakes_at_s,
            self._awaited.wakes_at_s,
        )

    @property
    def drained(self) -> bool:
        """Whether all is on disk, and every hard frame has its revision 1 stored, and revision 2 where it is decided.

        Easy frames are the reader's to hold; frames that wait for the cloud, or for their reader, stay in the outbox.
        """
        return self._group.empty and all(
            held.awaited or (held.waiting.stored and held.waiting.decided is None) for held in self._held.values()
        )

    @property
    def levels(self) -> Mapping[str, int]:
        """What the outbox holds, and the workers with their credit. Any thread may ask."""
        return {
            "outbox": len(self._held),
            "outbox_bytes": self._undecided.size_bytes,
            "workers": len(self._workers),
            "credit": self._workers.credit(self._clock()),
        }

    def _handle(self, message: Message, now_s: float) -> Iterator[Message]:
        match message:
            case Example():
                yield from self._example(message, now_s)
            case CloudAnswer():
                yield from self._answer(message, now_s)
            case Stored():
                yield from self._stored(message, now_s)
            case NotStored():
                self._not_stored(message.id, now_s)
            case WorkerState() | StageState():
                yield from self._announced(message, now_s)
            case Undeliverable():
                yield from self._undeliverable(message, now_s)
            case Tick():
                yield from self._tick(now_s)
            case Drain():
                self._draining = True
                self._group.drain()
                self._report.due_at_once()
                for held in [held for held in self._held.values() if not (held.waiting.stored or held.awaited)]:
                    yield from self._first(held, now_s)
            case _:
                raise DropMessage(f"the uplink takes no {type(message).__name__}")

    # From the miner: revision 1.

    def _example(self, example: Example, now_s: float) -> Iterator[Message]:
        """Answer a frame; one that comes again gets the same answer, which the public has already."""
        yield from self._release(example.id, now_s)
        frame = example.detected.frame
        held = self._held.get(example.id)
        known = held.waiting.store.result if held else self._ended.get(example.id)
        result = known or revisions.first(example, now_s)
        if known is None and example.verdict.sent:
            self._hold(Store(result, frame.image, frame.counts), frame.born_s)
        elif known is None:
            self._end(result)
        if known is None:
            yield result
        yield Store(result, None if result.ending is Ending.FAILED else frame.image, frame.counts)
        yield from self._over_budget(now_s)

    def _hold(self, store: Store, born_s: float) -> None:
        assert store.image is not None  # noqa: S101 - a frame always has its picture
        held = Held(Waiting(store, len(store.image.jpeg), born_s))
        self._group.add(held.waiting)
        self._held[held.id] = held
        self._undecided.add(held.waiting)
        self._queue(held)
        self._timers.set(held.id, born_s + self._expires_s)

    def _commit(self, now_s: float) -> list[Message]:
        """Put what has changed on disk; then new frames give up their pixels, and wait for a worker.

        Their JPEG stays until the offers have been made: what is offered at once need not be read from the disk again.
        """
        refusal = self._group.refusal
        said = self._group.commit(now_s)
        if self._group.refusal != refusal:
            # Before what was kept back: with that the stream may be over, and its last state would name a full disk.
            self._report.due_at_once()
            said = [*self._reports(now_s), *said]
        for frame in [frame for frame in self._uncommitted if frame not in self._group]:
            del self._uncommitted[frame]
            if held := self._held.get(frame):
                held.waiting = held.waiting.encoded_only()
                self._restless.append(held)
                if held.waiting.decided is None:
                    self._queue(held)
        return said

    def _rest(self) -> None:
        """What was committed now gives up its JPEG too: it lies in the outbox."""
        for held in self._restless:
            held.waiting = held.waiting.at_rest()
        self._restless.clear()

    def _queue(self, held: Held) -> None:
        """Let a frame wait for a worker, and before that for the disk, where that lacks what is new of it."""
        held.queued = True
        if held.id in self._group:
            self._line.leave(held.id)
            self._uncommitted[held.id] = None
        elif held.attempt:
            self._line.give_back(held.id)
        else:
            self._line.join(held.id, held.waiting.hardness, held.waiting.born_s)

    def _end(self, first: Result) -> None:
        self._ended[first.id] = first
        if len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)

    # What an earlier process left behind.

    def _take_up(self, held: Held) -> None:
        """Go on with what the outbox has kept."""
        self._held[held.id] = held
        if held.waiting.decided is None:
            self._timers.set(held.id, held.waiting.born_s + self._expires_s)
            self._undecided.add(held.waiting)
            self._line.join(held.id, held.waiting.hardness, held.waiting.born_s)

    def _say_recovered(self, now_s: float) -> Iterator[Message]:
        """Say once more what was kept: nobody knows how much of it was heard before the process ended.

        The first report goes before it all. What the sink has of a live stream when it first hears of an uplink, and
        that one has not recovered, counts as lost.
        """
        if self._introduced:
            return
        self._introduced = True
        yield from self._reports(now_s)
        recovered, self._unsaid = self._unsaid, ()
        for held in recovered:
            waiting = held.waiting
            if waiting.needs_picture and waiting.store.image is None:
                yield from self._lost_picture(held, now_s)
                continue
            yield waiting.decided or waiting.store.result
            if waiting.decided and waiting.stored:
                yield from self._down(held, now_s)
        yield from self._over_budget(now_s)

    def _lost_picture(self, held: Held, now_s: float) -> Iterator[Message]:
        if held.waiting.stored:
            yield from self._decide(held, Ending.FAILED, LOST_PICTURE, now_s)
        else:
            yield from self._never_stored(held.waiting.store, LOST_PICTURE, now_s)

    def _release(self, came: FrameId, now_s: float) -> Iterator[Message]:
        """A frame has come: those before it that an earlier process left behind will not come again."""
        held = self._awaited.end(came)
        if held and held.waiting.decided:
            self._timers.set(came, now_s + RESEND_S)
        for held in self._awaited.passed(came):
            yield from self._left(held, now_s)

    def _left(self, held: Held, now_s: float) -> Iterator[Message]:
        """Nobody but the outbox has revision 1 of this frame."""
        yield from (self._down if held.waiting.decided else self._first)(held, now_s)

    # To the workers and back.

    def _offers(self, now_s: float) -> Iterator[HardExample]:
        while len(self._line) and not self._draining:
            worker = self._workers.choose(now_s, len(self._line))
            frame = self._line.take(now_s) if worker else None
            if worker is None or frame is None:
                return
            held = self._held[frame]
            held.queued = False
            worker.holds[frame] = None
            yield self._offer(held, worker.state.worker, now_s)

    def _offer(self, held: Held, worker: str, now_s: float) -> HardExample:
        store = held.waiting.store
        assert store.image is not None  # noqa: S101 - a hard example always has its picture
        held.attempt += 1
        held.offered_s = now_s
        held.workers |= {worker}
        uploaded_bytes = held.waiting.uploaded_bytes + held.waiting.size_bytes
        held.waiting = replace(held.waiting, uploaded_bytes=uploaded_bytes).at_rest()
        self._group.note(held.waiting, now_s)
        expires_at_s = held.waiting.born_s + self._expires_s
        self._timers.set(held.id, min(now_s + self._trips.timeout_s(held.attempt), expires_at_s))
        return HardExample(
            held.id,
            worker,
            self._process,
            held.attempt,
            max(1.0, expires_at_s - now_s),
            store.image,
            store.result.detections,
            store.result.verdict,
        )

    def _answer(self, answer: CloudAnswer, now_s: float) -> Iterator[Message]:
        if answer.status is not AnswerStatus.BUSY:
            self._workers.heard(answer.worker, answer.incarnation, now_s)
        held = self._held.get(answer.id)
        if held is None or held.waiting.decided:
            if answer.status is AnswerStatus.ANSWERED:
                self._report.late(answer.id)
                log.info("cloud_late", stream=answer.id.stream, seq=answer.id.seq, worker=answer.worker)
        elif answer.worker not in held.workers:
            return
        elif answer.status is AnswerStatus.ANSWERED:
            if held.attempt == 1:
                self._trips.measured(now_s - held.offered_s)
            yield from self._decide(held, Ending.CLOUD, "", now_s, answer)
        elif answer.attempt == held.attempt and not held.queued:
            if answer.status is AnswerStatus.BUSY:
                self._workers.busy(answer.worker, now_s, answer.wait_s)
            else:
                yield from self._tried(held, f"worker {answer.worker}: {answer.reason}", now_s)
            self._again(held.id)

    def _announced(self, state: WorkerState | StageState, now_s: float) -> Iterator[Message]:
        """Take an announcement. A worker that was started anew may have been ended by the frame it had in work."""
        if isinstance(state, StageState):
            for frame in self._workers.heard_of(state, now_s):
                self._again(frame)
            return
        left, suspect = self._workers.announced(state, now_s)
        held = self._held.get(suspect) if suspect else None
        if held and not held.waiting.decided:
            yield from self._tried(held, f"worker {state.worker} ended while it had this frame in work", now_s)
        for frame in left:
            self._again(frame)

    def _again(self, frame: FrameId) -> None:
        """Offer a frame again, before those that were never offered."""
        held = self._held.get(frame)
        if held is None or held.waiting.decided or held.queued:
            return
        self._workers.released(frame)
        self._queue(held)
        self._timers.set(held.id, held.waiting.born_s + self._expires_s)

    def _tried(self, held: Held, reason: str, now_s: float) -> Iterator[Message]:
        held.waiting = replace(held.waiting, tries=held.waiting.tries + 1)
        if held.waiting.tries >= self._tries:
            yield from self._decide(held, Ending.FAILED, f"tried {held.waiting.tries} times; {reason}", now_s)
        else:
            self._group.change(held.waiting)
            if held.queued:
                self._queue(held)

    # Decided once, sent until it is stored.

    def _decide(
        self, held: Held, ending: Ending, reason: str, now_s: float, answer: CloudAnswer | None = None
    ) -> Iterator[Message]:
        decided = revisions.second(held, ending, reason, now_s, answer)
        self._undecided.discard(held.id)
        self._line.leave(held.id)
        self._workers.released(held.id)
        held.queued = False
        self._keep(held, decided)
        yield decided
        if held.waiting.stored:
            yield from self._down(held, now_s)
        else:
            self._timers.set(held.id, math.inf if held.awaited else now_s + RESEND_S)

    def _keep(self, held: Held, decided: Result) -> None:
        """Put a decision into the outbox."""
        held.waiting = _without_needless_picture(replace(held.waiting, decided=decided))
        self._group.change(held.waiting)

    def _down(self, held: Held, now_s: float) -> Iterator[Message]:
        """What the sink lacks of a decided frame; it may have revision 1 without our knowing, and answers again."""
        assert held.waiting.decided is not None  # noqa: S101 - before it is decided, nothing is due to the sink
        self._timers.set(held.id, now_s + min(RESEND_MOST_S, RESEND_S * 2 ** min(held.sends, 8)))
        held.sends += 1
        if held.waiting.stored:
            yield Store(held.waiting.decided, None, held.waiting.store.counts)
        else:
            yield from self._first(held, now_s)

    def _first(self, held: Held, now_s: float) -> Iterator[Message]:
        """Revision 1 once more. Where its picture cannot be read any more, the frame has failed."""
        store = held.waiting.store
        assert store.image is not None  # noqa: S101 - it stays until revision 1 is stored
        try:
            _ = store.image.jpeg
        except DropMessage as error:
            yield from self._never_stored(store, str(error), now_s)
        else:
            yield store

    def _stored(self, stored: Stored, now_s: float) -> Iterator[Message]:
        held = self._held.get(stored.id)
        if held is None:
            return
        if stored.revision == 2 or stored.final:
            self._drop(held, now_s)
        elif not held.waiting.stored:
            self._awaited.end(held.id)
            held.waiting = _without_needless_picture(replace(held.waiting, stored=True))
            held.sends = 0
            self._group.note(held.waiting, now_s)
            if held.waiting.decided:
                yield from self._down(held, now_s)

    def _not_stored(self, frame: FrameId, now_s: float) -> None:
        """The sink goes on trying; it is asked again from time to time, since its word may be lost."""
        held = self._held.get(frame)
        if held and held.waiting.decided:
            self._timers.set(frame, now_s + RESEND_MOST_S)

    def _drop(self, held: Held, now_s: float) -> None:
        self._end(held.waiting.store.result)
        self._group.forget(held.id, now_s)
        self._workers.released(held.id)
        self._timers.set(held.id, math.inf)
        self._undecided.discard(held.id)
        self._line.leave(held.id)
        self._awaited.end(held.id)
        del self._held[held.id]

    def _over_budget(self, now_s: float) -> Iterator[Message]:
        while self._undecided.size_bytes > self._budget_bytes and (least := self._undecided.least_hard()):
            reason = f"the outbox is over its budget of {self._budget_bytes} bytes, and this was its least hard frame"
            yield from self._decide(self._held[least], Ending.EXPIRED, reason, now_s)

    def _undeliverable(self, message: Undeliverable, now_s: float) -> Iterator[Message]:
        refused = message.message
        if isinstance(refused, HardExample):
            held = self._held.get(refused.id)
            if held and not held.waiting.decided:
                yield from self._decide(held, Ending.FAILED, message.reason, now_s)
        elif isinstance(refused, Store) and refused.result.ending is not Ending.FAILED:
            yield from self._never_stored(refused, message.reason, now_s)

    def _never_stored(self, store: Store, reason: str, now_s: float) -> Iterator[Message]:
        """A revision that never reaches the sink ends as failed, without its boxes and its picture."""
        result = replace(
            store.result, ending=Ending.FAILED, reason=reason, detections=Detections.empty(), source="edge"
        )
        held = self._held.get(store.id)
        if result.revision == 1:
            if held:
                self._drop(held, now_s)
            self._end(result)
            yield result
            yield Store(result, None, store.counts)
        elif held and held.waiting.decided:
            self._keep(held, result)
            yield result
            yield from self._down(held, now_s)

    # Time, and what people see.

    def _reports(self, now_s: float) -> Iterator[Message]:
        return self._report.due(now_s, self._undecided.of, self._workers, self._group.refusal)

    def _tick(self, now_s: float) -> Iterator[Message]:
        alive = len(self._workers)
        for frame in self._workers.silent(now_s):
            self._again(frame)
        for frame in self._timers.due(now_s):
            yield from self._due(self._held[frame], now_s)
        for held in self._awaited.overdue(now_s):
            yield from self._left(held, now_s)
        if len(self._workers) != alive:
            self._report.changed()

    def _due(self, held: Held, now_s: float) -> Iterator[Message]:
        if held.waiting.decided:
            yield from self._down(held, now_s)
        elif now_s >= held.waiting.born_s + self._expires_s:
            reason = f"no answer from the cloud within {self._expires_s:g} s"
            yield from self._decide(held, Ending.EXPIRED, reason, now_s)
        else:
            self._trips.lost(held.attempt)
            self._again(held.id)
            self._report.changed()


def _without_needless_picture(waiting: Waiting) -> Waiting:
    return waiting if waiting.needs_picture else replace(waiting, store=replace(waiting.store, image=None))
