"""The broker of a service that names none: Mosquitto in Tandem's image, which this service's workers alone may use."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from broker.address import BrokerAddress
from pipeline.app.sedna.names import BROKER, BROKER_SECRET, CONFINED, PREFIX, Image, owned, service_labels
from pipeline.app.sedna.objects import JointInferenceService
from pipeline.app.sedna.translate import ServicePlan, WorkerPlan
from pipeline.errors import ConfigError

USER: Final = "tandem"
OPERATOR: Final = "tandem-operator"
"""The name on the operator's own pods, which may follow what a broker says of streams."""

_PORT: Final = 1883
_HEALTH: Final = 8080
_UID: Final = 10001
_CONFIG: Final = f"""\
per_listener_settings true
set_tcp_nodelay true
max_packet_size 33554432
max_inflight_messages 100
max_queued_messages 10000
max_queued_bytes 67108864
persistence false
sys_interval 0
log_dest stderr
log_type error
log_type warning
log_type notice

listener {_PORT}
allow_anonymous false
password_file /etc/mosquitto/secret/passwords

# The probes' pages, served by the broker's own loop; nobody may speak MQTT here.
listener {_HEALTH}
protocol websockets
http_dir /etc/mosquitto/health
allow_anonymous false
"""
_PLACEMENT: Final = ("nodeName", "nodeSelector", "affinity", "tolerations", "imagePullSecrets")


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a service's processes meet.

    Attributes:
        url: as the workers reach it.
        secret: the Secret with ``username`` and ``password``; empty where the broker asks for none.
        own: whether it is made for this service.
    """

    url: str
    secret: str = ""
    own: bool = False


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the broker's Secret holds.

    Attributes:
        line: the line of Mosquitto's password file.
    """

    password: str = field(repr=False)
    line: str = field(repr=False)

    @property
    def digest(self) -> str:
        """What tells these from others, and says nothing of them: the line is salted."""
        return hashlib.sha256(self.line.encode()).hexdigest()[:16]


def broker_name(service: JointInferenceService) -> str:
    """The name of all objects of a service's own broker."""
    return f"{service.metadata.name}-broker"


def broker_of(service: JointInferenceService) -> Broker:
    """The broker that the service's annotations name, or its own.

    Raises:
        ConfigError: an annotation is wrong.
    """
    noted = service.metadata.annotations
    at = f"{service.KIND} {service.metadata.name}: metadata.annotations"
    if BROKER not in noted:
        if BROKER_SECRET in noted:
            raise ConfigError(f"{at}.{BROKER_SECRET}", f"there is a Secret, but no broker: set {BROKER} too")
        name = broker_name(service)
        return Broker(f"mqtt://{name}.{service.metadata.namespace}:{_PORT}", name, own=True)
    try:
        BrokerAddress.parse(noted[BROKER])
    except ConfigError as error:
        raise ConfigError(f"{at}.{BROKER}", str(error).removeprefix("broker.url: ")) from error
    return Broker(noted[BROKER], noted.get(BROKER_SECRET, ""))


def named_in_templates(plan: ServicePlan) -> str:
    """The URL that a template's environment names, which beats all others; empty where none does. The edge's counts."""
    for side in (plan.edge, plan.cloud):
        if "TANDEM_BROKER__URL" in side.template.environment:
            return side.config.broker.url
    return ""


def broker_objects(plan: ServicePlan, image: Image, credentials: Credentials) -> Iterator[dict[str, Any]]:
    """Everything of a service's own broker. It runs where the cloud worker may run."""
    service = plan.service
    name, labels = broker_name(service), _labels(service)

    def described(kind: str, version: str, **content: Any) -> dict[str, Any]:
        return {"apiVersion": version, "kind": kind, "metadata": owned(service, name, labels), **content}

    yield described("ConfigMap", "v1", data={"mosquitto.conf": _CONFIG, "healthz": "alive", "readyz": "ready"})
    secrets = {"username": USER, "password": credentials.password, "passwords": f"{credentials.line}\n"}
    yield described("Secret", "v1", type="Opaque", data={key: _encoded(text) for key, text in secrets.items()})
    port = {"name": "mqtt", "port": _PORT, "targetPort": _PORT, "protocol": "TCP"}
    yield described("Service", "v1", spec={"selector": labels, "ports": [port]})
    yield described("NetworkPolicy", "networking.k8s.io/v1", spec=_policy(service, labels))
    yield described("Deployment", "apps/v1", spec=_deployment(plan.cloud, image, name, labels, credentials))


def _labels(service: JointInferenceService) -> dict[str, str]:
    return {**service_labels(service), f"{PREFIX}worker-type": "broker"}


def _policy(service: JointInferenceService, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "podSelector": {"matchLabels": labels},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {
                "from": [
                    {"podSelector": {"matchLabels": service_labels(service)}},
                    {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": OPERATOR}}},
                ],
                "ports": [{"protocol": "TCP", "port": _PORT}],
            }
        ],
    }


def _deployment(
    cloud: WorkerPlan, image: Image, name: str, labels: dict[str, str], credentials: Credentials
) -> dict[str, Any]:
    # Mosquitto reads its files once: a new text has to start a new pod.
    text = hashlib.sha256(f"{_CONFIG}{credentials.line}".encode()).hexdigest()[:16]
    placed = {key: cloud.template.pod[key] for key in _PLACEMENT if key in cloud.template.pod}
    health = [{"key": page, "path": page} for page in ("healthz", "readyz")]
    return {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels, "annotations": {"tandem/config": text}},
            "spec": {
                **placed,
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": _UID,
                    "runAsGroup": _UID,
                    "fsGroup": _UID,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [_container(image)],
                "volumes": [
                    {"name": "config", "configMap": {"name": name, "items": [_item("mosquitto.conf")]}},
                    {"name": "health", "configMap": {"name": name, "items": health}},
                    {
                        "name": "secret",
                        "secret": {"secretName": name, "defaultMode": 0o440, "items": [_item("passwords")]},
                    },
                ],
            },
        },
    }


def _container(image: Image) -> dict[str, Any]:
    def probe(path: str) -> dict[str, Any]:
        return {"httpGet": {"path": path, "port": _HEALTH}, "periodSeconds": 5, "timeoutSeconds": 3}

    return {
        "name": "mosquitto",
        "image": image.name,
        "imagePullPolicy": image.pull_policy,
        "command": ["mosquitto", "-c", "/etc/mosquitto/conf/mosquitto.conf"],
        "ports": [{"name": "mqtt", "containerPort": _PORT}, {"name": "health", "containerPort": _HEALTH}],
        "livenessProbe": probe("/healthz"),
        "readinessProbe": probe("/readyz"),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
        "securityContext": CONFINED,
        "volumeMounts": [
            {"name": volume, "mountPath": f"/etc/mosquitto/{path}", "readOnly": True}
            for volume, path in (("config", "conf"), ("health", "health"), ("secret", "secret"))
        ],
    }


def _item(key: str) -> dict[str, str]:
    return {"key": key, "path": key}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
