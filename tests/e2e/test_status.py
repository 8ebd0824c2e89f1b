"""``tandem status`` as a user runs it."""

from __future__ import annotations

import json
import signal
from dataclasses import replace

import pytest

from broker.mosquitto import PrivateMosquitto
from broker.secure.roles import User
from pipeline import wire
from pipeline.link import ContentType, Packet
from pipeline.messages import StageState, WorkerState
from tests.e2e.user import STREAM, Replay, Tandem, publish, until
from tests.secured import Client, address_of, free_ports, make_folder, served
from tests.unit.test_census import EDGE, STATE

pytestmark = [pytest.mark.mosquitto, pytest.mark.usefixtures("mosquitto_sub")]


def say(broker: PrivateMosquitto, message: object) -> None:
    packet = wire.encode("helmet", message, 0.0)  # type: ignore[arg-type]
    publish(broker.port, packet.topic, packet.payload.decode(), retain=True)


@pytest.mark.usefixtures("undisturbed")
def test_after_a_replay_all_is_well(running_broker: PrivateMosquitto, replays: list[Replay], tandem: Tandem) -> None:
    said = tandem("status", "--broker", running_broker.url, "--json")
    assert said.exit_code == 0, said
    (service,) = json.loads(said.stdout)["services"].values()
    tally = service["streams"][STREAM]["tally"]
    assert tally == replays[-1].report["streams"][STREAM]
    assert service["processes"]["edge"]["online"] is False


def test_nothing_there_then_an_edge_that_is_gone(broker: PrivateMosquitto, tandem: Tandem) -> None:
    nothing = tandem("status", "--broker", broker.url)
    assert nothing.exit_code == 1
    assert "nothing of Tandem is on" in nothing.stdout
    say(broker, STATE)
    say(broker, EDGE)
    assert tandem("status", "--broker", broker.url).exit_code == 0
    gone = StageState("edge", "e1", EDGE.stages, EDGE.streams, EDGE.models, False, 0, 0)
    say(broker, gone)
    said = tandem("status", "--broker", broker.url)
    assert said.exit_code == 1
    assert "look at gate: it is running, and nobody runs its reader" in said.stdout
    other = tandem("status", "--broker", broker.url, "--set", "service=other")
    assert other.exit_code == 1
    assert "gate" not in other.stdout


def test_a_narrow_terminal_cuts_nothing_off(broker: PrivateMosquitto, tandem: Tandem) -> None:
    away = "no worker has said anything for 20 s; see that one runs, and that it reaches this broker"
    tally = replace(STATE.tally, cloud=3, expired=1)
    say(broker, replace(STATE, waiting=away, tally=tally, source="rtsp://camera-by-the-gate.example:8554/video"))
    say(broker, EDGE)
    lines = tandem("status", "--broker", broker.url).stdout.splitlines()
    titles = ["stream", "is", "read", "admitted", "easy", "cloud", "expired", "pending", "sent", "workers", "source"]
    assert lines[1].split() == titles
    assert lines[2].split() == [
        *("gate", "running", "20", "10", "4", "3", "1", "2", "4.0", "KiB", "1"),
        "rtsp://camera-by-the-gate.example:8554/video",
    ]
    assert f"look at gate: {away}" in lines


def test_what_a_frame_takes_a_worker_is_known_after_the_first(broker: PrivateMosquitto, tandem: Tandem) -> None:
    worker = WorkerState("w", "w1", 4, 1, 0, 0.0, "big", "CPUExecutionProvider", gone=False)
    for service_ms, shown in ((0.0, "-"), (81.6, "82 ms")):
        say(broker, replace(worker, service_ms=service_ms))
        (line,) = [line for line in tandem("status", "--broker", broker.url).stdout.splitlines() if "big" in line]
        assert line.split() == ["w", "big", "CPUExecutionProvider", "4", "1", "0", *shown.split()]


def test_watching_prints_it_again_until_ctrl_c(broker: PrivateMosquitto, tandem: Tandem) -> None:
    with tandem.start("status", "--broker", broker.url, "--json", "--watch") as watching:
        until(lambda: watching.stdout.endswith("\n"))
        say(broker, STATE)
        until(lambda: '"gate"' in watching.stdout)
        watching.signal(signal.SIGINT)
        ended = watching.ended()
    assert (ended.exit_code, ended.stderr) == (130, "")
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert lines[0]["services"] == {}
    assert "gate" in lines[-1]["services"]["helmet"]["streams"]


def test_no_broker_is_a_clear_error(tandem: Tandem) -> None:
    (port,) = free_ports(1)
    said = tandem("status", "--broker", f"mqtt://127.0.0.1:{port}")
    assert said.exit_code == 2
    assert "refuses connections" in said.error


def test_a_viewer_of_a_secured_broker_sees_who_is_there(tandem: Tandem) -> None:
    users = (User(name="edge", role="edge", streams=("gate",)), User(name="viewer", role="viewer"))
    folder = make_folder(tandem.folder / "b", *users)
    with served(folder), Client(address_of(folder, "edge"), "edge") as edge:
        for message in (STATE, EDGE):
            packet = wire.encode("helmet", message, 0.0)
            edge._link.publish(Packet(packet.topic, packet.payload, ContentType.JSON, retain=True))
        assert edge.publish(["tandem/helmet/gate/results"])
        said = tandem("status", "--config", folder.client("viewer") / "tandem.yaml", "--json")
    assert said.exit_code == 0, said
    service = json.loads(said.stdout)["services"]["helmet"]
    assert (list(service["streams"]), list(service["processes"])) == (["gate"], ["edge"])
