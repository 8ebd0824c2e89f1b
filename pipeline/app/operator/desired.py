"""What has to be in the cluster for a service: pure, from its plan to manifests and to what its user should know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pipeline.app.operator.api import Kind
from pipeline.app.sedna.broker import Broker, Credentials, broker_name, broker_objects
from pipeline.app.sedna.deployment import UID, autoscaler, deployment, keeps_image, uses_node_files
from pipeline.app.sedna.names import KEEP_IMAGE, Image, deployment_name
from pipeline.app.sedna.objects import JointInferenceService
from pipeline.app.sedna.translate import ServicePlan, Side
from pipeline.errors import ConfigError

_LONGEST: Final = 53
"""The longest name of a service, since a label's value has 63 characters: one holds the name and ``-Cloud-svc``."""

_OF_BROKER: Final = (Kind.DEPLOYMENT, Kind.NETWORK, Kind.POLICY, Kind.CONFIG, Kind.SECRET)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a service's user should know, though nothing is wrong."""

    reason: str
    message: str


def check_name(service: JointInferenceService) -> None:
    """Check that the names and labels that are made of a service's name can be.

    Raises:
        ConfigError: it is too long.
    """
    if len(service.metadata.name) > _LONGEST:
        raise ConfigError(
            f"{service.KIND} {service.metadata.name}: metadata.name",
            f"it has {len(service.metadata.name)} characters, but labels are made of it: {_LONGEST} is the most",
        )


def manifests(
    plan: ServicePlan, image: Image, broker: Broker, credentials: Credentials | None
) -> Iterator[dict[str, Any]]:
    """All objects of a service: the broker's first, if it has one of its own, since the workers want it.

    Raises:
        ConfigError: a template has something that Tandem has to add.
    """
    if credentials is not None:
        yield from broker_objects(plan, image, credentials)
    login = credentials.digest if credentials is not None else ""
    for side in (plan.edge, plan.cloud):
        yield deployment(plan.service, side, image, broker.url, broker.secret, login=login)
        scaler = autoscaler(plan.service, side)
        if scaler is not None:
            yield scaler


def possible(service: JointInferenceService) -> Iterator[tuple[Kind, str]]:
    """What a service may have had before it was changed, and may have no more."""
    yield Kind.AUTOSCALER, f"hpa-{deployment_name(service.metadata.name, Side.CLOUD)}"
    yield from ((kind, broker_name(service)) for kind in _OF_BROKER)


def notices(plan: ServicePlan) -> Iterator[Notice]:
    """What is not as somebody might expect it of the template."""
    for side in (plan.edge, plan.cloud):
        if uses_node_files(side):
            yield Notice(
                f"{side.side.capitalize()}RunsAsRoot",
                f"the {side.side} worker runs as uid 0, since it uses files of its node (hostPath), which belong to "
                f"root there; all capabilities are dropped. Without a hostPath it runs as uid {UID}",
            )
        theirs = str(side.template.container.get("image") or "")
        if theirs and "sedna" not in theirs and not keeps_image(plan.service, side):
            yield Notice(
                f"{side.side.capitalize()}ImageReplaced",
                f"image {theirs} of the {side.side} worker is replaced by Tandem's; the annotation "
                f'{KEEP_IMAGE}: "true" on its template, or on the service, keeps it',
            )
