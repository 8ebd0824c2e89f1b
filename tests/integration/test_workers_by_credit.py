"""Uplinks and workers in real processes over a real Mosquitto; only the inference is simulated.

``scripts/bench-workers`` measures the same at full length. Machines are shared and slow at times: what takes time has
several tries.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from broker.mosquitto import PrivateMosquitto
from pipeline.messages import CloudAnswer, HardExample, Message, Result, StageState, WorkerState
from pipeline.model import Ending, FrameId
from stages.workers import SILENCE_S
from tests.integration.worker_rig import ROOT, Observer, UplinkProcess, WorkerProcess, crowd, shared, wait_until

pytestmark = pytest.mark.mosquitto

LATENCY_S = 0.1
"""From a worker to the uplink and to a third party it may take differently long, by so much at most."""


def tried(measure: Callable[[int], float], enough: Callable[[float], bool]) -> list[float]:
    """The figures of up to four tries, the last one good if any is.

    Each has workers twice as slow as the one before: on a machine that is slow or busy, what is not theirs weighs less.
    """
    figures: list[float] = []
    for times in (1, 2, 4, 8):
        figures.append(measure(times))
        if enough(figures[-1]):
            break
    return figures


@pytest.mark.alone
def test_a_slow_worker_does_not_hold_a_quick_one_up(mosquitto: str) -> None:
    tries = tried(lambda times: shared((10 * times, 100 * times), 200).ratio, lambda ratio: ratio <= 1.2)
    assert tries[-1] <= 1.2, tries


@pytest.mark.alone
def test_four_equal_workers_do_four_times_as_much(mosquitto: str) -> None:
    def scale(times: int) -> float:
        return shared((50 * times,) * 4, 80).per_s / shared((50 * times,), 20).per_s

    tries = tried(scale, lambda quicker: quicker >= 0.95 * 4)
    assert tries[-1] >= 0.95 * 4, tries


def test_many_uplinks_have_their_turns_at_one_worker(mosquitto: str) -> None:
    # All of them live in this process: where it is too slow for so many there are fewer, but more than are queued.
    for uplinks in (40, 30, 20):
        one = crowd(uplinks, service_ms=10, frames=6)  # all of them were answered, or this raises
        assert one.most_queued <= 16
        if one.least_at_half >= 1 and one.asked < 3:
            return
    pytest.fail(str(one))


@pytest.fixture
def broker(mosquitto: str) -> Iterator[PrivateMosquitto]:
    with PrivateMosquitto() as broker:
        yield broker


@pytest.fixture
def uplink(broker: PrivateMosquitto) -> Iterator[UplinkProcess]:
    with UplinkProcess(broker.port, "gate") as uplink:
        yield uplink


@pytest.fixture
def everyone(broker: PrivateMosquitto) -> Iterator[Observer]:
    """Hears all that the broker carries."""
    with Observer(broker.port) as observer:
        yield observer


@contextmanager
def proxy(port: int) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A way to ``port`` that can be cut by stopping the process."""
    command = [sys.executable, "-m", "tests.integration.tcp_proxy", str(port)]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


def victim(port: int, name: str) -> WorkerProcess:
    """A worker that is still at its frames when something happens to it."""
    return WorkerProcess(port, name, service_ms=1000, slots=32)


def helper(port: int, name: str) -> WorkerProcess:
    """A worker that takes over at once."""
    return WorkerProcess(port, name, service_ms=20, slots=32)


def offer(uplink: UplinkProcess, everyone: Observer, *workers: str, frames: int = 24) -> dict[str, set[FrameId]]:
    """Let the uplink spread frames over workers that are there; return who was offered which."""
    uplink.await_workers(workers)
    uplink.feed(frames)
    wait_until(lambda: len(offers(everyone, 1)) == frames)
    by_worker = {name: {frame for frame, (_, to) in offers(everyone, 1).items() if to == name} for name in workers}
    assert all(by_worker.values()), by_worker
    return by_worker


def offers(everyone: Observer, attempt: int) -> dict[FrameId, tuple[float, str]]:
    """When, and to which worker, each frame was offered for the first time, the second, and so on."""
    heard = everyone.heard(HardExample)
    return {offer.id: (at_s, offer.worker) for at_s, offer in heard if offer.attempt == attempt}


