"""Each promise that no frame is lost rests on is switched off, one at a time: the same schedules must notice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import pytest

from pipeline.messages import CloudAnswer, Message
from stages.cloud import Cloud
from stages.outbox_group import OutboxGroup
from stages.sink import Sink
from stages.unconfirmed import Unconfirmed
from stages.uplink import Uplink
from stages.workers import Workers
from tests.simulation.faults import Shape
from tests.simulation.replay import replay
from tests.simulation.test_no_loss import EACH

Mutant = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Makes of a method the one that takes its place."""


def _silent(_method: Callable[..., Any]) -> Callable[..., Sequence[Message]]:
    """It has nothing to say."""
    return lambda _self, *_: ()


def _known_is_ignored(method: Callable[..., Iterator[Message]]) -> Callable[..., Iterator[Message]]:
    """An example that comes again is handled already, and that is that."""

    def example(self: Uplink, example: Any, now_s: float) -> Iterator[Message]:
        known = example.id in self._held or example.id in self._ended
        return iter(()) if known else method(self, example, now_s)

    return example


def _forgets(method: Callable[..., CloudAnswer]) -> Callable[..., CloudAnswer]:
    """A worker does not keep its answers: who asks again is another frame."""

    def inferred(self: Cloud, *args: Any) -> CloudAnswer:
        answer = method(self, *args)
        self._answers.clear()
        return answer

    return inferred


def _at_once(_method: Callable[..., Any]) -> Callable[..., list[Message]]:
    """Everything may be said, whether it is on disk or not."""

    def through(_self: OutboxGroup, said: Iterable[Message]) -> list[Message]:
        return list(said)

    return through


def _decides_again(method: Callable[..., Iterator[Message]]) -> Callable[..., Iterator[Message]]:
    """An answer that comes late ends the frame once more."""

    def answer(self: Uplink, answer: CloudAnswer, now_s: float) -> Iterator[Message]:
        held = self._held.get(answer.id)
        if held and held.waiting.decided:
            yield from self._decide(held, held.waiting.decided.ending, "", now_s)
        else:
            yield from method(self, answer, now_s)

    return answer


def _no_goodbye(method: Callable[..., Any]) -> Callable[..., Any]:
    """A worker that says goodbye is not believed."""

    def announced(self: Workers, state: Any, now_s: float) -> Any:
        return ([], None) if state.gone else method(self, state, now_s)

    return announced


def _same_worker(method: Callable[..., Any]) -> Callable[..., Any]:
    """A worker that was started anew passes for the one that it was."""

    def announced(self: Workers, state: Any, now_s: float) -> Any:
        if known := self._alive.get(state.worker):
            known.state = state
        return method(self, state, now_s)

    return announced


MUTATIONS: Final[dict[str, tuple[type, str, Mutant]]] = {
    "the reader does not send again": (Unconfirmed, "due", _silent),
    "the uplink does not send again": (Uplink, "_due", _silent),
    "the sink does not answer again": (Sink, "_store_again", _silent),
    "the uplink does not answer again": (Uplink, "_example", _known_is_ignored),
    "a worker does not answer again": (Cloud, "_inferred", _forgets),
    "said before it is in the outbox": (OutboxGroup, "through", _at_once),
    "decided twice": (Uplink, "_answer", _decides_again),
    "goodbyes are not heard": (Workers, "announced", _no_goodbye),
    "new incarnations are not noticed": (Workers, "announced", _same_worker),
    "wills are not heard": (Workers, "heard_of", _silent),
    "silence is not noticed": (Workers, "silent", _silent),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_what_is_switched_off_is_missed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails where the method is there no more, where it is never called, and where nobody notices."""
    owner, attribute, mutant = MUTATIONS[name]
    changed = mutant(getattr(owner, attribute))
    calls = 0

    def counted(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        return changed(*args)

    monkeypatch.setattr(owner, attribute, counted)
    for seed in range(EACH):
        for shape in Shape:
            try:
                replay(seed, shape)
            except AssertionError:
                assert calls, f"{owner.__name__}.{attribute} is never called, and still something fails"
                return
    pytest.fail(f"{len(Shape) * EACH} schedules have not noticed")
