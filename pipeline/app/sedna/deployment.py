"""A worker's Deployment and HorizontalPodAutoscaler: the user's template, and what Tandem has to add to it."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from pipeline.app.parts import EDGE
from pipeline.app.places import Places
from pipeline.app.sedna.model_source import MODELS
from pipeline.app.sedna.names import CONFINED, KEEP_IMAGE, LOGIN, Image, deployment_name, labels, metadata
from pipeline.app.sedna.objects import JointInferenceService
from pipeline.app.sedna.translate import Side, WorkerPlan
from pipeline.errors import ConfigError
from pipeline.stage import StageName

PORT: Final = 9100
"""Where a worker serves its probes and metrics, unless its template sets another port."""

UID: Final = 10001
"""The user of a pod without files of the node."""

GRACE_S: Final = 30
"""The grace at a pod's end: longer than a drain."""

_PASSWORD: Final = PurePosixPath("/etc/tandem/broker")
_ON_EDGES: Final = (
    {"key": "node-role.kubernetes.io/edge", "operator": "Exists"},
    {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"},
    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
)
# A changed service rolls out: its edge does not refuse to go on, nor does it mix what two miners said.
_SIDES: Final = {Side.EDGE: (*EDGE, "--anew"), Side.CLOUD: (StageName.CLOUD,)}


def deployment(
    service: JointInferenceService,
    plan: WorkerPlan,
    image: Image,
    broker_url: str,
    broker_secret: str = "",
    *,
    login: str = "",
) -> dict[str, Any]:
    """A worker's Deployment. How many replicas a cloud worker has is left to its hpa, or to ``kubectl scale``.

    Args:
        service: whose worker it is.
        plan: of the worker.
        image: Tandem's.
        broker_url: where the broker is, unless the template's environment says it.
        broker_secret: the Secret with ``username`` and ``password`` for it; empty where it asks for none.
        login: another text with another password: a process reads its own once, so a new one has to start new pods.

    Raises:
        ConfigError: what Tandem adds is in the template already: a mount at ``/models``, or a volume of that name.
    """
    if "TANDEM_BROKER__URL" in plan.template.environment:
        broker_secret = ""  # it is not for that broker
    own = labels(service, plan.side)
    template = plan.worker.template
    described = template.get("metadata") or {}
    spec: dict[str, Any] = {
        "selector": {"matchLabels": own},
        "template": {
            "metadata": {
                **described,
                "labels": {**(described.get("labels") or {}), **own},
                **_annotations(described, login),
            },
            "spec": _pod(service, plan, image, broker_url, broker_secret),
        },
    }
    if plan.side is Side.EDGE:  # a camera has one reader, also while a new pod takes over
        spec |= {"replicas": 1, "strategy": {"type": "Recreate"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(service, deployment_name(service.metadata.name, plan.side), plan.side),
        "spec": spec,
    }


def _annotations(described: Mapping[str, Any], login: str) -> dict[str, Any]:
    return {"annotations": {**(described.get("annotations") or {}), LOGIN: login}} if login else {}


def autoscaler(service: JointInferenceService, plan: WorkerPlan) -> dict[str, Any] | None:
    """The autoscaler of a cloud worker that asks for one; an edge has none, since one reader reads a camera."""
    if plan.worker.hpa is None or plan.side is Side.EDGE:
        return None
    target = deployment_name(service.metadata.name, plan.side)
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(service, f"hpa-{target}", plan.side),
        "spec": {
            **plan.worker.hpa.model_dump(by_alias=True, exclude_none=True),
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
        },
    }


def uses_node_files(plan: WorkerPlan) -> bool:
    """Whether the pod sees files of its node, which belong to root there."""
    return plan.model.folder is not None or any(
        volume.get("hostPath") is not None for volume in plan.template.pod.get("volumes") or ()
    )


def keeps_image(service: JointInferenceService, plan: WorkerPlan) -> bool:
    """Whether the worker runs the image in the template."""
    described = plan.worker.template.get("metadata") or {}
    noted = {**service.metadata.annotations, **(described.get("annotations") or {})}
    return noted.get(KEEP_IMAGE) == "true"


def _pod(
    service: JointInferenceService, plan: WorkerPlan, image: Image, broker_url: str, secret: str
) -> dict[str, Any]:
    pod = plan.template.pod
    added = [*_added(plan), *_password(secret)]
    _check_free(plan, added)
    worker = _container(service, plan, image, _broker_variables(broker_url, secret))
    worker["volumeMounts"] = [*(worker.get("volumeMounts") or ()), *(mount for _, mount in added)]
    return {
        "terminationGracePeriodSeconds": GRACE_S,
        "automountServiceAccountToken": False,
        **pod,
        **({"initContainers": [*(pod.get("initContainers") or ()), _fetch(plan, image)]} if plan.model.fetched else {}),
        **_tolerations(plan),
        "securityContext": {**_pod_security(plan), **(pod.get("securityContext") or {})},
        "containers": [worker, *pod["containers"][1:]],
        "volumes": [*(pod.get("volumes") or ()), *(volume for volume, _ in added)],
    }


def _tolerations(plan: WorkerPlan) -> dict[str, Any]:
    """The template's, and those that keep an edge on its node: where edges are tainted, or only cut off."""
    theirs = list(plan.template.pod.get("tolerations") or ())
    ours = _ON_EDGES if plan.side is Side.EDGE else ()
    found = [*theirs, *(one for one in ours if one["key"] not in {other.get("key") for other in theirs})]
    return {"tolerations": found} if found else {}


def _fetch(plan: WorkerPlan, image: Image) -> dict[str, Any]:
    """The init container that fetches the model."""
    return {
        "name": "tandem-fetch-model",
        "image": image.name,
        "imagePullPolicy": image.pull_policy,
        "command": ["tandem", "fetch", plan.model.url, plan.model.in_container],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": dict(CONFINED),
        "volumeMounts": [{"name": "tandem-model", "mountPath": str(MODELS)}],
    }


def _broker_variables(url: str, secret: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"name": "TANDEM_BROKER__URL", "value": url}]
    if secret:
        key = {"secretKeyRef": {"name": secret, "key": "username"}}
        found.append({"name": "TANDEM_BROKER__USERNAME", "valueFrom": key})
        found.append({"name": "TANDEM_BROKER__PASSWORD_FILE", "value": str(_PASSWORD / "password")})
    return found


