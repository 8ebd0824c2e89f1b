"""What every end-to-end test may ask for: the command, a clip, a broker, and replays that many tests look at."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.mosquitto import PrivateMosquitto
from tests.e2e.user import SETTINGS, Out, Replay, Tandem, draw_clip, listening


@pytest.fixture(scope="session")
def mosquitto_sub(mosquitto: str) -> None:
    """Mosquitto's clients. Missing ones skip locally and fail in CI."""
    if shutil.which("mosquitto_sub") is None:
        reason = "needs Mosquitto's clients: apt-get install mosquitto-clients"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture
def tandem(tmp_path: Path) -> Tandem:
    """The command, in the test's own folder."""
    return Tandem(tmp_path)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of drawn figures, in which the models see something."""
    return draw_clip(tmp_path_factory.mktemp("clip") / "gate.mp4")


@pytest.fixture
def broker(mosquitto: str) -> Iterator[PrivateMosquitto]:
    """A broker of the test's own."""
    with PrivateMosquitto() as private:
        yield private


@pytest.fixture(scope="session")
def running_broker(mosquitto: str) -> Iterator[PrivateMosquitto]:
    """A broker that runs all the time: who comes second finds what the first has left on it."""
    with PrivateMosquitto() as private:
        yield private


@pytest.fixture(scope="session")
def replays() -> list[Replay]:
    """The replays over ``running_broker`` up to now; what that retains is of the last one."""
    return []


@pytest.fixture(scope="session")
def undisturbed(
    running_broker: PrivateMosquitto,
    replays: list[Replay],
    mosquitto_sub: None,
    clip: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Replay:
    """The drawn clip over a broker of ours, with ``mosquitto_sub`` there from before the start."""
    replays.append(_replay(tmp_path_factory.mktemp("undisturbed"), clip, running_broker))
    return replays[-1]


@pytest.fixture(scope="session")
def split(
    undisturbed: Replay,
    running_broker: PrivateMosquitto,
    replays: list[Replay],
    clip: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Replay:
    """The same again over the same broker, with every stage in a process of its own."""
    replays.append(_replay(tmp_path_factory.mktemp("split"), clip, running_broker, "--split"))
    return replays[-1]


def _replay(folder: Path, clip: Path, broker: PrivateMosquitto, *options: str) -> Replay:
    command = ("replay", clip, "--out", "out", "--report", "report.json", "--broker", broker.url)
    with listening(broker.port, "tandem/+/+/results") as listener:
        ran = Tandem(folder)(*command, *SETTINGS, *options)
        assert ran.exit_code == 0, ran
        report = json.loads((folder / "report.json").read_text())
        return Replay(ran, Out(folder / "out"), report, listener.finish())
