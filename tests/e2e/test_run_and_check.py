"""``tandem run`` as a service does it, and ``tandem check`` as an installer does it."""

from __future__ import annotations

import contextlib
import getpass
import json
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from broker.mosquitto import PrivateMosquitto, _free_port, find_mosquitto
from tests.e2e.user import SEQS, STREAM, Out, Replay, Tandem, balances, listening, until

pytestmark = [pytest.mark.mosquitto, pytest.mark.usefixtures("mosquitto_sub")]

EDGE = ("reader", "detector", "miner", "uplink", "sink")
EVERYTHING = (*EDGE, "cloud")


def settings(tandem: Tandem, source: Path | str, port: int, **sections: object) -> tuple[str, str]:
    """A config file as a service has it, and the option that names it."""
    config = {
        "streams": {STREAM: {"source": str(source), "every": 2}},
        "broker": {"url": f"mqtt://127.0.0.1:{port}"},
        "miner": {"name": "IBT", "threshold_img": "0.7"},
        "sink": {"out": "out"},
        **sections,
    }
    (tandem.folder / "tandem.yaml").write_text(yaml.safe_dump(config))
    return "--config", "tandem.yaml"


def test_it_starts_before_broker_and_source_and_a_file_that_is_done_stays_done(clip: Path, tandem: Tandem) -> None:
    port, source = _free_port(), tandem.folder / "later.mp4"
    command = ("run", *EVERYTHING, *settings(tandem, source, port))
    out = Out(tandem.folder / "out")
    with tandem.start(*command) as running:
        until(lambda: "refuses connections" in running.stderr)
        with PrivateMosquitto(port), listening(port, "tandem/+/+/state") as listener:
            waiting = listener.state(lambda state: state["status"] == "retrying")
            assert "later.mp4 does not exist; check the path" in waiting["reason"]
            part = Path(shutil.copy(clip, tandem.folder / "later.part"))
            part.rename(source)
            ended = listener.state(lambda state: state["status"] == "ended" and state["tally"]["pending"] == 0)
            assert ended["tally"]["cloud"] > 0
            assert ended["tally"]["easy"] + ended["tally"]["cloud"] == ended["tally"]["admitted"] == len(SEQS)
            running.signal(signal.SIGTERM)
            ran = running.ended()
            assert ran.exit_code == 0, ran
            assert out.seqs("all") == list(SEQS)
            assert out.parts() == []
            rows = out.rows(times=True)
            with tandem.start(*command) as again:
                until(lambda: "stages_started" in again.stderr)
                # The retained state of the run before comes first.
                listener.state(lambda state: state["status"] == "opening")
                done = listener.state(lambda state: state["status"] == "ended" and state["tally"]["pending"] == 0)
                assert done["tally"] == ended["tally"]
                again.signal(signal.SIGTERM)
                assert again.ended().exit_code == 0
            assert out.rows(times=True) == rows


def test_after_sigterm_it_does_not_wait_for_the_cloud(clip: Path, tandem: Tandem, broker: PrivateMosquitto) -> None:
    out = Out(tandem.folder / "out")
    command = ("run", *EDGE, *settings(tandem, clip, broker.port, miner={"name": "CloudOnly"}))
    topics = ("tandem/+/+/state", "tandem/+/stages/+")
    with listening(broker.port, *topics) as listener, tandem.start(*command) as running:
        listener.state(lambda state: state["tally"]["pending"] == len(SEQS))
        running.signal(signal.SIGTERM)
        ran = running.ended()
    assert ran.exit_code == 0, ran
    assert "drain_incomplete" not in ran.stderr, "it has waited, and given up"
    # The log's lines are of the process that the broker knows.
    logged = {json.loads(line)["process"] for line in ran.stderr.splitlines() if line.startswith("{")}
    assert logged == {topic.split("/")[-1] for topic, _ in listener.heard if "/stages/" in topic}
    tally = out.tally()
    assert balances(tally)
    assert tally["pending"] == len(SEQS)
    assert out.seqs("all") == out.seqs("hard_edge") == list(SEQS)
    assert out.parts() == []


