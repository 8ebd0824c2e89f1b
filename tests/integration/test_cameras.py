"""Cameras and remote files over real connections that hang, end, break and come back."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.errors import SourceError
from stages.intake import Intake, Pace, Taken
from stages.source import Ended, Passed, VideoSource, every_frame
from stages.sources import capture
from stages.sources.address import parse_source
from stages.sources.factory import check_source, make_source
from stages.sources.reach import reach
from stages.sources.sampling import Every
from tests.cameras import MjpegCamera, RtspServer, file_server

PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def short_time_outs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "TIMEOUT_MS", 1000)
    monkeypatch.setattr("stages.intake.RETRY_S", (0.05, 0.1))


@pytest.fixture
def camera() -> Iterator[MjpegCamera]:
    with MjpegCamera() as made:
        yield made


class Watcher:
    """Takes from a source as a reader does, and keeps what it gave."""

    def __init__(self, source: VideoSource) -> None:
        self.intake = Intake(source, "gate", time.monotonic, Pace.MAX)
        self.seqs: list[int] = []
        self.counted = 0
        self.failures: list[str] = []
        self.end: Ended | None = None
        self.intake.start(1, every_frame)

    def until(self, done: Callable[[], bool]) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < until_s, (self.seqs[-3:], self.failures)
            self._take()
            time.sleep(0.001)

    def frames(self, more: int) -> None:
        """Wait for so many more."""
        before = len(self.seqs)
        self.until(lambda: len(self.seqs) >= before + more)

    def failure(self) -> str:
        """Wait for the next failure."""
        before = len(self.failures)
        self.until(lambda: len(self.failures) > before)
        return self.failures[-1]

    def _take(self) -> None:
        try:
            got = self.intake.take(time.monotonic())
        except SourceError as error:
            self.failures.append(str(error))
            return
        match got:
            case Taken():
                self.seqs.append(got.picture.seq)
                self.counted += got.picture.passed.count + 1
            case Passed():
                self.counted += got.count
            case Ended():
                self.end = got
                self.counted += got.passed.count


@pytest.fixture
def watch() -> Iterator[Callable[[str], Watcher]]:
    made: list[Watcher] = []

    def start(url: str, every: int = 1) -> Watcher:
        made.append(Watcher(make_source(parse_source(url), Every(every))))
        return made[-1]

    yield start
    for one in made:
        one.intake.close()


def rising(seqs: list[int]) -> bool:
    return all(a < b for a, b in itertools.pairwise(seqs))


def test_a_camera_that_hangs_is_noticed_opened_again_and_counts_on(
    camera: MjpegCamera, watch: Callable[[str], Watcher]
) -> None:
    watcher = watch(camera.url)
    watcher.frames(3)
    camera.stall()
    assert watcher.failure() == (
        f"{camera.name} has sent nothing for 1 s; check that it is on, and the network between"
    )
    assert watcher.failure().startswith(f"{camera.name} is there, but gives no video; check the path of its address")
    camera.flow()
    watcher.frames(3)
    assert rising(watcher.seqs)
    assert watcher.counted == watcher.seqs[-1]


def test_a_camera_that_ends_and_refuses_says_both_and_comes_back(
    camera: MjpegCamera, watch: Callable[[str], Watcher]
) -> None:
    watcher = watch(camera.url)
    watcher.frames(3)
    camera.cut()
    assert watcher.failure().startswith(f"{camera.name} has ended its stream; it is opened again")
    assert watcher.failure() == f"{camera.name} refuses connections; check that it is on, and that the port is right"
    camera.start()
    watcher.frames(3)
    assert rising(watcher.seqs)
    assert watcher.counted == watcher.seqs[-1]
    assert "hunter2" not in "".join(watcher.failures)


def test_while_one_camera_hangs_another_is_read_and_a_third_is_opened_soon(
    camera: MjpegCamera, watch: Callable[[str], Watcher]
) -> None:
    reads, opens = watch(camera.url), watch(camera.url)
    reads.frames(3)
    with MjpegCamera() as silent:
        silent.stall()
        hanging = [watch(silent.url) for _ in range(3)]
        for one in hanging:
            one.failure()  # they have failed once, so a fresh one goes before them
            one._take()
        before, failed = len(reads.seqs), sum(len(one.failures) for one in hanging)
        started_s = time.monotonic()
        while not opens.seqs:
            assert time.monotonic() < started_s + PATIENCE_S
            for one in (*hanging, reads, opens):
                one._take()
            time.sleep(0.005)
        opened_s = time.monotonic() - started_s
        assert opened_s < 2.5 or sum(len(one.failures) for one in hanging) < failed + 3, (
            "it may wait for one that hangs, 1 s, and not for all three"
        )
        assert len(reads.seqs) - before > 0.1 * opened_s / 0.04


def test_a_source_that_hangs_lets_go_at_once(camera: MjpegCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "TIMEOUT_MS", 60_000)
    monkeypatch.setattr("stages.sources.remote.OPEN_S", 0.1)
    camera.stall()
    for url in (camera.url, camera.url + ".mp4"):
        source = make_source(parse_source(url), Every(1))
        source.open()
        assert source.read() is None
        started_s = time.monotonic()
        source.close()
        assert time.monotonic() - started_s < 30
    camera.cut()


def test_a_server_that_does_not_answer_is_told_from_one_that_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.sources.reach.ANSWER_S", 0.1)
    with MjpegCamera() as silent:
        silent.stall()
        with pytest.raises(SourceError, match=r"^does not answer within 0.1 s; check that it is on"):
            reach(f"rtsp://guard:hunter2@127.0.0.1:{silent.port}/cam")
        reach(f"http://127.0.0.1:{silent.port}/cam")  # asking HTTP twice would show the camera a second viewer
        reach("udp://127.0.0.1:1")
        reach("srt://127.0.0.1:1")


# Files behind a URL


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    noise = np.random.default_rng(3)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for _ in range(60):
        writer.write(noise.integers(0, 255, (120, 160, 3), np.uint8))
    writer.release()
    assert path.stat().st_size > 500_000
    return path


def test_a_remote_file_gives_what_the_file_gives(clip: Path, watch: Callable[..., Watcher]) -> None:
    with file_server(clip, []) as url:
        watcher = watch(url, 7)
        watcher.until(lambda: watcher.end is not None)
        assert check_source(make_source(parse_source(url), Every(1))) == 60
    assert watcher.seqs == list(range(1, 61, 7))
    assert watcher.counted == 60
    assert watcher.failures == []
    assert watcher.end is not None
    assert watcher.end.note == ""


def test_a_remote_file_whose_connection_breaks_is_read_on_and_every_frame_comes_once(
    clip: Path, watch: Callable[..., Watcher]
) -> None:
    size = clip.stat().st_size
    with file_server(clip, [size // 3, size // 2]) as url:
        watcher = watch(url)
        watcher.until(lambda: watcher.end is not None)
    assert watcher.seqs == list(range(1, 61))
    assert len(watcher.failures) == 2
    assert "clip.avi broke off after frame" in watcher.failures[0]
    assert "it is read again from there, check the network and the server" in watcher.failures[0]
    assert watcher.end is not None
    assert watcher.end.note == ""


def test_a_remote_file_that_always_breaks_off_at_one_place_ends_there_and_says_so(
    clip: Path, tmp_path: Path, watch: Callable[..., Watcher]
) -> None:
    cut = tmp_path / "cut.avi"
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with file_server(cut, []) as url:
        watcher = watch(url)
        watcher.until(lambda: watcher.end is not None)
    assert watcher.seqs == list(range(1, len(watcher.seqs) + 1))
    assert len(watcher.failures) == 2
    assert watcher.end is not None
    assert f"cut short or damaged: {len(watcher.seqs)} of the 60 frames that it states" in watcher.end.note


def test_a_remote_file_that_is_not_there_is_an_error_with_the_remedy() -> None:
    with pytest.raises(SourceError, match=r"^http://127\.0\.0\.1:1/a\.mp4 refuses connections; check that it is on"):
        check_source(make_source(parse_source("http://guard:hunter2@127.0.0.1:1/a.mp4"), Every(1)))


# RTSP


@pytest.fixture
def rtsp() -> Iterator[RtspServer]:
    if missing := RtspServer.missing():
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    server = RtspServer()
    server.start()
    yield server
    server.kill()


@pytest.mark.usefixtures("rtsp")
def test_a_real_rtsp_camera_that_hangs_dies_and_comes_back(
    rtsp: RtspServer, watch: Callable[[str], Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "TIMEOUT_MS", 3000)  # FFmpeg looks at two seconds of it first
    monkeypatch.setattr("stages.sources.reach.ANSWER_S", 0.5)
    watcher = watch(rtsp.url)
    watcher.frames(3)
    assert rtsp.process is not None
    rtsp.process.send_signal(signal.SIGSTOP)
    assert "has sent nothing for 3 s; check that it is on" in watcher.failure()
    assert "does not answer within 0.5 s" in watcher.failure()
    rtsp.process.send_signal(signal.SIGCONT)
    watcher.frames(3)
    rtsp.kill()
    assert "has ended its stream" in watcher.failure()
    assert "refuses connections" in watcher.failure()
    rtsp.start()
    watcher.frames(3)
    assert rising(watcher.seqs)
    assert watcher.counted == watcher.seqs[-1]
    assert "hunter2" not in "".join(watcher.failures)


def test_a_path_that_an_rtsp_server_does_not_have(rtsp: RtspServer, watch: Callable[[str], Watcher]) -> None:
    assert "is there, but gives no video; check the path" in watch(rtsp.url + "/none").failure()
