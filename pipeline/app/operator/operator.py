"""The operator without its watching: which services there are, and when each is looked at."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from pipeline.app.operator.api import ApiUnavailable, Kind
from pipeline.app.operator.counts import Counts, ServiceKey
from pipeline.app.operator.reconcile import Means, reconcile
from pipeline.app.operator.status import changed, counted

log = structlog.get_logger()

LOOK_S: Final = 5.0
"""So often a service's counts are written to its status, if they have changed."""

RESYNC_LOOKS: Final = 12
"""After so many looks everything is applied again: also what nobody watches, e.g. a ConfigMap, is mended."""


class Operator:
    """Looks after services. Its methods may be called from any thread."""

    def __init__(self, means: Means) -> None:
        """Know no service yet."""
        self._means = means
        self._known: set[ServiceKey] = set()
        self._again: set[ServiceKey] = set()
        self._told: dict[ServiceKey, Counts] = {}
        self._lock = threading.RLock()

    def reconcile(self, namespace: str, name: str) -> None:
        """Look at a service, which is new or has changed, or something of it has.

        Raises:
            ApiUnavailable: try again.
        """
        with self._lock:
            if reconcile(self._means, namespace, name):
                self._known.add((namespace, name))
            else:
                self.forget(namespace, name)

    def touched(self, namespace: str, name: str) -> None:
        """Something of a service has changed: look at it, and again at the next look if the API server is away."""
        self._tried((namespace, name), self.reconcile)

    def model_changed(self, namespace: str, model: str) -> None:
        """Look at the services that use a model."""
        try:
            services = self._means.api.list(Kind.SERVICE, namespace)
        except ApiUnavailable as error:
            log.warning("api_unavailable", namespace=namespace, model=model, reason=str(error), then="a resync sees it")
            return
        for service in services:
            if model in _models_of(service):
                self.touched(namespace, service["metadata"]["name"])

    def forget(self, namespace: str, name: str) -> None:
        """A service is gone; what it owned goes by itself."""
        with self._lock:
            for keys in (self._known, self._again):
                keys.discard((namespace, name))
            self._told.pop((namespace, name), None)
            self._means.feeds.forget((namespace, name))

    def look(self) -> None:
        """Try again what did not work, and write the counts that have changed to their services' status."""
        with self._lock:
            again, self._again = sorted(self._again), set()
        for key in again:
            self._tried(key, self.reconcile)
        for key in self._services():
            self._tried(key, self._count)

    def resync(self) -> None:
        """Look at all services."""
        for key in self._services():
            self._tried(key, self.reconcile)

    def follow(self, stop: threading.Event) -> None:
        """Look and resync by the clock, until ``stop``."""
        looks = 0
        while not stop.wait(LOOK_S):
            looks = (looks + 1) % RESYNC_LOOKS
            if looks:
                self.look()
            else:
                self.resync()

    def _services(self) -> list[ServiceKey]:
        with self._lock:
            return sorted(self._known)

    def _tried(self, key: ServiceKey, action: Callable[[str, str], None]) -> None:
        try:
            action(*key)
        except ApiUnavailable as error:
            log.warning(
                "api_unavailable", namespace=key[0], service=key[1], reason=str(error), then="it is tried again"
            )
            with self._lock:
                self._again.add(key)

    def _count(self, namespace: str, name: str) -> None:
        key = (namespace, name)
        with self._lock:
            reading = self._means.feeds.read(key)
            if reading is None or reading.counts is None or reading.counts == self._told.get(key):
                return
            service = self._means.api.get(Kind.SERVICE, namespace, name)
            status = counted(reading)
            if service is not None and changed(service.get("status"), status):
                self._means.api.patch_status(namespace, name, status)
            self._told[key] = reading.counts


def _models_of(service: Mapping[str, Any]) -> set[str | None]:
    spec = service.get("spec") or {}
    return {((spec.get(worker) or {}).get("model") or {}).get("name") for worker in ("edgeWorker", "cloudWorker")}
