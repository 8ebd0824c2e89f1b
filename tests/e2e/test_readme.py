"""What the README shows, run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
import yaml

from broker.mosquitto import PrivateMosquitto
from pipeline.config import validated
from pipeline.schemas import result_schema
from pipeline.topics import Kind
from scripts import reference
from tests.conftest import ROOT
from tests.e2e.user import Ran, Tandem, draw_clip, listening
from tests.secured import free_ports

README = (ROOT / "README.md").read_text()


FITTED = "miner.model=gate.onnx"
"""What a replay names that goes by a miner which is fitted first."""


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands(of: str) -> list[str]:
    """The lines of shell blocks that call ``of``, without their comments."""
    lines = [line.partition(" #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith(of)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the videos and the config file that the README names."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("site", "gate", "yard"):
        draw_clip(folder / f"{name}.mp4", frames=12)
    (folder / "photos").mkdir()
    for number in range(1, 4):
        cv2.imwrite(str(folder / "photos" / f"{number}.jpg"), np.full((120, 160, 3), 40 * number, np.uint8))
    (folder / "labels").mkdir()
    (folder / "labels" / "1.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    return folder


@pytest.fixture(scope="module")
def broker(mosquitto: str) -> Iterator[PrivateMosquitto]:
    with PrivateMosquitto() as broker:
        yield broker


PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        env={**os.environ, "PATH": PATH},
    )


def form_of(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what is of this frame: its fields, the miner, and its words."""
    verdict = {name: result["verdict"][name] for name in ("miner", "hard", "audited")}
    reason = re.sub(r"[\d.]+", "N", result["verdict"]["reason"])
    steps, models, fields = (list(result[name]) for name in ("steps_ms", "models", "verdict"))
    shape = {"fields": list(result), "steps": steps, "models": models, "verdict": fields}
    return shape | {"said": verdict | {"reason": reason}, "ending": (result["ending"], result["source"])}


def started_and_stopped(line: str, folder: Path, started: str) -> Ran:
    """Run a command that goes on until SIGTERM; it gets one when it has said that it has started."""
    with Tandem(folder, "bash", "-c").start(f"exec {line}", env={"PATH": PATH}) as running:
        running.until(lambda: started in running.stderr)
        running.signal(signal.SIGTERM)
        return running.ended()


def test_the_reference_tables_are_what_the_code_says() -> None:
    missing = [
        row
        for rows in (reference.settings(), reference.miners(), reference.result_fields(), reference.metrics())
        for row in rows
        if row not in README
    ]
    assert not missing, "scripts/reference.py prints these rows"


def test_the_topic_table_names_every_topic() -> None:
    table = README[README.index("## Topics") : README.index("## Settings")]
    for kind in Kind:
        assert re.search(rf"/{kind}[`/]", table), kind


def test_the_result_shown_is_one() -> None:
    (shown,) = blocks("json")
    jsonschema.validate(json.loads(shown), result_schema())


def test_the_config_shown_is_one() -> None:
    (shown,) = blocks("yaml")
    config = validated(yaml.safe_load(shown))
    assert list(config.streams) == ["gate", "yard"]


