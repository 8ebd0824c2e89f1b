"""Make the cluster hold what a service asks for, and say in its status how that went."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from broker.address import BrokerAddress
from pipeline.app.operator.api import Api, ApiRefused, ApiUnavailable, Kind, Object
from pipeline.app.operator.counts import Reading, ServiceKey
from pipeline.app.operator.desired import Notice, check_name, manifests, notices, possible
from pipeline.app.operator.events import event
from pipeline.app.operator.status import Found, changed, status_of
from pipeline.app.sedna.broker import USER, Broker, Credentials, broker_name, broker_of, named_in_templates
from pipeline.app.sedna.names import Image, deployment_name
from pipeline.app.sedna.objects import JointInferenceService, Model
from pipeline.app.sedna.read import parsed
from pipeline.app.sedna.translate import ServicePlan, Side, UnusableService, plan_service
from pipeline.errors import ConfigError


class Followed(Protocol):
    """Who follows the streams of services."""

    def follow(self, key: ServiceKey, address: BrokerAddress) -> None:
        """Follow a service at this broker."""

    def forget(self, key: ServiceKey) -> None:
        """Follow it no more."""

    def read(self, key: ServiceKey) -> Reading | None:
        """What is known of it."""


@dataclass(frozen=True, slots=True)
class Means:
    """What reconciling works with.

    Attributes:
        image: Tandem's.
        feeds: who follows the streams.
        new_password: makes one.
        hashed: a line of Mosquitto's password file, of a user and a password.
        now: the time, with its zone.
    """

    api: Api
    image: Image
    feeds: Followed
    new_password: Callable[[], str]
    hashed: Callable[[str, str], str]
    now: Callable[[], datetime]


def reconcile(means: Means, namespace: str, name: str) -> bool:
    """Make the cluster hold what this service asks for, and return whether it is there.

    Where it is gone, what it owned goes by itself.

    Raises:
        ApiUnavailable: try again.
    """
    raw = means.api.get(Kind.SERVICE, namespace, name)
    if raw is None or raw["metadata"].get("deletionTimestamp"):
        means.feeds.forget((namespace, name))
        return False
    told: list[Notice] = []
    try:
        plan = _planned(means.api, raw)
        found = _carried_out(means, plan)
        told = list(notices(plan))
    except UnusableService as group:
        found = _refused(means.api, raw, [str(error) for error in group.exceptions])
    except (ConfigError, ApiRefused) as error:
        found = _refused(means.api, raw, [str(error)])
    _tell(means, raw, found, told)
    return True


def _planned(api: Api, raw: Object) -> ServicePlan:
    service = parsed(JointInferenceService, raw)
    check_name(service)
    wanted = {service.spec.edge.model.name, service.spec.cloud.model.name}
    listed = api.list(Kind.MODEL, service.metadata.namespace)
    # A model that this service does not use may be wrong; here its name alone counts.
    models = {
        one["metadata"]["name"]: parsed(Model, {**one, "kind": Model.KIND})
        for one in listed
        if one["metadata"]["name"] in wanted
    }
    named = broker_of(service)
    return plan_service(service, models, {"broker": {"url": named.url}})


def _carried_out(means: Means, plan: ServicePlan) -> Found:
    service, api = plan.service, means.api
    named = named_in_templates(plan)
    broker = Broker(named) if named else broker_of(service)
    credentials = _own_credentials(means, service, broker)
    wanted = list(manifests(plan, means.image, broker, credentials))
    _check_owners(api, service, wanted)
    for manifest in wanted:  # all of it or nothing: what one of them is refused for leaves the others too
        api.apply(manifest, dry_run=True)
    made = [api.apply(manifest) for manifest in wanted]
    _remove_rest(api, service, {(one["kind"], one["metadata"]["name"]) for one in wanted})
    deployments = {one["metadata"]["name"]: one for one in made if one.get("kind") == Kind.DEPLOYMENT}
    key = (service.metadata.namespace, service.metadata.name)
    unfollowed = _follow(means, key, service, broker)
    return Found(
        notes=plan.notes,
        missing_nodes=_missing_nodes(api, plan),
        deployments=_by_part(service, deployments, own_broker=broker.own),
        reading=means.feeds.read(key),
        unfollowed=unfollowed,
    )


def _own_credentials(means: Means, service: JointInferenceService, broker: Broker) -> Credentials | None:
    """The password of a service's own broker: that which is there, or a new one."""
    if not broker.own:
        return None
    secret = means.api.get(Kind.SECRET, service.metadata.namespace, broker.secret)
    there = _decoded(secret)
    if secret is not None and _is_owned(secret, service) and there.get("password") and there.get("passwords"):
        return Credentials(there["password"], there["passwords"].strip())
    password = means.new_password()
    return Credentials(password, means.hashed(USER, password))


