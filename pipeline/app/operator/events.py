"""Events of a service, named by what they say: an API server keeps one of each, however often it is told."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pipeline.app.sedna.objects import API_VERSION, JointInferenceService

_LONGEST_MESSAGE: Final = 1024


def event(
    service: Mapping[str, Any], kind: Literal["Normal", "Warning"], reason: str, message: str, now: datetime
) -> dict[str, Any]:
    """An event about a service.

    Args:
        service: as the API server has it.
        kind: ``Warning`` where its user has to do something.
        reason: one word in CamelCase.
        message: in plain words; what is longer than Kubernetes takes is cut.
        now: with a time zone.
    """
    metadata = service["metadata"]
    # Each generation tells its own: a mistake that comes back is told again.
    said = "\0".join((metadata.get("uid", ""), str(metadata.get("generation", 0)), reason, message))
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name']}.{hashlib.sha256(said.encode()).hexdigest()[:16]}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": JointInferenceService.KIND,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata.get("uid", ""),
        },
        "type": kind,
        "reason": reason,
        "message": message if len(message) <= _LONGEST_MESSAGE else f"{message[: _LONGEST_MESSAGE - 1]}…",
        "source": {"component": "tandem"},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