@pytest.mark.mosquitto
@pytest.mark.parametrize("line", [line for line in commands("tandem replay") if FITTED not in line])
def test_the_replays_shown_run(line: str, folder: Path, mosquitto: str) -> None:
    done = shell(line, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ledger    balanced" in done.stdout
    assert ("budget    site: " in done.stdout) == ("budget=" in line)


@pytest.mark.shared
@pytest.mark.mosquitto
def test_the_miner_that_is_fitted_as_shown_runs(shared: Path, tmp_path: Path, mosquitto: str) -> None:
    for kind in ("images", "labels"):
        folder = tmp_path / ("photos" if kind == "images" else kind)
        folder.mkdir()
        for file in sorted((shared / "mining" / kind).iterdir())[:24]:
            (folder / file.name).symlink_to(file)
    (fit,) = commands("tandem mine fit")
    fitted = shell(f"{fit} --changes 0 --cache cache", tmp_path)
    assert fitted.returncode == 0, fitted.stdout + fitted.stderr
    assert re.search(r"Learned +│ +-?\d+ \(", fitted.stdout)
    (replay,) = [line for line in commands("tandem replay") if FITTED in line]
    done = shell(replay, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ledger    balanced" in done.stdout
    ledger = tmp_path / "learned" / "ledger.sqlite"
    assert b"of the pictures of gate.onnx" in ledger.read_bytes(), "the reason of a verdict"


@pytest.mark.parametrize("line", commands("tandem evaluate"))
def test_the_evaluations_shown_run(line: str, folder: Path) -> None:
    done = shell(f"{line} --cache cache", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mAP50: edge" in done.stdout


@pytest.mark.parametrize("line", commands("tandem tune"))
def test_the_tuning_shown_is_done(line: str, folder: Path) -> None:
    worth = "tandem evaluate site.mp4 --every 2 --cache cache --resamples 5 --report worth.json"
    for each in (worth, f"{line} --cache cache"):
        done = shell(each, folder)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "% of the gap in mAP50" in done.stdout
    assert validated(yaml.safe_load((folder / "tuned.yaml").read_text())).budget is not None


@pytest.mark.mosquitto
@pytest.mark.parametrize("line", commands("tandem drill"))
def test_the_drill_shown_runs(line: str, folder: Path, mosquitto: str) -> None:
    done = shell(line, folder)
    assert "pictures and ledger: identical" in done.stdout, done.stdout + done.stderr
    assert done.returncode == ("was never killed" in done.stdout)  # the clip is short


@pytest.fixture(scope="module")
def replayed(folder: Path, mosquitto: str) -> Path:
    """A folder with the outputs of the replays that the README shows before it exports them; all their frames hard."""
    (folder / "replayed").mkdir()
    for out, miner in (("out", "CloudOnly"), ("mined", "Random --set miner.random_ratio=0.5")):
        done = shell(
            f"tandem replay ../site.mp4 --every 1 --no-compare --out {out} --miner {miner}", folder / "replayed"
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "replayed"


@pytest.mark.mosquitto
@pytest.mark.parametrize("line", commands("tandem export"))
def test_the_exports_shown_run(line: str, replayed: Path) -> None:
    done = shell(line, replayed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^val +[1-9]", done.stdout, re.MULTILINE)


@pytest.mark.mosquitto
def test_the_demo_output_and_the_result_shown_are_those_of_a_replay(
    folder: Path, broker: PrivateMosquitto, mosquitto_sub: None
) -> None:
    (shown,) = blocks("text")
    easily = "--set miner.threshold=0.1 --set audit.share=0"  # the clip is short, and something is to be hard
    with listening(broker.port, "tandem/+/+/results") as listener:
        done = shell(f"tandem replay site.mp4 --out shown --every 2 {easily} --broker {broker.url}", folder)
        results = [json.loads(payload) for _, payload in listener.finish()]
    assert done.returncode == 0, done.stderr
    assert form_of(json.loads(blocks("json")[0])) in map(form_of, results)
    first_words = [
        line.split()[0] for line in done.stdout.splitlines() if line[:1].isalpha() and ":" not in line.split()[0]
    ]
    for word in first_words:
        assert re.search(rf"^{re.escape(word)}", shown, re.MULTILINE), word


def test_the_alarm_shown_is_raised_by_final_answers_that_miss_a_helmet(tmp_path: Path) -> None:
    (alarm,) = (line.partition(" | ")[2] for line in commands("mosquitto_sub") if " | grep" in line)
    result = json.loads(blocks("json")[0])
    safe = [box for box in result["boxes"] if box["class"] == "helmet_on"]
    said = [result, {**result, "final": False}, {**result, "boxes": safe}, {**result, "boxes": []}]
    (tmp_path / "said").write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in said))
    assert [json.loads(line) for line in shell(f"{alarm} <said", tmp_path).stdout.splitlines()] == [result]


@pytest.mark.mosquitto
def test_the_check_shown_runs(folder: Path, broker: PrivateMosquitto) -> None:
    (line,) = commands("tandem check")
    (shown,) = blocks("yaml")
    (folder / "edge.yaml").write_text(
        shown.replace("mqtt://broker.example:1883", broker.url)
        .replace("/video/yard.mp4", str(folder / "yard.mp4"))
        .replace("/data/helmet", str(folder / "data"))
    )
    done = shell(line, folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.mosquitto
@pytest.mark.parametrize("line", commands("tandem run"))
def test_the_runs_shown_start_and_stop(line: str, folder: Path, broker: PrivateMosquitto) -> None:
    test_the_check_shown_runs(folder, broker)
    command = line.replace("mqtt://broker.example:1883", broker.url)
    ran = started_and_stopped(command, folder, "stages_started")
    assert ran.exit_code == 0, ran
    assert "stages_stopped" in ran.stderr


@pytest.mark.mosquitto
def test_the_status_shown_is_asked_for(folder: Path, broker: PrivateMosquitto) -> None:
    plain, secured = commands("tandem status")
    done = shell(plain.replace("mqtt://broker.example:1883", broker.url), folder)
    assert done.returncode in {0, 1}, done.stderr
    assert f"on {broker.url}" in done.stdout
    assert secured.split()[:3] == ["tandem", "status", "--config"]  # test_status.py runs it


def test_the_sedna_shown_is_what_its_test_runs() -> None:
    (line,) = commands("tandem sedna")
    assert line.split() == ["tandem", "sedna", "service.yaml", "--models", "shipped"]  # test_sedna.py runs it
    (place,) = commands("mkdir -p tandem-nodes")
    assert place.split()[-1] == "tandem-nodes/joint_inference/video/video.mp4"


@pytest.mark.mosquitto
def test_the_secured_broker_shown_is_made_and_run(folder: Path, mosquitto: str) -> None:
    ports = dict(zip(("--port", "--certificate-port", "--shared-port"), free_ports(3), strict=True))
    options = " ".join(f"{name} {port}" for name, port in ports.items())
    lines = commands("tandem broker")
    assert len(lines) > 3
    for line in lines:
        if line.startswith("tandem broker init"):
            shutil.rmtree(folder / "site", ignore_errors=True)  # the manifests' broker is another one than the first
        if line.startswith("tandem broker run"):
            ran = started_and_stopped(line, folder, "running\n")
            assert ran.exit_code == 0, ran
        else:
            done = shell(line.replace("init site", f"init site {options}"), folder)
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("line", commands("scripts/"))
def test_the_scripts_shown_are_there(line: str) -> None:
    assert os.access(ROOT / line.split(maxsplit=1)[0], os.X_OK)
