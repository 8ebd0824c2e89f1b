"""``tandem drill``: real processes are killed, and what they leave is compared with an undisturbed replay."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from tests.e2e.refused import refused
from tests.e2e.user import Out, Tandem, alive, draw_clip, until

pytestmark = pytest.mark.mosquitto

SETTINGS = ("--sample", "2", "--set", "miner.name=IBT", "--set", "miner.threshold_img=0.7")
"""About half of the drawn clip's frames are hard with these."""

SLOWLY = ("--pace", "real")
"""Its own time is long enough for a middle."""


def test_whatever_is_killed_the_outputs_are_those_of_an_undisturbed_replay(
    tandem: Tandem, tmp_path: Path, mosquitto: str
) -> None:
    clip = draw_clip(tmp_path / "gate.mp4", frames=264)
    # A kill every three seconds leaves a slow machine time to go on between them; each victim has its turn in eleven.
    options = ("--every", "3s", "--sample", "4", "--set", "cloud.model=little", "--report", "r.json")
    ran = tandem("drill", clip, *SETTINGS[2:], *SLOWLY, *options, timeout_s=250)
    assert ran.exit_code == 0, ran
    assert "identical but for times and names" in ran.stdout
    report = json.loads((tandem.folder / "r.json").read_text())
    assert report["passed"]
    assert min(report["kills"].values()) >= 1
    assert sum(report["kills"].values()) == ran.stdout.count("kill -9 ") - 1
    undisturbed, drilled = (Out(tandem.folder / "tandem-drill" / name) for name in ("undisturbed", "drilled"))
    assert len(drilled.seqs("all")) == 66
    assert drilled.seqs("hard_cloud")
    assert drilled.pictures() == undisturbed.pictures()
    assert drilled.tally()["pending"] == 0


def test_a_difference_is_found_and_who_was_never_killed_is_named(tandem: Tandem, clip: Path, mosquitto: str) -> None:
    with tandem.start("drill", clip, "--kill", "edge,worker", "--every", "1m", *SETTINGS, *SLOWLY) as drill:
        until(lambda: "drilled: " in drill.stdout or not drill.is_running())
        picture = tandem.folder / "tandem-drill" / "undisturbed" / "all" / "1.jpeg"
        picture.write_bytes(picture.read_bytes() + b"\0")
        ran = drill.ended()
    assert ran.exit_code == 1, ran
    assert re.findall(r"^differs +(.*)$", ran.stdout, re.MULTILINE) == ["gate all/1.jpeg: other bytes"]
    failed = re.findall(r"^failed +(\w+: was never killed)", ran.stdout, re.MULTILINE)
    assert failed == ["edge: was never killed", "worker: was never killed"]
    assert "identical" not in ran.stdout


def test_ctrl_c_leaves_no_process_behind(tandem: Tandem, clip: Path, mosquitto: str) -> None:
    with tandem.start("drill", clip, *SETTINGS, *SLOWLY) as drill:
        family = drill.in_the_middle(Out(tandem.folder / "tandem-drill" / "drilled"), pictures=2)
        drill.signal(signal.SIGINT)
        ran = drill.ended()
    assert ran.exit_code == 130, ran
    assert alive(family) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("gate.mp4", "--kill", "cloud"), "--kill: 'cloud' is none"),
        (("gate.mp4", "--every", "soon"), "--every: 'soon' is no time"),
        ((), "VIDEO"),
        (("rtsp://camera.example/gate",), "a camera shows other frames each time"),
    ],
)
def test_a_wrong_call_starts_nothing(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    ran = refused(tmp_path, "drill", *words)
    assert ran.exit_code == 2, ran
    assert said in ran.error
    assert not (tmp_path / "tandem-drill").exists()
