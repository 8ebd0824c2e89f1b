"""Cameras that end, hang and come back, as whoever watches the state topic sees them."""

from __future__ import annotations

import signal

import pytest
import yaml

from broker.mosquitto import PrivateMosquitto
from stages.sources.capture import TIMEOUT_MS
from tests.cameras import MjpegCamera
from tests.e2e.user import Out, Tandem, balances, listening, until

pytestmark = [pytest.mark.mosquitto, pytest.mark.usefixtures("mosquitto_sub")]


def test_a_camera_is_lost_and_comes_back_beside_one_that_goes_on(tandem: Tandem, broker: PrivateMosquitto) -> None:
    gate, yard = MjpegCamera(), MjpegCamera()
    out = Out(tandem.folder / "out")
    with gate, yard:
        config = {
            "streams": {name: {"source": camera.url, "every": 5} for name, camera in (("gate", gate), ("yard", yard))},
            "broker": {"url": broker.url},
            "miner": {"name": "EdgeOnly"},
            "sink": {"out": "out"},
        }
        (tandem.folder / "tandem.yaml").write_text(yaml.safe_dump(config))
        command = ("run", "reader", "detector", "miner", "uplink", "sink", "--config", "tandem.yaml")
        with (
            listening(broker.port, "tandem/helmet/gate/state") as at_gate,
            listening(broker.port, "tandem/helmet/yard/state") as at_yard,
            tandem.start(*command) as running,
        ):
            read = at_gate.state(lambda state: state["status"] == "running" and state["tally"]["read"] > 10)
            gate.cut()
            lost = at_gate.state(lambda state: "refuses connections" in state["reason"])
            assert lost["status"] == "retrying"
            assert lost["reason"].startswith(f"{gate.name} refuses connections; check that it is on")
            before = at_yard.state(lambda state: state["tally"]["read"] > 10)
            beside = at_yard.state(lambda state: state["tally"]["read"] > before["tally"]["read"])
            assert beside["status"] == "running"
            gate.start()
            back = at_gate.state(lambda state: state["status"] == "running")
            assert back["reason"] == ""
            again = at_gate.state(lambda state: state["tally"]["read"] > lost["tally"]["read"] + 10)
            assert again["tally"]["read"] > read["tally"]["read"]
            gate.stall()  # and with its read hanging, the process ends as fast as ever
            running.signal(signal.SIGTERM)
            ran = running.ended(TIMEOUT_MS / 1000)
            assert ran.exit_code == 0, ran
            gate.flow()
            seqs = out.seqs("gate/all")
            assert len(seqs) == len(set(seqs))
            with tandem.start(*command) as second:
                at_gate.state(lambda state: state["status"] == "opening")
                newest = at_gate.state(lambda state: state["tally"]["read"] > seqs[-1] + 10)
                until(lambda: out.seqs("gate/all")[-1] > seqs[-1])
                second.signal(signal.SIGTERM)
                assert second.ended().exit_code == 0
            assert out.seqs("gate/all")[: len(seqs)] == seqs
            assert newest["source"] == gate.name
            said = ran.stdout + ran.stderr + str(at_gate.finish()) + str(at_yard.finish())
    assert "source_lost" in said
    assert "hunter2" not in said
    assert b"hunter2" not in out.ledger.read_bytes()
    for name in ("gate", "yard"):
        assert balances(out.tally(name))
