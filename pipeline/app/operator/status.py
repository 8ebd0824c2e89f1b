"""A service's status: pure, from what the operator found to conditions, phase and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from pipeline.app.operator.counts import Reading
from pipeline.app.sedna.names import PREFIX
from pipeline.app.sedna.translate import Note

_AS_ASKED: Final = "AsAsked"
_OF_PODS: Final = (f"{PREFIX}name", f"{PREFIX}worker-type")


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that holds of a service, or does not.

    Attributes:
        holds: None where it is not known.
        reason: one word in CamelCase.
        message: in plain words.
    """

    type: str
    holds: bool | None
    reason: str
    message: str = ""

    def written(self, before: Mapping[str, Any], generation: int, now: str) -> dict[str, Any]:
        """As Kubernetes has it. The time is that at which the status last changed."""
        status = {True: "True", False: "False", None: "Unknown"}[self.holds]
        same = before.get("status") == status and "lastTransitionTime" in before
        return {
            "type": self.type,
            "status": status,
            "reason": self.reason,
            "message": self.message,
            "observedGeneration": generation,
            "lastTransitionTime": before["lastTransitionTime"] if same else now,
        }


@dataclass(frozen=True, slots=True)
class Found:
    """What the operator found of a service.

    Attributes:
        errors: what is wrong in the objects; with any, nothing was changed in the cluster.
        notes: what is not as the user asked for.
        missing_nodes: nodes that are named and do not exist, by worker.
        deployments: the objects, by what they run: ``edge``, ``cloud``, ``broker``; None where there is none.
        reading: what the broker says; None where it is not followed.
        unfollowed: why it is not.
    """

    errors: Sequence[str] = ()
    notes: Sequence[Note] = ()
    missing_nodes: Mapping[str, str] = field(default_factory=dict)
    deployments: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    reading: Reading | None = None
    unfollowed: str = ""


def status_of(service: Mapping[str, Any], found: Found, now: datetime) -> dict[str, Any]:
    """The status that a service should have; what is not known now stays as it was.

    Args:
        service: as the API server has it.
        found: what was found of it.
        now: with a time zone.
    """
    before = service.get("status") or {}
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {part: _is_ready(deployment) for part, deployment in found.deployments.items()}
    workers = [found.deployments.get(side) for side in ("edge", "cloud")]
    status: dict[str, Any] = {
        "phase": "Failed" if found.errors else "Running" if ready and all(ready.values()) else "Pending",
        "active": sum(int(_status(one).get("readyReplicas") or 0) for one in workers),
        "failed": sum(_has_failed(one) for one in workers),
        "startTime": before.get("startTime") or stamp,
        "conditions": _written(_conditions(found, ready), before, service["metadata"].get("generation", 0), stamp),
    }
    return {**status, **counted(found.reading)}


def counted(reading: Reading | None) -> dict[str, Any]:
    """The part of a status that counts frames; nothing where nothing is known, so that what was known stays."""
    return {"metrics": reading.counts.metrics()} if reading is not None and reading.counts is not None else {}


def changed(before: Mapping[str, Any] | None, status: Mapping[str, Any]) -> bool:
    """Whether a status says something new."""
    return any((before or {}).get(key) != value for key, value in status.items())


def _written(
    conditions: Iterable[Condition], before: Mapping[str, Any], generation: int, now: str
) -> list[dict[str, Any]]:
    known = {one.get("type"): one for one in before.get("conditions") or ()}
    return [one.written(known.get(one.type, {}), generation, now) for one in conditions]


def _conditions(found: Found, ready: Mapping[str, bool]) -> Iterator[Condition]:
    if found.errors:
        rest = "; what ran before goes on unchanged" if any(found.deployments.values()) else ""
        yield Condition("Valid", False, "Refused", f"{'; '.join(found.errors)}{rest}")
    else:
        yield Condition("Valid", True, "Understood")
        yield _nodes(found.missing_nodes)
        reason = found.notes[0].reason if found.notes else "NothingLeftOut"
        yield Condition(_AS_ASKED, not found.notes, reason, "; ".join(map(str, found.notes)))
        yield _followed(found)
    for part, deployment in found.deployments.items():
        yield _readiness(part, deployment)
    well = not found.errors and bool(ready) and all(ready.values())
    waiting = ", ".join(part for part, there in ready.items() if not there)
    reason = "AllReady" if well else "Refused" if found.errors else "Waiting"
    yield Condition("Ready", well, reason, f"waits for {waiting}" if waiting and not found.errors else "")


def _nodes(missing: Mapping[str, str]) -> Condition:
    if not missing:
        return Condition("NodesExist", True, "Found")
    words = "; ".join(
        f"spec.{side}Worker.template.spec.nodeName: there is no node {name!r}" for side, name in missing.items()
    )
    return Condition("NodesExist", False, "NoSuchNode", f"{words}: kubectl get nodes lists those there are")


def _followed(found: Found) -> Condition:
    reading = found.reading
    if reading is None:
        return Condition("Counted", False, "NotFollowed", found.unfollowed)
    if reading.connected:
        told = reading.counts is not None
        return Condition(
            "Counted", True, "Followed" if told else "NothingYet", "" if told else "no stream has told its state yet"
        )
    return Condition("Counted", None, "BrokerNotReached", reading.reason or "the broker has not answered yet")


def _readiness(part: str, deployment: Mapping[str, Any] | None) -> Condition:
    name = f"{part.capitalize()}Ready"
    if deployment is None:
        return Condition(name, False, "NotThere", "it is not deployed")
    if _is_ready(deployment):
        return Condition(name, True, "Available")
    told = {one.get("type"): one for one in _status(deployment).get("conditions") or ()}
    failure = told.get("ReplicaFailure", {})
    if failure.get("status") == "True":
        return Condition(name, False, "ReplicaFailure", str(failure.get("message", "")))
    progress = told.get("Progressing", {})
    if progress.get("status") == "False":
        return Condition(name, False, str(progress.get("reason") or "NoProgress"), str(progress.get("message", "")))
    metadata = deployment["metadata"]
    chosen = ",".join(f"{key}={value}" for key, value in (metadata.get("labels") or {}).items() if key in _OF_PODS)
    why = f"kubectl -n {metadata.get('namespace')} describe pods -l {chosen} says why"
    return Condition(name, False, "Starting", f"Deployment {metadata['name']} is not available yet; {why}")


def _is_ready(deployment: Mapping[str, Any] | None) -> bool:
    if deployment is None:
        return False
    status = _status(deployment)
    seen = int(status.get("observedGeneration") or 0) >= int(deployment["metadata"].get("generation") or 0)
    rolled_out = int(status.get("updatedReplicas") or 0) >= 1
    return seen and rolled_out and int(status.get("availableReplicas") or 0) >= 1


def _has_failed(deployment: Mapping[str, Any] | None) -> bool:
    told = {(one.get("type"), one.get("status")) for one in _status(deployment).get("conditions") or ()}
    return bool(told & {("ReplicaFailure", "True"), ("Progressing", "False")})


def _status(deployment: Mapping[str, Any] | None) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (deployment or {}).get("status") or {}
    return found
