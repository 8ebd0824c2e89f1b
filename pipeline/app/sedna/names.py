"""What the parts of a service are called: names, labels and owners, as Sedna gives them."""

from __future__ import annotations

from typing import Any, Final

from pipeline.app.sedna.objects import API_VERSION, JointInferenceService
from pipeline.app.sedna.translate import Side

PREFIX: Final = "jointinferenceservice.sedna.io/"
KEEP_IMAGE: Final = "tandem/keep-image"
"""The annotation of a service or template whose worker's image is not to be replaced (``"true"``)."""


def deployment_name(service: JointInferenceService, side: Side) -> str:
    """The name of a worker's Deployment."""
    return f"{service.metadata.name}-deployment-{side}"


def labels(service: JointInferenceService, side: Side) -> dict[str, str]:
    """The labels of a worker's Deployment and pods; they are also its selector."""
    return {
        f"{PREFIX}name": service.metadata.name,
        f"{PREFIX}uid": service.metadata.uid,
        f"{PREFIX}worker-type": str(side),
        "app.sedna.io": f"{service.metadata.name}-{side.capitalize()}-svc",
    }


def metadata(service: JointInferenceService, name: str, side: Side) -> dict[str, Any]:
    """The metadata of an object that goes when its service goes."""
    found: dict[str, Any] = {
        "name": name,
        "namespace": service.metadata.namespace,
        "labels": labels(service, side),
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
