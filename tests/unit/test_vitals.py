"""The vital signs of a thread, taken from another one."""

from __future__ import annotations

import threading
import time

from pipeline.vitals import Pulse, Vitals


def test_a_thread_that_waits_is_at_nothing() -> None:
    assert Vitals.of(Pulse(), "sink", alive=True) == Vitals("sink", "", alive=True)


def test_what_it_is_at_and_since_when() -> None:
    pulse = Pulse(("Frame", 12.5))
    vitals = Vitals.of(pulse, "reader", "gate", alive=True, inbox=3, levels={"window": 2})
    assert vitals == Vitals("reader", "gate", True, "Frame", 12.5, 3, {"window": 2})


def test_its_cpu_time_is_its_own_and_ends_with_it() -> None:
    pulse, begun, burn, stop = Pulse(), threading.Event(), threading.Event(), threading.Event()

    def run() -> None:
        pulse.begins()
        begun.set()
        burn.wait(60)
        until_s = time.thread_time() + 0.05
        while time.thread_time() < until_s:
            pass
        stop.wait(60)

    thread = threading.Thread(target=run)
    assert pulse.cpu_s is None
    thread.start()
    assert begun.wait(60)
    before_s = pulse.cpu_s
    burn.set()
    while (after_s := pulse.cpu_s) is not None and before_s is not None and after_s < before_s + 0.05:
        assert thread.is_alive()
    stop.set()
    thread.join()
    until_s = time.monotonic() + 60
    while pulse.cpu_s is not None:  # the kernel's thread ends a little later than Python's
        assert time.monotonic() < until_s
