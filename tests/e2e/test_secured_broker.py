"""A broker with TLS, users and an ACL, from ``tandem broker init`` to results on a viewer's screen."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from broker.secure.folder import BrokerFolder
from tests.e2e.user import SEQS, STREAM, Out, Tandem, balances, until
from tests.secured import free_ports

pytestmark = [pytest.mark.mosquitto, pytest.mark.usefixtures("mosquitto_sub")]

EDGE = ("reader", "detector", "miner", "uplink", "sink")


@contextmanager
def viewer(place: Path, topic: str) -> Iterator[queue.Queue[str]]:
    """``mosquitto_sub`` as ``tandem broker init`` shows it."""
    command = ["mosquitto_sub", "-t", topic]
    environment = {**os.environ, "XDG_CONFIG_HOME": "."}
    lines: queue.Queue[str] = queue.Queue()
    with subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        follow = threading.Thread(target=lambda output: [lines.put(line) for line in output], args=(process.stdout,))
        follow.start()
        try:
            yield lines
        finally:
            process.terminate()
            follow.join()


def test_edge_worker_and_viewer_meet_over_tls_and_no_secret_is_seen(clip: Path, tandem: Tandem) -> None:
    ports = free_ports(1)
    made = tandem("broker", "init", "b", "--stream", STREAM, "--port", str(ports[0]), "--bind", "127.0.0.1")
    assert made.exit_code == 0, made
    folder = BrokerFolder(tandem.folder / "b")
    config = {name: ("--config", str(folder.client(name) / "tandem.yaml")) for name in ("edge", "worker")}
    edge = ("run", *EDGE, *config["edge"], "--set", f"streams.{STREAM}.source={clip}")
    edge += (
        "--set",
        "reader.every=2",
        "--set",
        "miner.name=IBT",
        "--set",
        "miner.threshold_img=0.7",
        "--set",
        "sink.out=out",
    )
    out = Out(tandem.folder / "out")
    with tandem.start("broker", "run", "b") as broker:
        until(lambda: "running\n" in broker.stderr)
        with (
            ExitStack() as stack,
            viewer(folder.client("viewer"), "tandem/helmet/+/results") as results,
            tandem.start("run", "cloud", *config["worker"]) as worker,
        ):
            until(lambda: "u'viewer'" in broker.stderr)
            uplink = stack.enter_context(tandem.start(*edge))
            processes = (broker, worker, uplink)
            heard = [json.loads(results.get(timeout=60))]
            while len({result["seq"] for result in heard if result["final"]}) < len(SEQS):
                heard.append(json.loads(results.get(timeout=60)))
            until(lambda: balances(out.tally()) and out.tally()["pending"] == 0)
            commands = "".join(Path(f"/proc/{process.pid}/cmdline").read_text() for process in processes)
            for process in (uplink, worker):
                process.signal(signal.SIGTERM)
                assert process.ended().exit_code == 0, process.stderr
        said = "".join(process.stdout + process.stderr for process in processes) + made.stdout + made.stderr
    assert {result["seq"] for result in heard} == set(SEQS)
    assert {result["worker"] for result in heard if result["source"] == "cloud"} == {"worker"}
    assert "publish_refused" not in said
    seen = commands + said + "".join(file.read_bytes().decode("latin-1") for file in _written(out.folder))
    for secret in _secrets(folder.path):
        assert secret not in seen


def _written(out: Path) -> list[Path]:
    """Ledger, logs, labels and pictures."""
    return [file for file in out.rglob("*") if file.is_file()]


def _secrets(folder: Path) -> list[str]:
    passwords = [(folder / f"clients/{name}/password").read_text().strip() for name in ("edge", "worker")]
    options = (folder / "clients/viewer/mosquitto_sub").read_text().splitlines()
    (viewers,) = [line.removeprefix("-P ") for line in options if line.startswith("-P ")]
    keys = [file.read_text().splitlines()[1] for file in folder.rglob("*.key")]
    assert len(keys) >= 2
    return [*passwords, viewers, *keys]


def test_check_tells_a_worker_what_it_may_do_and_what_only_time_will_tell(tandem: Tandem) -> None:
    first, second = free_ports(2)
    ports = ("--port", str(first), "--shared-port", str(second), "--bind", "127.0.0.1")
    assert tandem("broker", "init", "b", *ports).exit_code == 0
    assert tandem("broker", "add", "b", "worker", "pool", "--shared").exit_code == 0
    clients = tandem.folder / "b/clients"
    with tandem.start("broker", "run", "b") as broker:
        until(lambda: "running\n" in broker.stderr)
        shared = tandem("check", "cloud", "--config", clients / "pool/tandem.yaml", "--set", "process=pod-7")
        taken = tandem("check", "cloud", "--config", clients / "pool/tandem.yaml", "--set", "process=worker")
        edge = tandem(
            *("check", "uplink", "--config", clients / "edge/tandem.yaml", "--set", "streams.yard.source=x.mp4")
        )
    assert shared.exit_code == 0, shared
    assert "ok    topic tandem/helmet/workers/pod-7" in shared.stdout
    assert "left  topic tandem/helmet/check/hard/pod-7 (others publish there" in shared.stdout
    for ran, topic in ((taken, "workers/worker"), (edge, "yard/results")):
        assert ran.exit_code == 2, ran
        lines = ran.stdout.splitlines()
        assert "allow writing it in the ACL" in lines[lines.index(f"WRONG topic tandem/helmet/{topic}") + 1]
