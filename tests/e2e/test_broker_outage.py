"""The broker dies under a running edge and worker, and comes back without anything that it knew."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from broker.mosquitto import PrivateMosquitto
from tests.e2e.test_run_and_check import EDGE, settings
from tests.e2e.user import SEQS, STREAM, Out, Tandem, balances, listening, until

pytestmark = [pytest.mark.mosquitto, pytest.mark.usefixtures("mosquitto_sub")]


def test_every_result_comes_although_the_broker_is_killed_and_wiped(
    clip: Path, tandem: Tandem, broker: PrivateMosquitto
) -> None:
    out = Out(tandem.folder / "out")
    options = settings(tandem, clip, broker.port, reader={"pace": "real"})
    results = f"tandem/helmet/{STREAM}/results"
    with (
        tandem.start("run", "cloud", *options, "--set", "process=big") as cloud,
        tandem.start("run", *EDGE, *options, "--set", "process=gateway") as edge,
    ):
        with listening(broker.port, results) as before:
            before.until(lambda _, payload: json.loads(payload)["seq"] >= 7)
            os.kill(broker.pid, signal.SIGKILL)
            broker.stop()
        before.rest()
        until(lambda: "broker_lost" in edge.stderr and "broker_lost" in cloud.stderr)
        until(lambda: len(out.seqs("all")) == len(SEQS))  # the edge answers all the while
        for running in (edge, cloud):
            running.signal(signal.SIGSTOP)  # so that the listener is there before them
        broker.start()
        with listening(broker.port, results, "tandem/+/+/state", "tandem/+/workers/+", "tandem/+/stages/+") as after:
            for running in (edge, cloud):
                running.signal(signal.SIGCONT)
            ended = after.state(lambda state: state["status"] == "ended" and state["tally"]["pending"] == 0)
            assert balances(out.tally())
            assert ended["tally"]["cloud"] > 0
            for running in (edge, cloud):
                running.signal(signal.SIGTERM)
                ran = running.ended()
                assert ran.exit_code == 0, ran
            heard = after.finish()
    final = {}
    for topic, payload in (*before.heard, *heard):
        if topic == results:
            result = json.loads(payload)
            final[result["seq"]] = max(result["revision"], final.get(result["seq"], 0))
    hard = {row["seq"] for row in out.rows() if row["revision"] == 2}
    assert hard
    assert final == {seq: 2 if seq in hard else 1 for seq in SEQS}
    states = dict(heard)
    assert json.loads(states["tandem/helmet/stages/gateway"])["unsent"] == 0
    assert "tandem/helmet/workers/big" in states
