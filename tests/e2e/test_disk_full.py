"""A disk that fills up, on a real file system of a few hundred kilobytes: the source waits, says so, and goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from broker.mosquitto import PrivateMosquitto
from tests.e2e.user import SEQS, SETTINGS, STREAM, Out, Replay, Tandem, balances, listening

pytestmark = [pytest.mark.mosquitto, pytest.mark.usefixtures("mosquitto_sub")]

EVERYTHING = ("reader", "detector", "miner", "uplink", "sink", "cloud")
ROOM = 220 << 10
"""What the disk has left, bytes: the ledger opens in it, and a few of the 24 frames fit beside that."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system of its own, most of it taken by a file that can be removed."""

    folder: Path

    @property
    def free(self) -> int:
        """What is left, bytes."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_bsize

    def fill(self, room: int) -> None:
        """Leave so much, bytes."""
        with (self.folder / "ballast").open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, self.free - room)

    def make_room(self) -> None:
        """Remove what took the room."""
        (self.folder / "ballast").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A tmpfs of 16 MiB, which is mounted for this test alone."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tandem-test", str(folder)]
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    if (tried := subprocess.run(mount, capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"needs the right to mount: {tried.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def is_refused(state: dict[str, Any]) -> bool:
    """Whether a state says in plain words that the source waits for the disk."""
    # It depends on moments whether a picture or the ledger is refused first.
    said = re.compile(r"(No space left on device|database or disk is full|disk I/O error); make room on its disk")
    return state["status"] == "waiting" and all(said.search(state[field]) for field in ("waiting", "reason"))


def assert_whole(out: Out) -> None:
    """Every picture decodes to the clip's size, and nothing half-written lies about."""
    pictures = sorted(out.folder.rglob("*.jpeg"))
    assert pictures
    for path in pictures:
        picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None, path
        assert picture.shape == (240, 320, 3), path
    assert out.parts() == []


def test_a_replay_waits_for_room_and_then_ends_as_if_nothing_was(
    tandem: Tandem, clip: Path, disk: Disk, broker: PrivateMosquitto, undisturbed: Replay
) -> None:
    disk.fill(ROOM)
    out = Out(disk.folder / "out")
    command = ("replay", clip, "--out", out.folder, "--broker", broker.url, *SETTINGS)
    with listening(broker.port, "tandem/+/+/state") as listener, tandem.start(*command) as replay:
        refused = listener.state(is_refused, replay)
        assert refused["tally"]["admitted"] < len(SEQS)
        admitted = refused["tally"]["admitted"]
        assert_whole(out)
        assert balances(out.tally())
        assert out.tally()["admitted"] <= admitted
        disk.make_room()
        listener.state(lambda state: not state["waiting"], replay)
        ran = replay.ended()
    assert ran.exit_code == 0, ran
    assert_whole(out)
    assert out.pictures() == undisturbed.out.pictures()
    assert out.rows() == undisturbed.out.rows()
    said = [line["event"] for line in out.log("edge")]
    assert said.count("disk_takes_again") == 1


def test_a_replay_that_finds_no_room_at_all_names_the_disk_and_starts_nothing(
    tandem: Tandem, clip: Path, disk: Disk
) -> None:
    disk.fill(0)
    ran = tandem("replay", clip, "--out", disk.folder / "out")
    assert ran.exit_code == 1, ran
    assert ran.error == (
        f"{disk.folder}/out has no room to begin (No space left on device): make room on its disk, or choose another "
        "--out"
    )
    assert "join with" not in ran.stdout
    assert not list((disk.folder / "out/logs").iterdir())


def service(tandem: Tandem, clip: Path, out: Out, broker: PrivateMosquitto) -> tuple[str, ...]:
    """``tandem run`` of everything in one process."""
    config = {
        "streams": {STREAM: {"source": str(clip), "every": 2}},
        "broker": {"url": broker.url},
        "miner": {"name": "IBT", "threshold_img": "0.7"},
        "sink": {"out": str(out.folder)},
    }
    (tandem.folder / "tandem.yaml").write_text(yaml.safe_dump(config))
    return ("run", *EVERYTHING, "--config", "tandem.yaml")


def test_a_service_that_is_stopped_or_killed_meanwhile_says_what_is_left_and_the_next_one_finishes(
    tandem: Tandem, clip: Path, disk: Disk, broker: PrivateMosquitto, undisturbed: Replay
) -> None:
    out = Out(disk.folder / "out")
    command = service(tandem, clip, out, broker)
    disk.fill(ROOM)
    with listening(broker.port, "tandem/+/+/state") as listener:
        with tandem.start(*command) as running:
            listener.state(is_refused, running)
            running.signal(signal.SIGTERM)
            ran = running.ended()
        assert ran.exit_code == 0, ran
        assert ran.stderr.count('"event": "disk_refuses"') == 1
        assert '"event": "not_stored"' in ran.stderr
        assert "start again when there is room: a file goes on from there" in ran.stderr
        assert balances(out.tally())
        assert_whole(out)
        with tandem.start(*command) as killed:
            killed.until(lambda: "waits_for_room" in killed.stderr or "disk_refuses" in killed.stderr)
            killed.signal(signal.SIGKILL)
            killed.ended()
        (out.folder / "all" / ".1.jpeg.part").write_bytes(b"")
        with tandem.start(*command) as last:
            last.until(lambda: "waits_for_room" in last.stderr or "disk_refuses" in last.stderr)
            disk.make_room()
            listener.state(lambda state: state["status"] == "ended" and state["tally"]["pending"] == 0, last)
            last.signal(signal.SIGTERM)
            assert last.ended().exit_code == 0
    assert_whole(out)
    # One process has other threads for its models than several have: boxes differ in the last digit.
    assert set(out.pictures()) == {name for name in undisturbed.out.pictures() if not name.endswith(".webm")}
    assert [row["ending"] for row in out.rows()] == [row["ending"] for row in undisturbed.out.rows()]
    assert balances(out.tally())
