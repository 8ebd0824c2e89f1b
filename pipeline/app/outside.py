"""What a process shows to the outside: ``/metrics``, ``/healthz`` and ``/readyz``."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from http import HTTPStatus

from pipeline.app.exposition import Exposition
from pipeline.app.http import Answer, serve
from pipeline.config import Config
from pipeline.health import Health
from pipeline.observer import Observer
from pipeline.runner import Runner


class Outside:
    """Serves the three pages, from before the models are loaded to the very end.

    Attributes:
        port: where it listens.
    """

    def __init__(self, config: Config, port: int, closing: ExitStack) -> None:
        """Serve at once.

        Args:
            config: of this process.
            port: where to listen, 0 for a free port.
            closing: ends it.

        Raises:
            ConfigError: it cannot listen there.
        """
        self._exposition = Exposition(config.service)
        self._health = Health(time.monotonic, config.http.stuck_s)
        pages = {
            "/metrics": self._metrics,
            "/healthz": _probe(self._health.ailment),
            "/readyz": _probe(self._health.obstacle),
        }
        self.port = serve(config.http.host, port, pages, closing)

    def observe(self, stage: str, stream: str) -> Observer:
        """The observer of a stage."""
        return self._exposition.observe(stage, stream)

    def started(self, runner: Runner) -> None:
        """The models are warm, and the stages are started."""
        self._exposition.started(runner)
        self._health.started(runner)

    def stopping(self) -> None:
        """The stages are about to end."""
        self._health.stopping()

    def _metrics(self, accept: str) -> Answer:
        return Answer(*self._exposition.page(accept))


def _probe(trouble: Callable[[], str]) -> Callable[[str], Answer]:
    def answer(_: str) -> Answer:
        found = trouble()
        return Answer(f"{found or 'ok'}\n".encode(), status=HTTPStatus.SERVICE_UNAVAILABLE if found else HTTPStatus.OK)

    return answer
