"""The cloud worker: it takes hard examples from its uplinks, and answers each with the big model's boxes."""

from __future__ import annotations

import math
import zlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final, Protocol

from pipeline.errors import DropMessage
from pipeline.messages import (
    AnswerStatus,
    CloudAnswer,
    Drain,
    HardExample,
    Inferred,
    Message,
    Tick,
    Undeliverable,
    WorkerState,
)
from pipeline.model import Detections, FrameId
from pipeline.stage import Clock
from stages.uplink_queue import UplinkQueue

ANNOUNCE_S: Final = 2.0
"""A worker announces itself so often, and on change."""

NEAR: Final = 1.5
"""A running mean of the service time that is off by this factor is a change."""

UPLINK_SEEN_S: Final = 10.0
"""An uplink that has sent nothing for so long has no share any more."""

AT_HAND: Final = 2
"""The model has one frame in work and the next one at hand: else it idles from each answer until it is given more,
which made a model of 5 ms a tenth slower."""

STALLED_S: Final = 60.0
"""A worker whose inference takes so long says no more that it is there."""

COME_AGAIN_S: Final = (0.02, 0.25)
"""How long an uplink waits for its turn at least, and where nobody knows how long a frame takes."""

ANSWERS_KEPT: Final = 256
"""So many answers are kept, to be given again to whoever asks again."""


_Key = tuple[FrameId, int]


def _key(example: HardExample) -> _Key:
    """A frame and its picture (CRC-32): the stream may have been started over with another video."""
    return example.id, zlib.crc32(example.image.jpeg)


class Inference(Protocol):
    """Runs the model, one picture at a time in the order of ``start``, and hands ``Inferred`` back to the stage."""

    @property
    def model(self) -> str:
        """The model's name."""

    @property
    def provider(self) -> str:
        """The execution provider that is really used."""

    def start(self, example: HardExample) -> None:
        """Begin with one example, as soon as the one before is done; returns at once."""


