"""What the operator asks of a Kubernetes API server."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

from pipeline.errors import RetryLater

Object = dict[str, Any]


class Kind(StrEnum):
    """The kinds of objects that the operator touches."""

    SERVICE = "JointInferenceService"
    MODEL = "Model"
    DEPLOYMENT = "Deployment"
    AUTOSCALER = "HorizontalPodAutoscaler"
    CONFIG = "ConfigMap"
    SECRET = "Secret"  # noqa: S105 - a kind
    NETWORK = "Service"
    POLICY = "NetworkPolicy"
    NODE = "Node"


class ApiUnavailable(RetryLater):
    """The API server is away, refuses, or says that something else changed meanwhile."""

    def __init__(self, message: str) -> None:
        super().__init__(message, delay_s=5.0)


class ApiRefused(Exception):
    """The API server does not take an object.

    Attributes:
        reason: in its words.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.reason = reason


class Api(Protocol):
    """An API server. Each call may raise ``ApiUnavailable``."""

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """An object; None where there is none. Of a node, the namespace is empty."""

    def list(self, kind: Kind, namespace: str) -> list[Object]:
        """All objects of a kind in a namespace."""

    def apply(self, manifest: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Server-side apply: what it says holds afterwards, whoever set it; what it said before and says no more goes.

        With ``dry_run`` all is checked, and nothing changes.

        Raises:
            ApiRefused: the object is not as Kubernetes has it.
        """

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete an object, if it is there."""

    def patch_status(self, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        """Merge into a service's status; it may be gone by now."""

    def create_event(self, event: Mapping[str, Any]) -> None:
        """Create an event, if it is not there."""