def offered_again(everyone: Observer, frames: set[FrameId]) -> tuple[float, set[str]]:
    """Wait until these frames were offered a second time; when the last one was, and to whom they were."""
    wait_until(lambda: frames <= set(offers(everyone, 2)))
    again = [offers(everyone, 2)[frame] for frame in frames]
    return max(at_s for at_s, _ in again), {worker for _, worker in again}


def notice(uplink: UplinkProcess, frames: set[FrameId]) -> Message:
    """The message at which the uplink began, in the same step, to offer these frames again; the rest followed soon."""
    first, *more = [
        step
        for step in uplink.uplink.steps
        if any(isinstance(said, HardExample) and said.attempt == 2 and said.id in frames for said in step.follows)
    ]
    assert all(step.at_s - first.at_s < SILENCE_S for step in more), "they have waited for its silence"
    return first.message


def each_was_answered_once(uplink: UplinkProcess) -> None:
    results = uplink.finish()
    assert {result.ending for result in results} == {Ending.CLOUD}
    decided = Counter(
        message.id
        for step in uplink.uplink.steps
        for message in step.follows
        if isinstance(message, Result) and message.revision == 2
    )
    assert set(decided.values()) == {1}
    assert len(decided) == len(results)


def test_the_frames_of_a_killed_worker_go_elsewhere_when_the_broker_says_so(
    broker: PrivateMosquitto, uplink: UplinkProcess, everyone: Observer
) -> None:
    with victim(broker.port, "w1") as killed, helper(broker.port, "w2"):
        left = offer(uplink, everyone, "w1", "w2")["w1"]
        killed.signal(signal.SIGKILL)
        _, takers = offered_again(everyone, left)
        will = notice(uplink, left)
        assert isinstance(will, StageState)
        assert not will.online
        assert takers == {"w2"}
        each_was_answered_once(uplink)


def test_the_frames_of_a_worker_that_comes_back_anew_are_offered_again_at_once(
    broker: PrivateMosquitto, uplink: UplinkProcess, everyone: Observer
) -> None:
    with victim(broker.port, "w1") as wedged, helper(broker.port, "w2"):
        left = offer(uplink, everyone, "w1", "w2")["w1"]
        wedged.signal(signal.SIGSTOP)  # no will comes of it
        with helper(broker.port, "w1"):
            offered_again(everyone, left)
            anew = notice(uplink, left)
            assert isinstance(anew, WorkerState)
            first = next(state for _, state in everyone.heard(WorkerState) if state.worker == "w1")
            assert (anew.worker, anew.incarnation != first.incarnation) == ("w1", True)
            each_was_answered_once(uplink)


def test_the_frames_of_workers_that_are_wedged_or_cut_off_go_elsewhere_after_their_silence(
    broker: PrivateMosquitto, uplink: UplinkProcess, everyone: Observer
) -> None:
    with (
        proxy(broker.port) as (port, cut),
        victim(broker.port, "wedged") as wedged,
        victim(port, "cut"),
        helper(broker.port, "w3"),
    ):
        left = offer(uplink, everyone, "wedged", "cut", "w3")
        wedged.signal(signal.SIGSTOP)
        cut.send_signal(signal.SIGSTOP)
        for name in ("wedged", "cut"):
            at_s, takers = offered_again(everyone, left[name])
            last_s = max(heard_s for heard_s, sign in signs(everyone) if sign.worker == name and heard_s < at_s)
            assert at_s - last_s > SILENCE_S - LATENCY_S  # and how much later, the simulation says
            assert name not in takers
        each_was_answered_once(uplink)
        answers = len(uplink.heard(CloudAnswer))
        wedged.signal(signal.SIGCONT)
        cut.send_signal(signal.SIGCONT)
        wait_until(lambda: len(uplink.heard(CloudAnswer)) >= answers + 2)
        each_was_answered_once(uplink)  # what comes late changes nothing


def signs(everyone: Observer) -> list[tuple[float, WorkerState | CloudAnswer]]:
    """What was heard of the workers, and when."""
    return [*everyone.heard(WorkerState), *everyone.heard(CloudAnswer)]