class Cloud:
    """The stage behind the uplinks.

    It answers ``busy`` at once when its queue is full, ignores the double of a frame that it still holds, and gives
    the same answer again for one that it has answered. Who was told ``busy`` is told when to come again, and has its
    turn before those who ask later; only the last ``slots`` places are for whoever comes.
    """

    def __init__(
        self, worker: str, incarnation: str, inference: Inference, clock: Clock, *, slots: int = 4, queue: int = 16
    ) -> None:
        """Announce nothing yet: the first ``Tick`` does.

        Args:
            worker: this worker's name.
            incarnation: changes with every start.
            inference: the warm model.
            clock: monotonic seconds.
            slots: frames it wants to hold, shared among its uplinks.
            queue: frames it holds at most.
        """
        self._inference = inference
        self._clock = clock
        self._slots = slots
        self._most = max(slots, queue)
        self._queue: deque[HardExample] = deque()
        self._attempts: dict[_Key, int] = {}
        self._answers: OrderedDict[_Key, CloudAnswer] = OrderedDict()
        self._uplinks: dict[str, float] = {}
        self._turns = UplinkQueue()
        self._given = 0
        self._started_s: float | None = None
        self._announce_due_s = -math.inf
        self._draining = False
        self._state = WorkerState(
            worker, incarnation, slots, slots, 0, 0.0, inference.model, inference.provider, gone=False
        )
        self._service_ms = 0.0

    def process(self, message: Message) -> Iterable[Message]:
        """Handle one message; an announcement follows where one is due."""
        now_s = self._clock()
        return [*self._handle(message, now_s), *self._announcement(now_s)]

    @property
    def wakes_at_s(self) -> float:
        """When the next announcement is due."""
        return math.inf if self._draining else self._announce_due_s

    @property
    def drained(self) -> bool:
        """Whether what was handed to the model is answered; frames that only waited are offered elsewhere."""
        return self._draining and not self._given

    @property
    def levels(self) -> Mapping[str, int]:
        """The frames that are held. Any thread may ask."""
        return {"queue": len(self._attempts)}

    def _handle(self, message: Message, now_s: float) -> Iterator[Message]:
        match message:
            case HardExample():
                yield from self._offered(message, now_s)
            case Inferred():
                yield self._inferred(message, now_s)
                self._next(now_s)
            case Drain():
                self._draining = True
                while self._queue:
                    del self._attempts[_key(self._queue.pop())]
                yield replace(self._state, queue=0, gone=True)
            case Undeliverable(message=CloudAnswer(status=AnswerStatus.ANSWERED) as answer, reason=reason):
                yield self._unsendable(answer, reason)
            case Tick() | Undeliverable():
                pass
            case _:
                raise DropMessage(f"the cloud worker takes no {type(message).__name__}")

    def _offered(self, example: HardExample, now_s: float) -> Iterator[CloudAnswer]:
        self._uplinks[example.uplink] = now_s
        key = _key(example)
        if key in self._attempts:
            self._attempts[key] = example.attempt
        elif key in self._answers:
            yield replace(self._answers[key], attempt=example.attempt)
        elif self._draining:
            yield self._answer(example, AnswerStatus.BUSY, "it ends")
        elif wait_s := self._wait_s(example.uplink, now_s):
            self._turns.wait(example.uplink, now_s, wait_s)
            yield replace(self._answer(example, AnswerStatus.BUSY, "the queue is full"), wait_s=wait_s)
        else:
            self._turns.leave(example.uplink)
            self._attempts[key] = example.attempt
            self._queue.append(example)
            self._next(now_s)

    def _wait_s(self, uplink: str, now_s: float) -> float:
        """How long until this uplink's turn; 0 for now. A little late, since places that wait for it do no harm."""
        held = len(self._attempts)
        too_many = held + self._turns.ahead(uplink, now_s) + 1 - self._most
        if too_many <= 0 or held < min(self._slots, self._most):
            return 0.0
        least_s, unknown_s = COME_AGAIN_S
        if not self._service_ms:
            return unknown_s
        return max(least_s, (too_many + self._most / 4) * self._service_ms / 1e3)

    def _next(self, now_s: float) -> None:
        """Hand over what may be at hand."""
        while self._queue and self._given < AT_HAND:
            self._given += 1
            self._inference.start(self._queue.popleft())
        if self._given and self._started_s is None:
            self._started_s = now_s

    def _inferred(self, done: Inferred, now_s: float) -> CloudAnswer:
        key = _key(done.example)
        example = replace(done.example, attempt=self._attempts.pop(key))
        self._given -= 1
        if self._started_s is not None:
            took_ms = (now_s - self._started_s) * 1e3
            self._started_s = None
            self._service_ms = 0.8 * self._service_ms + 0.2 * took_ms if self._service_ms else took_ms
        if done.detections is None:
            return self._answer(example, AnswerStatus.ERROR, done.error)
        answer = replace(
            self._answer(example, AnswerStatus.ANSWERED, ""), detections=done.detections, steps_ms=done.steps_ms
        )
        self._answers[key] = answer
        if len(self._answers) > ANSWERS_KEPT:
            self._answers.popitem(last=False)
        return answer

    def _unsendable(self, answer: CloudAnswer, reason: str) -> CloudAnswer:
        """Say that there are boxes which cannot be sent, so that nobody waits for them."""
        reason = f"its answer cannot be sent: {reason}"
        return replace(answer, status=AnswerStatus.ERROR, detections=Detections.empty(), reason=reason, steps_ms={})

    def _answer(self, example: HardExample, status: AnswerStatus, reason: str) -> CloudAnswer:
        state = self._state
        return CloudAnswer(
            example.id,
            state.worker,
            state.incarnation,
            example.attempt,
            status,
            Detections.empty(),
            state.model,
            reason,
            {},
        )

    def _announcement(self, now_s: float) -> Iterator[WorkerState]:
        if self._draining:
            return
        if self._started_s is not None and now_s - self._started_s > STALLED_S:
            self._announce_due_s = max(self._announce_due_s, now_s + ANNOUNCE_S)
            return
        self._uplinks = {name: seen_s for name, seen_s in self._uplinks.items() if now_s - seen_s < UPLINK_SEEN_S}
        share = max(1, self._slots // max(1, len(self._uplinks)))
        changed = share != self._state.share or not self._is_near(self._state.service_ms)
        if not changed and now_s < self._announce_due_s:
            return
        self._announce_due_s = now_s + ANNOUNCE_S
        self._state = replace(self._state, share=share, queue=len(self._attempts), service_ms=self._service_ms)
        yield self._state

    def _is_near(self, said_ms: float) -> bool:
        """Whether uplinks know well enough how long a frame takes."""
        return said_ms / NEAR <= self._service_ms <= said_ms * NEAR
