"""A cloud worker in a process of its own whose inference takes a fixed time and no CPU; all else of it is real.

``python -m tests.integration.simulated_worker PORT NAME SERVICE_MS SLOTS``; it ends when its standard input does.
"""

from __future__ import annotations

import logging
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import structlog

from broker.address import BrokerAddress
from broker.mqtt import MqttLink
from pipeline.messages import HardExample, Inferred
from pipeline.model import Detections
from pipeline.runner import Runner
from pipeline.stage import StageName
from stages.cloud import Cloud
from tests.examples import stage_state

SERVICE = "bench"


class TimedInference:
    """Waits in the background instead of computing, and says how long it did."""

    model = "big"
    provider = "none"

    def __init__(
        self, service_s: float, submit: Callable[[Callable[[], None]], None], deliver: Callable[[Inferred], None]
    ) -> None:
        self._service_s = service_s
        self._submit = submit
        self._deliver = deliver

    def start(self, example: HardExample) -> None:
        """Begin with one example; returns at once."""
        self._submit(partial(self._run, example))

    def _run(self, example: HardExample) -> None:
        begun_s = time.perf_counter()
        time.sleep(self._service_s)
        steps_ms = {"cloud_detect": (time.perf_counter() - begun_s) * 1e3}
        self._deliver(Inferred(example, Detections.empty(("helmet",)), "", steps_ms))


def main(port: int, name: str, service_ms: float, slots: int) -> None:
    """Work until standard input ends."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    incarnation = secrets.token_hex(4)
    link = MqttLink(BrokerAddress("127.0.0.1", port), f"{name}-{incarnation}", backoff_s=(0.1, 0.5))
    state = replace(stage_state(name, streams=()), incarnation=incarnation, stages=(StageName.CLOUD,))
    runner = Runner(SERVICE, state, link, worker=name)
    inference = TimedInference(service_ms / 1e3, runner.submit, partial(runner.deliver, StageName.CLOUD))
    runner.add(StageName.CLOUD, Cloud(name, incarnation, inference, time.monotonic, slots=slots))
    runner.start()
    sys.stdin.read()
    runner.drain(1.0)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
