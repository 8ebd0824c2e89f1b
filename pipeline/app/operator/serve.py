"""``tandem operator``: what kopf sees in a cluster becomes calls of ``Operator``. The only importer of ``kopf``."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, cast

import kopf

from broker.secure.passwords import hashed, new_password
from pipeline.app.operator.api import ApiUnavailable
from pipeline.app.operator.cluster import Cluster
from pipeline.app.operator.counts import Feeds
from pipeline.app.operator.operator import Operator
from pipeline.app.operator.reconcile import Means
from pipeline.app.sedna.names import PREFIX, Image

PEERING: Final = "tandem"
"""The ClusterKopfPeering by which replicas agree who of them is at work."""

_GROUP: Final = ("sedna.io", "v1alpha1")
_MARKS: Final = "operator.tandem"


def serve(image: Image, *, peering: bool, http: str) -> None:
    """Look after the services of a cluster until SIGTERM.

    Args:
        image: what workers, brokers and init containers run.
        peering: other replicas may be there; one works, the rest wait.
        http: serve ``/healthz`` there, ``HOST:PORT``; nowhere if empty.

    Raises:
        ConfigError: there is no cluster.
        ApiUnavailable: replicas cannot agree, since the API server does not know kopf's kind.
    """
    cluster, feeds = Cluster.found(), Feeds()
    if peering:
        cluster.create_peering(PEERING)
    operator = Operator(Means(cluster, image, feeds, new_password, hashed, lambda: datetime.now(UTC)))
    kopf.configure(log_format=kopf.LogFormat.FULL if sys.stderr.isatty() else kopf.LogFormat.JSON)
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # conditions and events say what becomes of an object
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # of the probes, every few seconds
    with looking(operator, lambda: os.kill(os.getpid(), signal.SIGTERM)) as failures:
        kopf.run(
            registry=registry_of(operator),
            clusterwide=True,
            standalone=not peering,
            peering_name=PEERING if peering else None,
            # The first to come works: one at work is never told to wait, since what looks by the clock here would not,
            # and nothing is handed over without need. Two of the same would both wait.
            priority=-time.time_ns(),
            # Kopf's own would have the user's name, and a pod's user has none.
            identity=cast("Any", f"{socket.gethostname()}-{secrets.token_hex(4)}"),
            liveness_endpoint=f"http://{http}/healthz" if http else None,
        )
    feeds.close()
    if failures:
        raise failures[0]


@contextmanager
def looking(operator: Operator, end: Callable[[], None]) -> Iterator[list[BaseException]]:
    """Let the operator look by the clock meanwhile. A bug that ends this is yielded, and calls ``end``: it ends all."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def look() -> None:
        try:
            operator.follow(stop)
        except BaseException as error:  # noqa: BLE001 - a thread has no caller: serve() raises it
            failures.append(error)
            end()

    thread = threading.Thread(target=look, name="look", daemon=True)
    thread.start()
    try:
        yield failures
    finally:
        stop.set()
        thread.join()


def registry_of(operator: Operator) -> kopf.OperatorRegistry:
    """Kopf's handlers. None of them puts a finalizer on anything."""
    registry = kopf.OperatorRegistry()
    kopf.on.startup(registry=registry)(_settings)
    kopf.on.login(registry=registry)(_login)
    for decorate in (kopf.on.create, kopf.on.update, kopf.on.resume):
        decorate(*_GROUP, "jointinferenceservices", id="tandem", registry=registry)(_retried(operator.reconcile))
    kopf.on.event(*_GROUP, "jointinferenceservices", id="gone", when=_is_gone, registry=registry)(_gone(operator))
    kopf.on.event(*_GROUP, "models", id="model", registry=registry)(_of_models(operator))
    owned = {f"{PREFIX}name": kopf.PRESENT}
    kopf.on.event("apps", "v1", "deployments", id="owned", labels=owned, registry=registry)(_of_deployments(operator))
    return registry


def _settings(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=_MARKS)
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=_MARKS)
    settings.posting.enabled = False  # events say what a user can do; kopf's say what a handler did
    # A watch that hangs for ever on a broken connection would see nothing any more.
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330


def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def _retried(reconcile: Callable[[str, str], None]) -> Callable[..., None]:
    def handle(namespace: str, name: str, **_: Any) -> None:
        try:
            reconcile(namespace, name)
        except ApiUnavailable as error:
            raise kopf.TemporaryError(str(error), delay=error.delay_s) from error

    return handle


def _is_gone(type: str | None, **_: Any) -> bool:  # noqa: A002 - kopf names it
    return type == "DELETED"


def _gone(operator: Operator) -> Callable[..., None]:
    def handle(namespace: str, name: str, **_: Any) -> None:
        operator.forget(namespace, name)

    return handle


def _of_models(operator: Operator) -> Callable[..., None]:
    def handle(namespace: str, name: str, **_: Any) -> None:
        operator.model_changed(namespace, name)

    return handle


def _of_deployments(operator: Operator) -> Callable[..., None]:
    def handle(namespace: str, labels: Any, **_: Any) -> None:
        operator.touched(namespace, labels[f"{PREFIX}name"])

    return handle
