"""A replay that is interrupted, or whose processes die: nothing is lost, and the same command goes on."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress

import cv2
import pytest

from pipeline.app.replay_run import DRAIN_S
from tests.e2e.user import SEQS, SETTINGS, STREAM, Out, Replay, Tandem, alive, balances, but_for_uploads, until

pytestmark = pytest.mark.mosquitto

SLOWLY = ("--pace", "real")
"""The clip takes two seconds, so that there is a middle."""


@pytest.fixture
def command(clip: object) -> tuple[str, ...]:
    """The replay that ``undisturbed`` did."""
    return ("replay", str(clip), "--out", "out", *SETTINGS)


@pytest.fixture
def out(tandem: Tandem) -> Out:
    """What it writes."""
    return Out(tandem.folder / "out")


def goes_on_as_if_undisturbed(
    tandem: Tandem, command: tuple[str, ...], out: Out, undisturbed: Replay, env: Mapping[str, str] | None = None
) -> None:
    """The same command again ends with the pictures and the ledger of an undisturbed replay."""
    ran = tandem(*command, env=env)
    assert ran.exit_code == 0, ran
    assert out.pictures() == undisturbed.out.pictures()
    assert but_for_uploads(out.rows()) == but_for_uploads(undisturbed.out.rows())
    assert but_for_uploads(out.streams()) == but_for_uploads(undisturbed.out.streams())
    assert out.parts() == []


def test_ctrl_c_leaves_complete_outputs_and_the_same_command_goes_on(
    tandem: Tandem, command: tuple[str, ...], out: Out, undisturbed: Replay
) -> None:
    with tandem.start(*command, *SLOWLY, "--report", "r.json") as replay:
        family = replay.in_the_middle(out)
        assert len(family) >= 3
        replay.signal(signal.SIGINT)
        ran = replay.ended()
    assert ran.exit_code == 130, ran
    assert "Ctrl-C again stops at once" in ran.stdout
    assert alive(family) == []
    tally = out.tally()
    assert balances(tally)
    assert 5 <= tally["admitted"] < len(SEQS)
    report = json.loads((tandem.folder / "r.json").read_text())
    assert {"stream": STREAM, **report["streams"][STREAM]} == tally
    assert out.seqs("all") == [row["seq"] for row in out.rows()] == list(SEQS[: tally["admitted"]])
    assert out.parts() == []
    assert cv2.VideoCapture(str(out.folder / "compare.webm")).grab()
    goes_on_as_if_undisturbed(tandem, command, out, undisturbed)


def test_a_closed_terminal_ends_it_as_ctrl_c_does(tandem: Tandem, command: tuple[str, ...], out: Out) -> None:
    ours, its = pty.openpty()
    code = f"""
import os
for number in range(3):  # who leads a session has the terminal that it opens first
    os.dup2(os.open({os.ttyname(its)!r}, os.O_RDWR), number)
from pipeline.__main__ import main
main()
"""
    os.set_blocking(ours, False)

    def shown() -> None:
        with suppress(BlockingIOError):
            os.read(ours, 1 << 16)

    temporary = tandem.folder / "temporary"
    temporary.mkdir()
    env = {"TMPDIR": str(temporary), "TERM": "xterm"}
    started = Tandem(tandem.folder, sys.executable, "-c", code)
    with started.start(*command, *SLOWLY, "--no-compare", "--report", "r.json", env=env) as replay:
        replay.until(lambda: (shown(), len(out.seqs("all")) >= 5)[1])
        family = replay.family()
        os.close(ours)
        os.close(its)
        assert replay.ended().exit_code == 130
    assert alive(family) == []
    assert list(temporary.iterdir()) == []
    tally = out.tally()
    assert balances(tally)
    assert 5 <= tally["admitted"] < len(SEQS)
    assert json.loads((tandem.folder / "r.json").read_text())["streams"][STREAM]["admitted"] == tally["admitted"]


@pytest.mark.parametrize("module", ["typer", "pipeline.app.replay"])
def test_ctrl_c_while_it_loads_ends_it_without_a_word(tandem: Tandem, module: str) -> None:
    code = f"""
import os, signal, sys

class Pressed:
    def find_spec(name, path, target=None):
        if name == "{module}":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Pressed)
