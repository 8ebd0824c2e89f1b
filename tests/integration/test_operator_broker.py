"""A service's own broker as a real Mosquitto runs it, and the counts that the operator reads from it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.address import BrokerAddress
from broker.mqtt import MqttLink
from broker.secure.passwords import hashed
from pipeline import wire
from pipeline.app.operator.counts import Counts, Feeds
from pipeline.app.sedna.broker import USER, Credentials, broker_objects
from pipeline.app.sedna.names import Image
from pipeline.app.sedna.objects import JointInferenceService, Model
from pipeline.app.sedna.read import parsed
from pipeline.app.sedna.translate import plan_service
from pipeline.gain import Found
from pipeline.link import LinkEvents
from tests.brokers import running
from tests.examples import gain, state
from tests.secured import free_ports
from tests.sedna_guide import GUIDE

NAME = "helmet-detection-inference-example"
PASSWORD = "secret"  # noqa: S105
NOTHING = LinkEvents(lambda *_: None, lambda: None, lambda _: None)

pytestmark = [pytest.mark.mosquitto, pytest.mark.usefixtures("mosquitto")]


@pytest.fixture
def made() -> dict[str, dict[str, Any]]:
    """What the operator makes of the guide's service, by kind."""
    big, little, service = yaml.safe_load_all(GUIDE)
    models = {item["metadata"]["name"]: parsed(Model, item) for item in (big, little)}
    plan = plan_service(parsed(JointInferenceService, service), models)
    credentials = Credentials(PASSWORD, hashed(USER, PASSWORD))
    return {item["kind"]: item for item in broker_objects(plan, Image("tandem"), credentials)}


@pytest.fixture
def port(made: dict[str, dict[str, Any]], tmp_path: Path) -> Iterator[int]:
    """A Mosquitto with the files that the operator makes, mounted as its Deployment says."""
    (tmp_path / "passwords").write_bytes(base64.b64decode(made["Secret"]["data"]["passwords"]))
    mqtt, health = free_ports(2)
    config = made["ConfigMap"]["data"]["mosquitto.conf"]
    for old, new in {
        "listener 1883": f"listener {mqtt} 127.0.0.1",
        "listener 8080": f"listener {health} 127.0.0.1",
        "/etc/mosquitto/secret": str(tmp_path),
        "/etc/mosquitto/health": str(tmp_path),
    }.items():
        assert old in config
        config = config.replace(old, new)
    with running(tmp_path, *config.splitlines()):
        yield mqtt


def test_its_pod_is_restricted(made: dict[str, dict[str, Any]]) -> None:
    pod = made["Deployment"]["spec"]["template"]["spec"]
    assert (pod["securityContext"]["runAsNonRoot"], pod["automountServiceAccountToken"]) == (True, False)
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert all(mount["readOnly"] for mount in container["volumeMounts"])


def until(feeds: Feeds, counts: Counts) -> None:
    """Wait for these counts, as the operator sees them: by looking."""
    until_s = time.monotonic() + 60
    while (reading := feeds.read(("default", NAME))) is None or reading.counts != counts:
        assert time.monotonic() < until_s, reading
        time.sleep(0.01)
    assert reading.connected


def test_counts_of_all_streams_are_right_to_the_frame(port: int) -> None:
    address, feeds = BrokerAddress("127.0.0.1", port, username=USER, password=PASSWORD), Feeds()
    feeds.follow(("default", NAME), address)
    edge = MqttLink(address, "edge", backoff_s=(0.05, 0.05))
    edge.start([], NOTHING)
    assert edge.wait_connected(60), edge.reason
    for stream, hard, easy in (("gate", 3, 11), ("yard", 2, 4), ("gate", 4, 12)):
        found = replace(gain(), hard=Found(hard), easy=Found(easy))
        edge.publish(wire.encode(NAME, replace(state(stream), gain=found), time.monotonic()))
    until(feeds, Counts(inferences=22, hard=6))
    feeds.forget(("default", NAME))
    feeds.follow(("default", NAME), address)  # as an operator that starts again: the states are retained
    until(feeds, Counts(inferences=22, hard=6))
    edge.stop(0.0)
    feeds.close()


def test_nobody_comes_in_without_the_password(port: int) -> None:
    link = MqttLink(BrokerAddress("127.0.0.1", port), "stranger", backoff_s=(0.05, 0.05))
    link.start([], NOTHING)
    until_s = time.monotonic() + 60
    while "refuse" not in link.reason and "anonymous" not in link.reason:
        assert time.monotonic() < until_s, link.reason
        time.sleep(0.01)
    assert not link.connected
    link.stop(0.0)