def test_an_edge_that_is_killed_twice_without_a_worker_has_every_hard_frame_answered_later(
    clip: Path, tandem: Tandem, broker: PrivateMosquitto, undisturbed: Replay
) -> None:
    out, options = Out(tandem.folder / "out"), settings(tandem, clip, broker.port)
    hard = sum(row["hard"] or row["audited"] for row in undisturbed.out.rows())
    with listening(broker.port, "tandem/+/+/state") as listener:
        for admitted in (len(SEQS) // 2, len(SEQS)):
            with tandem.start("run", *EDGE, *options) as edge:
                until(lambda: "stages_started" in edge.stderr)
                listener.state(lambda state: state["status"] == "opening")
                listener.state(lambda state, admitted=admitted: len(out.seqs("all")) >= admitted)  # type: ignore[misc]
                edge.signal(signal.SIGKILL)
                edge.ended()
        assert len(list((out.folder / "outbox").glob("*.jpeg"))) == hard > 0
        with tandem.start("run", *EDGE, *options) as edge, tandem.start("run", "cloud", *options):
            until(lambda: "stages_started" in edge.stderr)
            listener.state(lambda state: state["status"] == "opening")
            listener.state(lambda state: state["status"] == "ended" and state["tally"]["pending"] == 0)
            edge.signal(signal.SIGTERM)
            assert edge.ended().exit_code == 0
    endings = [row["ending"] for row in out.rows()]
    assert endings == [row["ending"] for row in undisturbed.out.rows()]
    assert endings.count("cloud") == hard
    expected = {path: content for path, content in undisturbed.out.pictures().items() if path != "compare.webm"}
    assert out.pictures() == expected


def test_stages_on_both_sides_of_a_broker_find_each_other_and_say_goodbye(
    clip: Path, tandem: Tandem, broker: PrivateMosquitto
) -> None:
    options = settings(tandem, clip, broker.port)
    with (
        listening(broker.port, "tandem/+/+/state", "tandem/+/workers/+", "tandem/+/stages/+") as listener,
        tandem.start("run", "cloud", *options, "--set", "process=big") as cloud,
        tandem.start("run", *EDGE, *options, "--set", "process=gateway") as edge,
    ):
        ended = listener.state(lambda state: state["status"] == "ended" and state["tally"]["pending"] == 0)
        assert ended["tally"]["cloud"] > 0
        for running in (edge, cloud):
            running.signal(signal.SIGTERM)
            assert running.ended().exit_code == 0
        heard = listener.finish()
    last = dict(heard)
    assert json.loads(last["tandem/helmet/workers/big"])["gone"] is True
    for name, stages in (("gateway", list(EDGE)), ("big", ["cloud"])):
        state = json.loads(last[f"tandem/helmet/stages/{name}"])
        assert (state["online"], state["stages"]) == (False, stages)


def test_a_reader_needs_a_stream(tandem: Tandem) -> None:
    ran = tandem("run", "reader")
    assert ran.exit_code == 2
    remedy = "there is nothing to read: name a source, e.g. streams.gate.source=rtsp://..."
    assert ran.error == f"streams: {remedy}"
    checked = tandem("check", "reader", "--set", "broker.url=mqtt://127.0.0.1:1")
    assert checked.exit_code == 2
    assert remedy in checked.stdout


def test_check_says_ok_of_everything(clip: Path, tandem: Tandem, broker: PrivateMosquitto) -> None:
    ran = tandem("check", *settings(tandem, clip, broker.port))
    assert ran.exit_code == 0, ran
    lines = ran.stdout.splitlines()
    assert [line for line in lines if not line.startswith("ok ")] == []
    tried = ("config", f"source of {STREAM}", "detector: little", "miner: IBT", "cloud: big", "outbox: out/outbox")
    for what in (*tried, "broker: mqtt://"):
        assert any(what in line for line in lines), what
    for topic in ("results", "stored", "state", "hard/check", "results/cloud"):
        assert f"ok    topic tandem/helmet/{STREAM}/{topic}" in lines
    (stages,) = [line for line in lines if "/stages/" in line]  # the process's own topic, once
    assert re.fullmatch(r"ok    topic tandem/helmet/stages/[a-z0-9-]+", stages)
    assert not (tandem.folder / "out").exists()


def test_check_says_of_each_thing_what_is_wrong_and_what_to_do(tandem: Tandem) -> None:
    (tandem.folder / "text.onnx").write_text("no model")
    (tandem.folder / "out").touch()
    wrong = {
        "detector": {"model": "text.onnx"},
        "cloud": {"model": "gone.onnx"},
        "miner": {"name": "IBT", "treshold_img": 1},
    }
    ran = tandem("check", *settings(tandem, "gone.mp4", 1, **wrong))
    assert ran.exit_code == 2, ran
    lines = ran.stdout.splitlines()
    remedies = {line: lines[i + 1].strip() for i, line in enumerate(lines) if line.startswith("WRONG")}
    expected = {
        f"source of {STREAM}": "gone.mp4 does not exist; check the path",
        "detector: text.onnx": "export it as ONNX, or copy it again",
        "cloud: gone.onnx": "name an ONNX file, or one of the shipped models",
        "miner: IBT": "did you mean 'threshold_img'?",
        "outputs: out": "out is no folder that we may write (Not a directory): choose another, or make it writable",
        "broker: mqtt://127.0.0.1:1": "Start it, or correct broker.url",
    }
    assert len(remedies) == len(expected), "what stops all outputs is said once"
    for what, remedy in expected.items():
        assert [words for line, words in remedies.items() if what in line and remedy in words], (what, remedies)


def test_check_does_not_call_a_camera_ok_that_it_has_not_tried(tandem: Tandem) -> None:
    ran = tandem("check", "reader", "--set", "streams.gate.source=rtsp://127.0.0.1:9/gate")
    assert "left  source of gate: rtsp://127.0.0.1:9/gate (a camera is not tried here" in ran.stdout


def test_check_keeps_passwords_to_itself(tandem: Tandem) -> None:
    camera = "streams.{}.source=rtsp://admin:hunter2@{}/gate"
    cameras = ("--set", camera.format("gate", "127.0.0.1:9"), "--set", camera.format("yard", "[::1"))
    for broker in ("mqtt://guard:hunter2@127.0.0.1:1", "here://guard:hunter2@127.0.0.1:1"):
        ran = tandem("check", "reader", *cameras, "--set", f"broker.url={broker}")
        assert ran.exit_code == 2, ran
        for shown in ("source of gate: rtsp://127.0.0.1:9/gate", "'rtsp://[::1/gate' is no URL", "127.0.0.1:1"):
            assert shown in ran.stdout
        assert "hunter2" not in ran.stdout + ran.stderr


@contextmanager
def with_acl(folder: Path, *lines: str) -> Iterator[int]:
    """A Mosquitto that denies all topics but those of these lines."""
    (folder / "acl").write_text("\n".join(lines) + "\n")
    port = _free_port()
    # As root, Mosquitto would become a user who may not look into this folder.
    config = (f"user {getpass.getuser()}", f"listener {port} 127.0.0.1", "allow_anonymous true")
    (folder / "mosquitto.conf").write_text("\n".join((*config, f"acl_file {folder}/acl\n")))
    command = [find_mosquitto(), "-c", str(folder / "mosquitto.conf")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: process.poll() is not None or _answers(port))
            yield port
        finally:
            process.terminate()


def test_check_finds_the_topic_that_an_acl_denies(clip: Path, tandem: Tandem, tmp_path: Path) -> None:
    allowed = ["state", "stored", "hard/+", "results/cloud", "progress"]
    acl = [f"topic readwrite tandem/helmet/+/{kind}" for kind in allowed]
    acl += [f"topic readwrite tandem/helmet/{kind}/+" for kind in ("workers", "stages")]
    with with_acl(tmp_path, *acl) as port:
        ran = tandem("check", *EDGE, *settings(tandem, clip, port))
    assert ran.exit_code == 2, ran
    lines = ran.stdout.splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.startswith("WRONG")]
    assert lines[at] == f"WRONG topic tandem/helmet/{STREAM}/results"
    assert "publishing is refused (Not authorized): allow writing it in the ACL" in lines[at + 1]
    assert f"ok    topic tandem/helmet/{STREAM}/stored" in lines