def _password(secret: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The volume with the broker's password, and its mount."""
    if secret:
        items = [{"key": "password", "path": "password"}]
        source = {"secretName": secret, "defaultMode": 0o440, "items": items}
        yield (
            {"name": "tandem-broker", "secret": source},
            {"name": "tandem-broker", "mountPath": str(_PASSWORD), "readOnly": True},
        )


def _container(
    service: JointInferenceService, plan: WorkerPlan, image: Image, broker: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    kept = dict(plan.template.container)
    command = {"command": ["tandem", "run", *_SIDES[plan.side]]}
    if not keeps_image(service, plan):
        for key in ("args", "command"):  # they are for the image that is replaced
            kept.pop(key, None)
        kept |= {"image": image.name, "imagePullPolicy": kept.get("imagePullPolicy", image.pull_policy)}
    defaults = [
        *broker,
        {"name": "TANDEM_HTTP__HOST", "value": "0.0.0.0"},  # noqa: S104 - of a pod, for its probes
        {"name": "TANDEM_HTTP__PORT", "value": str(PORT)},
    ]
    own = {"TANDEM_SERVICE": service.metadata.name, **plan.environment}
    return {
        **command,
        "livenessProbe": _probe("/healthz", plan, failures=6),
        "readinessProbe": _probe("/readyz", plan, failures=3),
        "startupProbe": _probe("/healthz", plan, failures=60),
        "terminationMessagePolicy": "FallbackToLogsOnError",  # kubectl describe says why it ended
        **kept,
        "env": list(_variables(kept.get("env") or (), defaults, own)),
        "securityContext": {**CONFINED, **(kept.get("securityContext") or {})},
    }


def _variables(
    users: Iterable[Mapping[str, Any]], defaults: Iterable[Mapping[str, Any]], own: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """The user's variables beat our defaults, and what Sedna sets beats the user's; no name comes twice."""
    named = {str(variable["name"]): dict(variable) for variable in users}
    ours: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in own.items()]
    ours.append({"name": "WORKER_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}})
    set_by_us = {variable["name"] for variable in ours}
    yield from (dict(variable) for variable in defaults if variable["name"] not in named)
    yield from (variable for name, variable in named.items() if name not in set_by_us)
    yield from ours


def _probe(path: str, plan: WorkerPlan, failures: int) -> dict[str, Any]:
    port = plan.config.http.port or PORT
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": 5,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _pod_security(plan: WorkerPlan) -> dict[str, Any]:
    """Restricted; with files of the node as root, since they are root's there, but with none of its capabilities."""
    user: dict[str, Any] = {"runAsUser": 0, "runAsGroup": 0}
    if not uses_node_files(plan):
        user = {"runAsUser": UID, "runAsGroup": UID, "fsGroup": UID, "runAsNonRoot": True}
    return {"seccompProfile": {"type": "RuntimeDefault"}, **user}


def _added(plan: WorkerPlan) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The volumes that Tandem adds, each with its mount."""
    if plan.model.folder is not None:
        host = {"path": str(plan.model.folder), "type": "Directory"}
        yield (
            {"name": "tandem-model", "hostPath": host},
            {"name": "tandem-model", "mountPath": str(MODELS), "readOnly": True},
        )
    if plan.model.fetched:
        yield (
            {"name": "tandem-model", "emptyDir": {}},
            {"name": "tandem-model", "mountPath": str(MODELS), "readOnly": True},
        )
    for number, folder in enumerate(_to_write(plan)):
        name = f"tandem-scratch-{number}"
        yield {"name": name, "emptyDir": {}}, {"name": name, "mountPath": str(folder)}


def _to_write(plan: WorkerPlan) -> Iterator[PurePosixPath]:
    """The folders that are written to and that no mount of the template holds: the root file system is read-only."""
    mounted = [mount.at for mount in plan.template.mounts]
    temporary = PurePosixPath("/tmp")  # noqa: S108 - of the container
    if temporary not in mounted:
        yield temporary
    if plan.side is Side.EDGE:
        places = Places.of(plan.config)
        wanted = {str(folder) for folders in places.pictures.values() for folder in folders} | {str(places.state)}
        bare = sorted(path for path in wanted if not any(PurePosixPath(path).is_relative_to(at) for at in mounted))
        if bare:
            common = PurePosixPath(os.path.commonpath(bare))
            yield from [common] if len(common.parts) > 1 else [PurePosixPath(path) for path in bare]


def _check_free(plan: WorkerPlan, added: Iterable[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    paths = {str(mount.at) for mount in plan.template.mounts}
    names = {volume.get("name") for volume in plan.template.pod.get("volumes") or ()}
    for volume, mount in added:
        if mount["mountPath"] in paths:
            raise ConfigError(f"spec.{plan.side}Worker.template", f"{mount['mountPath']} is Tandem's: mount elsewhere")
        if volume["name"] in names:
            raise ConfigError(f"spec.{plan.side}Worker.template", f"volume {volume['name']} is Tandem's: rename yours")