from pipeline.__main__ import main
main()
"""
    ran = Tandem(tandem.folder, sys.executable, "-c", code)("replay", "gone.mp4")
    assert (ran.exit_code, ran.stdout, ran.stderr) == (130, "", "")


def test_a_second_ctrl_c_stops_at_once(tandem: Tandem, command: tuple[str, ...], out: Out) -> None:
    with tandem.start(*command, *SLOWLY) as replay:
        family = replay.in_the_middle(out, pictures=2)
        replay.child("sink").suspend()  # local work will never end
        replay.signal(signal.SIGINT)
        until(lambda: "Ctrl-C again stops at once" in replay.stdout)
        replay.signal(signal.SIGINT)
        ran = replay.ended(DRAIN_S - 1)  # by itself it would stop after this time
    assert ran.exit_code == 130, ran
    assert "Traceback" not in ran.stderr
    assert alive(family) == []


def test_when_the_replay_is_killed_its_processes_end_by_themselves(
    tandem: Tandem, command: tuple[str, ...], out: Out, undisturbed: Replay
) -> None:
    temporary = tandem.folder / "temporary"
    temporary.mkdir()
    env = {"TMPDIR": str(temporary)}
    with tandem.start(*command, *SLOWLY, env=env) as replay:
        family = replay.in_the_middle(out)
        replay.signal(signal.SIGKILL)
        replay.ended()
        until(lambda: not alive(family))
    (left,) = temporary.iterdir()
    goes_on_as_if_undisturbed(tandem, command, out, undisturbed, env)
    assert not left.exists()


def test_when_everything_is_killed_while_the_cloud_is_unreachable_the_same_command_goes_on(
    tandem: Tandem, command: tuple[str, ...], out: Out, undisturbed: Replay
) -> None:
    with tandem.start(*command, *SLOWLY) as replay:
        family = replay.in_the_middle(out, pictures=3)
        replay.child("cloud").suspend()
        until(lambda: len(out.seqs("all")) >= len(SEQS) // 2)
        for process in family:
            process.kill()
        replay.signal(signal.SIGKILL)
        replay.ended()
        until(lambda: not alive(family))
    assert list((out.folder / "outbox").glob("*.jpeg"))
    goes_on_as_if_undisturbed(tandem, command, out, undisturbed)
    assert not list((out.folder / "outbox").glob("*.jpeg"))


def test_when_the_edge_is_killed_the_replay_says_so_and_the_same_command_goes_on(
    tandem: Tandem, command: tuple[str, ...], out: Out, undisturbed: Replay
) -> None:
    with tandem.start(*command, *SLOWLY) as replay:
        family = replay.in_the_middle(out)
        replay.child("sink").kill()
        ran = replay.ended()
        assert ran.exit_code == 1, ran
        assert "edge" in ran.error
        assert "killed by SIGKILL" in ran.error
        assert "same command again" in ran.error
        assert alive(family) == []
    goes_on_as_if_undisturbed(tandem, command, out, undisturbed)


def test_when_the_worker_is_killed_it_is_started_again_and_nothing_fails(
    tandem: Tandem, command: tuple[str, ...], out: Out, undisturbed: Replay
) -> None:
    with tandem.start(*command, *SLOWLY, "--report", "r.json") as replay:
        replay.in_the_middle(out)
        replay.child("cloud").kill()
        ran = replay.ended()
    assert ran.exit_code == 0, ran
    assert "worker-1 was killed by SIGKILL; it is started again" in ran.stdout
    report = json.loads((tandem.folder / "r.json").read_text())
    assert report["balanced"] is True
    assert report["streams"] == undisturbed.report["streams"]
    assert out.pictures() == undisturbed.out.pictures()


def test_when_the_private_broker_is_killed_it_is_started_again_and_nothing_is_lost(
    tandem: Tandem, command: tuple[str, ...], out: Out, undisturbed: Replay
) -> None:
    with tandem.start(*command, *SLOWLY) as replay:
        (mosquitto,) = [child for child in replay.in_the_middle(out) if child.name() == "mosquitto"]
        mosquitto.kill()
        ran = replay.ended()
    assert ran.exit_code == 0, ran
    assert "the broker ended; it is started again" in ran.stdout
    assert out.pictures() == undisturbed.out.pictures()
    assert [row["ending"] for row in out.rows()] == [row["ending"] for row in undisturbed.out.rows()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_during_the_compare_video_keeps_the_report_and_the_same_command_makes_it(
    tandem: Tandem, command: tuple[str, ...], out: Out, undisturbed: Replay, number: signal.Signals
) -> None:
    shutil.copytree(undisturbed.out.folder, out.folder)
    video = out.folder / "compare.webm"
    video.unlink()
    code = f"""
import os
from pipeline.app import outcome

write_compare = outcome.write_compare

def stopped(*args, progress):
    def told(frames):
        if frames == 2:
            os.kill(os.getpid(), {int(number)})
        progress(frames)
    return write_compare(*args, progress=told)

outcome.write_compare = stopped
from pipeline.__main__ import main
main()
"""
    ran = Tandem(tandem.folder, sys.executable, "-c", code)(*command, "--report", "r.json")
    assert ran.exit_code == 130, ran
    assert ran.stderr == ""
    assert "ledger    balanced" in ran.stdout
    assert ran.stdout.endswith("interrupted: the same command goes on from here\n")
    assert json.loads((tandem.folder / "r.json").read_text())["streams"] == undisturbed.report["streams"]
    assert not [path.name for path in out.folder.iterdir() if "compare" in path.name]
    again = tandem(*command)
    assert again.exit_code == 0, again
    assert "mosquitto_sub" not in again.stdout
    assert video.read_bytes() == (undisturbed.out.folder / "compare.webm").read_bytes()