def _follow(means: Means, key: ServiceKey, service: JointInferenceService, broker: Broker) -> str:
    """Follow the service at its broker; why not, where that cannot be."""
    secret = _decoded(means.api.get(Kind.SECRET, key[0], broker.secret)) if broker.secret else {}
    if broker.secret and not (secret.get("username") and secret.get("password")):
        means.feeds.forget(key)
        return f"Secret {broker.secret} in namespace {service.metadata.namespace} has no username and password"
    try:
        address = BrokerAddress.parse(broker.url, secret.get("username"), secret.get("password"))
    except ConfigError as error:
        means.feeds.forget(key)
        return str(error)
    means.feeds.follow(key, address)
    return ""


def _check_owners(api: Api, service: JointInferenceService, wanted: list[dict[str, Any]]) -> None:
    """What is of somebody else is not taken over.

    Raises:
        ApiUnavailable: an earlier service of this name is still being cleaned up.
        ConfigError: the name is taken.
    """
    for manifest in wanted:
        kind, name = Kind(manifest["kind"]), manifest["metadata"]["name"]
        there = api.get(kind, service.metadata.namespace, name)
        if there is None or _is_owned(there, service):
            continue
        if any(owner.get("kind") == service.KIND for owner in there["metadata"].get("ownerReferences") or ()):
            raise ApiUnavailable(f"{kind} {name} is of an earlier service of this name, and still goes")
        raise ConfigError(
            f"{service.KIND} {service.metadata.name}: metadata.name",
            f"{kind} {name} is there already, and is not this service's: rename one of the two",
        )


def _remove_rest(api: Api, service: JointInferenceService, kept: set[tuple[str, str]]) -> None:
    for kind, name in possible(service):
        if (str(kind), name) not in kept:
            there = api.get(kind, service.metadata.namespace, name)
            if there is not None and _is_owned(there, service):
                api.delete(kind, service.metadata.namespace, name)


def _is_owned(there: Object, service: JointInferenceService) -> bool:
    owners = there["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == service.metadata.uid for owner in owners)


def _missing_nodes(api: Api, plan: ServicePlan) -> dict[str, str]:
    named = {str(side.side): side.template.node_name for side in (plan.edge, plan.cloud)}
    return {side: node for side, node in named.items() if node and api.get(Kind.NODE, "", node) is None}


def _refused(api: Api, raw: Object, errors: list[str]) -> Found:
    metadata = raw["metadata"]
    there = {
        str(side): api.get(Kind.DEPLOYMENT, metadata["namespace"], deployment_name(metadata["name"], side))
        for side in Side
    }
    return Found(errors=errors, deployments={side: one for side, one in there.items() if one is not None})


def _by_part(
    service: JointInferenceService, deployments: Mapping[str, Object], *, own_broker: bool
) -> dict[str, Object | None]:
    parts: dict[str, Object | None] = {
        str(side): deployments.get(deployment_name(service.metadata.name, side)) for side in (Side.EDGE, Side.CLOUD)
    }
    return {**parts, "broker": deployments.get(broker_name(service))} if own_broker else parts


def _tell(means: Means, raw: Object, found: Found, told: list[Notice]) -> None:
    now = means.now()
    metadata = raw["metadata"]
    status = status_of(raw, found, now)
    if changed(raw.get("status"), status):
        means.api.patch_status(metadata["namespace"], metadata["name"], status)
    warnings = [("Refused", text) for text in found.errors] + [(note.reason, note.text) for note in found.notes]
    warnings += [
        (one["reason"], one["message"])
        for one in status["conditions"]
        if one["type"] == "NodesExist" and one["status"] == "False"
    ]
    for reason, message in warnings:
        means.api.create_event(event(raw, "Warning", reason, message, now))
    for notice in told:
        means.api.create_event(event(raw, "Normal", notice.reason, notice.message, now))


def _decoded(secret: Object | None) -> dict[str, str]:
    data = (secret or {}).get("data") or {}
    return {key: base64.b64decode(value).decode(errors="replace").strip() for key, value in data.items()}
