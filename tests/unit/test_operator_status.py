"""A service's status: what an API server keeps of it, and what it says of each situation."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipeline.app.operator.counts import Counts, Reading
from pipeline.app.operator.status import Found, changed, status_of

CRD = yaml.safe_load((Path(__file__).parents[2] / "manifests/crds/jointinferenceservices.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SERVICE: dict[str, Any] = {"metadata": {"name": "helmet", "generation": 3}}


def deployment(generation: int = 1, conditions: list[dict[str, str]] | None = None, **status: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "helmet-deployment-edge", "generation": generation},
        "status": {"observedGeneration": 1, "conditions": conditions or [], **status},
    }


UP = deployment(availableReplicas=1, readyReplicas=1, updatedReplicas=1)


def of(found: Found, before: dict[str, Any] | None = None) -> dict[str, Any]:
    status = status_of(SERVICE if before is None else {**SERVICE, "status": before}, found, NOW)
    jsonschema.validate(status, SCHEMA)
    assert status.keys() <= SCHEMA["properties"].keys()
    for condition in status["conditions"]:
        assert condition.keys() <= SCHEMA["properties"]["conditions"]["items"]["properties"].keys()
    return status


def condition(status: dict[str, Any], name: str) -> tuple[str, str, str]:
    (found,) = [one for one in status["conditions"] if one["type"] == name]
    return found["status"], found["reason"], found["message"]


def test_all_ready_is_running() -> None:
    status = of(Found(deployments={"edge": UP, "cloud": UP, "broker": UP}))
    assert (status["phase"], status["active"], status["failed"]) == ("Running", 2, 0)
    assert status["startTime"] == "2026-01-02T03:04:05Z"
    assert condition(status, "Ready") == ("True", "AllReady", "")


@pytest.mark.parametrize(
    "waiting",
    [
        None,
        deployment(availableReplicas=0),
        deployment(generation=2, availableReplicas=1, readyReplicas=1, updatedReplicas=1),
        deployment(availableReplicas=1, readyReplicas=1, updatedReplicas=0),
    ],
    ids=["not there", "no replica", "not seen yet", "still the old pod"],
)
def test_a_part_that_is_not_up_is_named(waiting: dict[str, Any] | None) -> None:
    status = of(Found(deployments={"edge": UP, "cloud": waiting}))
    assert status["phase"] == "Pending"
    assert condition(status, "Ready") == ("False", "Waiting", "waits for cloud")


def test_a_part_that_is_not_up_says_where_to_look() -> None:
    starting = deployment(availableReplicas=0)
    own = {"jointinferenceservice.sedna.io/name": "helmet", "jointinferenceservice.sedna.io/worker-type": "edge"}
    starting["metadata"] |= {"namespace": "site", "labels": {"theirs": "x", **own}}
    _, reason, message = condition(of(Found(deployments={"edge": starting})), "EdgeReady")
    assert reason == "Starting"
    chosen = ",".join(f"{key}={value}" for key, value in own.items())
    assert message.endswith(f"not available yet; kubectl -n site describe pods -l {chosen} says why")


def test_a_deployment_that_fails_counts_and_says_why() -> None:
    refusal = [{"type": "ReplicaFailure", "status": "True", "message": "violates PodSecurity"}]
    late = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}]
    status = of(Found(deployments={"edge": deployment(1, refusal), "cloud": deployment(1, late)}))
    assert status["failed"] == 2
    assert condition(status, "EdgeReady") == ("False", "ReplicaFailure", "violates PodSecurity")
    assert condition(status, "CloudReady") == ("False", "ProgressDeadlineExceeded", "timed out")


def test_what_is_wrong_is_all_that_is_judged() -> None:
    status = of(Found(errors=["one is wrong", "another is wrong"]))
    assert status["phase"] == "Failed"
    assert condition(status, "Valid") == ("False", "Refused", "one is wrong; another is wrong")
    assert {one["type"] for one in status["conditions"]} == {"Valid", "Ready"}


def test_times_stay_until_something_changes() -> None:
    found = Found(deployments={"edge": UP, "cloud": UP})
    first = of(found)
    old = {**first, "startTime": "2025-01-01T00:00:00Z"}
    old["conditions"] = [{**one, "lastTransitionTime": "2025-01-01T00:00:00Z"} for one in first["conditions"]]
    again = of(found, old)
    assert again == old
    assert not changed(old, again)
    down = of(Found(deployments={"edge": UP, "cloud": None}), old)
    times = {one["type"]: one["lastTransitionTime"] for one in down["conditions"]}
    assert (times["EdgeReady"], times["CloudReady"]) == ("2025-01-01T00:00:00Z", "2026-01-02T03:04:05Z")
    assert changed(old, down)


def test_counts_are_sednas_metrics() -> None:
    status = of(Found(reading=Reading(Counts(inferences=3, hard=1), connected=True)))
    assert status["metrics"] == [
        {"key": "inferenceNumber", "value": "3"},
        {"key": "hardExampleNumber", "value": "1"},
        {"key": "uploadCloudRatio", "value": "0.3333"},
    ]
    assert condition(status, "Counted")[0] == "True"


def test_what_nobody_knows_is_not_said() -> None:
    for reading in (None, Reading(None, connected=True), Reading(None, connected=False, reason="refuses")):
        assert "metrics" not in of(Found(reading=reading, unfollowed="no Secret"))
    assert of(Found(reading=Reading(Counts(0, 0), connected=True)))["metrics"][2]["value"] == "0.0000"
    assert condition(of(Found(unfollowed="no Secret")), "Counted") == ("False", "NotFollowed", "no Secret")
