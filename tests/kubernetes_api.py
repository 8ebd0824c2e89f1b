"""A Kubernetes API server in memory: kmock, with server-side apply as a real one has it."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp.web
import kmock
import kubernetes_validate

Object = dict[str, Any]

_PLURALS = {
    "JointInferenceService": "sedna.io/v1alpha1/jointinferenceservices",
    "Model": "sedna.io/v1alpha1/models",
    "Deployment": "apps/v1/deployments",
    "HorizontalPodAutoscaler": "autoscaling/v2/horizontalpodautoscalers",
    "NetworkPolicy": "networking.k8s.io/v1/networkpolicies",
    "ConfigMap": "v1/configmaps",
    "Secret": "v1/secrets",
    "Service": "v1/services",
    "Node": "v1/nodes",
    "Event": "v1/events",
}


class ApiServer(kmock.KubernetesEmulator):
    """Objects by kind. Unknown fields are refused, as with strict validation.

    ``away`` answers 503 to everything, ``forbidden`` 403 to what is applied, ``unkept`` 422 to a status.
    """

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        # what load_bundled() does, by a function that Python has not deprecated
        self.resources.load_path(Path(kmock.__file__).parent / "_internal" / "resources.json.gz")
        for kind in ("JointInferenceService", "Model"):
            plural = _PLURALS[kind]
            self.resources[plural] = {
                "namespaced": True, "kind": kind, "singular": kind.lower(), "subresources": {"status"},
                "verbs": {"list", "watch", "get", "patch"}, "shortnames": set(), "categories": set(),
            }  # fmt: skip
        self.away = False
        self.forbidden = ""
        self.unkept = ""
        self.applied: dict[tuple[str, str, str], Object] = {}
        self.writes: list[str] = []
        self._uids = itertools.count(1)

    async def _handle(self, request: kmock.Request) -> aiohttp.web.StreamResponse:
        if self.away:
            return _refused(503, "the server is away")
        if request.method != kmock.method.GET:
            self.writes.append(f"{request.method.value} {request.url.path}")
        if self.unkept and request.url.path.endswith("/status"):
            return _refused(422, self.unkept)
        if "apply-patch" in request.headers.get("Content-Type", ""):
            return self._apply(request.data, request)
        return await super()._handle(request)

    def _apply(self, manifest: Object, request: kmock.Request) -> aiohttp.web.StreamResponse:
        asked = {key: request.params.get(key) for key in ("fieldManager", "force", "fieldValidation")}
        assert asked == {"fieldManager": "tandem", "force": "true", "fieldValidation": "Strict"}
        if self.forbidden:
            return _refused(403, self.forbidden)
        wrong = _wrong(json.dumps(manifest))
        if wrong:
            return _refused(400, wrong)
        if request.params.get("dryRun") == "All":
            return aiohttp.web.json_response(manifest)
        name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
        assert request.url.path.endswith(f"/namespaces/{namespace}/{_PLURALS[manifest['kind']].split('/')[-1]}/{name}")
        key = (manifest["kind"], namespace, name)
        before = self.found(*key)
        after = copy.deepcopy(before or {})
        _remove(after, self.applied.get(key, {}), manifest)
        _merge(after, manifest)
        self.applied[key] = copy.deepcopy(manifest)
        if after != before:
            grown = (before or {}).get("spec") != after.get("spec")
            after["metadata"].setdefault("uid", f"uid-{next(self._uids)}")
            after["metadata"]["generation"] = after["metadata"].get("generation", 0) + grown
            self.put(after)
        return aiohttp.web.json_response(after)

    def put(self, item: Object) -> None:
        """Put an object there, whatever was there."""
        metadata = item["metadata"]
        self.objects[_PLURALS[item["kind"]], metadata.get("namespace"), metadata["name"]] = item

    def found(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """An object as it is now."""
        for (resource, space, named), item in list(self.objects.items()):
            if (resource.plural, space, named) == (_PLURALS[kind].split("/")[-1], namespace, name):
                return None if item.deleted else copy.deepcopy(dict(item.last.raw))
        return None

    def named(self, kind: str) -> dict[str, Object]:
        """All objects of a kind, by name."""
        plural = _PLURALS[kind].split("/")[-1]
        return {
            str(name): copy.deepcopy(dict(item.last.raw))
            for (resource, _, name), item in list(self.objects.items())
            if resource.plural == plural and not item.deleted
        }


@cache
def _wrong(manifest: str) -> str:
    try:
        kubernetes_validate.validate(json.loads(manifest), "1.37", strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error.message)
    return ""


def _refused(status: int, message: str) -> aiohttp.web.StreamResponse:
    return aiohttp.web.json_response({"kind": "Status", "status": "Failure", "message": message}, status=status)


def _remove(item: Object, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """What was applied before and is not any more goes; a list goes with what replaces it."""
    for key, value in before.items():
        if key not in now:
            item.pop(key, None)
        elif isinstance(value, dict) and isinstance(item.get(key), dict) and isinstance(now[key], dict):
            _remove(item[key], value, now[key])


def _merge(item: Object, manifest: Mapping[str, Any]) -> None:
    for key, value in manifest.items():
        if isinstance(value, dict) and isinstance(item.get(key), dict):
            _merge(item[key], value)
        else:
            item[key] = copy.deepcopy(value)


@contextmanager
def served() -> Iterator[tuple[ApiServer, str]]:
    """A server and its URL."""
    stop = asyncio.Event()
    ready: Future[tuple[ApiServer, str, asyncio.AbstractEventLoop]] = Future()

    async def run() -> None:
        try:
            async with ApiServer() as api, kmock.Server(api) as server:
                ready.set_result((api, str(server.url).rstrip("/"), asyncio.get_running_loop()))
                await stop.wait()
        except BaseException as error:
            ready.set_exception(error)
            raise

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    api, url, loop = ready.result(10)
    try:
        yield api, url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
