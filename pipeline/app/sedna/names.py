"""What the parts of a service are called: names, labels and owners, as Sedna gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pipeline.app.sedna.objects import API_VERSION, JointInferenceService
from pipeline.app.sedna.translate import Side

PREFIX: Final = "jointinferenceservice.sedna.io/"
KEEP_IMAGE: Final = "tandem/keep-image"
"""The annotation of a service or template whose worker's image is not to be replaced (``"true"``)."""

BROKER: Final = "tandem/broker"
"""The annotation of a service that names the broker to use."""

BROKER_SECRET: Final = "tandem/broker-secret"  # noqa: S105 - an annotation
"""The annotation that names the Secret with its ``username`` and ``password``."""

LOGIN: Final = "tandem/login"
"""The annotation of a worker's pod that changes with the password of the service's own broker."""

CONFINED: Final = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""What every container may not do."""


@dataclass(frozen=True, slots=True)
class Image:
    """Tandem's image."""

    name: str
    pull_policy: str = "IfNotPresent"


def deployment_name(service: str, side: Side) -> str:
    """The name of a worker's Deployment, by that of the service."""
    return f"{service}-deployment-{side}"


def labels(service: JointInferenceService, side: Side) -> dict[str, str]:
    """The labels of a worker's Deployment and pods; they are also its selector."""
    return {
        **service_labels(service),
        f"{PREFIX}worker-type": str(side),
        "app.sedna.io": f"{service.metadata.name}-{side.capitalize()}-svc",
    }


def service_labels(service: JointInferenceService) -> dict[str, str]:
    """The labels of all that is a service's. One that no API server has yet has a name alone, and no uid."""
    uid = {f"{PREFIX}uid": service.metadata.uid} if service.metadata.uid else {}
    return {f"{PREFIX}name": service.metadata.name, **uid}


def metadata(service: JointInferenceService, name: str, side: Side) -> dict[str, Any]:
    """The metadata of a worker's object, which goes when its service goes."""
    return owned(service, name, labels(service, side))


def owned(service: JointInferenceService, name: str, labelled: dict[str, str]) -> dict[str, Any]:
    """The metadata of an object that goes when its service goes."""
    found: dict[str, Any] = {
        "name": name,
        "namespace": service.metadata.namespace,
        "labels": labelled,
    }
    if service.metadata.uid:  # an object that no API server has yet has none, and can own nothing
        found["ownerReferences"] = [
            {
                "apiVersion": API_VERSION,
                "kind": service.KIND,
                "name": service.metadata.name,
                "uid": service.metadata.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
    return found