def test_check_finds_the_topic_that_an_acl_lets_nobody_read(tandem: Tandem, tmp_path: Path) -> None:
    with with_acl(tmp_path, "topic readwrite #") as port:
        ran = tandem("check", "cloud", *settings(tandem, "gone.mp4", port), "--set", "process=w")
        assert ran.exit_code == 0, ran
    with with_acl(tmp_path, "topic write tandem/helmet/#") as port:
        ran = tandem("check", "cloud", *settings(tandem, "gone.mp4", port), "--set", "process=w")
    assert ran.exit_code == 2, ran
    lines = ran.stdout.splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.startswith("WRONG")]
    assert lines[at] == f"WRONG topic tandem/helmet/{STREAM}/hard/w"
    assert "did not come back: allow reading it in the ACL" in lines[at + 1]


def _answers(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=60):
        return True
    return False


def test_with_anew_another_config_sets_the_outputs_aside_and_begins_anew(clip: Path, tandem: Tandem) -> None:
    port, out = _free_port(), Out(tandem.folder / "out")
    command = ("run", *EVERYTHING, *settings(tandem, clip, port), "--set", "cloud.model=little")
    with PrivateMosquitto(port):
        for options in ((), ("--anew",)):  # with the same config there is nothing to set aside
            with tandem.start(*command, *options), listening(port, "tandem/+/+/state") as listener:
                listener.state(lambda state: state["status"] == "ended" and state["tally"]["pending"] == 0)
            assert not list(tandem.folder.rglob("*.before-*"))
        before = out.tally(STREAM)
        other = (*command, "--set", "miner.threshold_img=0")
        refused = tandem(*other)
        assert (refused.exit_code, "made with other settings (miner.threshold_img: " in refused.error) == (2, True)
        with tandem.start(*other, "--anew") as running:
            until(lambda: "begins_anew" in running.stderr and out.seqs("all") == list(SEQS))
            until(lambda: balances(out.tally(STREAM)) and out.tally(STREAM)["admitted"] == len(SEQS))
    (kept,) = (tandem.folder / "out").glob("ledger.sqlite.before-*Z")
    with contextlib.closing(sqlite3.connect(kept)) as connection:
        (cloud,) = connection.execute("SELECT cloud FROM streams").fetchone()
    assert cloud == before["cloud"] > 0
    (pictures,) = (tandem.folder / "out").glob("all.before-*")
    assert len(list(pictures.iterdir())) == len(SEQS)
