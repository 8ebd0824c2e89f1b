"""What a user has at hand: the command, the folder it wrote, and ``mosquitto_sub``."""

from __future__ import annotations

import json
import os
import queue
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import cv2
import numpy as np
import psutil

from pipeline.config import without_settings

PATIENCE_S: Final = 60.0
LAST_WORDS_S: Final = 3.0
"""So long a message may be under way when the process that has sent it has ended."""

STREAM: Final = "gate"
SEQS: Final = tuple(range(1, 48, 2))
"""The frames that ``--every 2`` takes of the drawn clip."""

SETTINGS: Final = ("--every", "2", "--set", "miner.name=IBT", "--set", "miner.threshold_img=0.7")
"""About half of the drawn clip's frames are hard with these."""

TIMES: Final = ("captured_ns", "edge_ms", "edge_steps", "cloud_ms", "cloud_steps")
"""The ledger's columns that hold times: all that may differ between two replays of the same frames."""

INCARNATIONS: Final = ("reader", "uplink")
"""The columns of ``streams`` that change with every start."""


def draw_clip(path: Path, frames: int = 48, fps: float = 24.0, size: tuple[int, int] = (320, 240)) -> Path:
    """Draw three figures with something like helmets, who walk over a blurred background."""
    width, height = size
    coarse = np.random.default_rng(7).integers(60, 200, (8, 10, 3), np.uint8)
    background = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    assert video.isOpened()
    helmets = ((40, 200, 240), (70, 60, 50), (150, 180, 220))
    for i in range(frames):
        picture = background.copy()
        for k, colour in enumerate(helmets):
            x, y, side = (40 + 90 * k + 3 * i * (k + 1)) % width, int(height * 0.45) + 10 * k, 18 + 8 * k
            cv2.rectangle(picture, (x - side, y + side), (x + side, height - 10), (60 + 40 * k, 80, 150 - 30 * k), -1)
            cv2.circle(picture, (x, y), side, (130, 160, 210), -1)
            cv2.ellipse(picture, (x, y - side // 3), (side, side), 0, 180, 360, colour, -1)
        video.write(picture)
    video.release()
    return path


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended, and what it said."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The one line that says what is wrong."""
        (line,) = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        return line.removeprefix("error: ")


class Running:
    """A command that runs; a context manager that leaves nothing behind."""

    def __init__(self, process: subprocess.Popen[bytes], stdout: Path, stderr: Path) -> None:
        self._process = process
        self._stdout = stdout
        self._stderr = stderr
        self._family: dict[int, psutil.Process] = {}

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def stdout(self) -> str:
        """What it has written to stdout up to now."""
        return self._stdout.read_text()

    @property
    def stderr(self) -> str:
        """What it has written to stderr up to now."""
        return self._stderr.read_text()

    @property
    def said(self) -> str:
        """How it fares, and all that it has said up to now."""
        fares = "runs" if self.is_running() else f"ended with {self._process.returncode}"
        return f"it {fares}, and said:\n{self.stdout}{self.stderr}"

    def until(self, what: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
        """Wait for something that it does; where it ends before that, fail at once with what it said."""
        deadline_s = time.monotonic() + timeout_s
        while not what():
            assert (self.is_running() and time.monotonic() < deadline_s) or what(), self.said
            time.sleep(0.005)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this one process."""
        self._process.send_signal(number)

    def ended(self, timeout_s: float = PATIENCE_S) -> Ran:
        """Wait for its end."""
        exit_code = self._process.wait(timeout_s)
        return Ran(exit_code, self.stdout, self.stderr)

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def http_port(self) -> int:
        """Wait for the port that ``--http 0`` has taken, which is in the log."""
        listening = lambda: [line for line in self.stderr.splitlines() if "http_listening" in line]  # noqa: E731
        until(lambda: listening() or not self.is_running())
        port: int = json.loads(listening()[0])["port"]
        return port

    def family(self) -> list[psutil.Process]:
        """Its children and theirs, as far as they have been seen."""
        if self.is_running():
            self._family |= {child.pid: child for child in psutil.Process(self.pid).children(recursive=True)}
        return list(self._family.values())

    def in_the_middle(self, out: Out, pictures: int = 5) -> list[psutil.Process]:
        """Wait for some pictures of a replay; return its family."""
        until(lambda: len(out.seqs("all")) >= pictures or not self.is_running())
        assert self.is_running(), self.stdout + self.stderr
        return self.family()

    def child(self, *words: str) -> psutil.Process:
        """The one process of its family with all of these words in its command line."""
        (found,) = [child for child in self.family() if set(words) <= set(child.cmdline())]
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.family()
        if self.is_running():
            self._process.kill()
            self._process.wait()
        for child in self._family.values():
            if child.is_running():
                child.kill()


class Tandem:
    """The command ``tandem``, in a folder of its own and an environment without settings."""

    def __init__(self, folder: Path, *command: str) -> None:
        self.folder = folder
        self._command = command or (sys.executable, "-m", "pipeline")
        self._runs = 0

    def __call__(self, *args: str | Path, env: Mapping[str, str] | None = None, timeout_s: float = PATIENCE_S) -> Ran:
        """Run it to its end."""
        with self.start(*args, env=env) as running:
            return running.ended(timeout_s)

    def start(self, *args: str | Path, env: Mapping[str, str] | None = None) -> Running:
        """Start it."""
        self._runs += 1
        stdout, stderr = (self.folder / f".{name}-{self._runs}.txt" for name in ("stdout", "stderr"))
        with stdout.open("wb") as to_stdout, stderr.open("wb") as to_stderr:
            process = subprocess.Popen(
                [*self._command, *map(str, args)],
                cwd=self.folder,
                env={**without_settings(os.environ), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=to_stdout,
                stderr=to_stderr,
                start_new_session=True,
            )
        return Running(process, stdout, stderr)


@dataclass(frozen=True, slots=True)
class Out:
    """What a run wrote to a folder."""

    folder: Path

    @property
    def ledger(self) -> Path:
        """What became of every frame."""
        return self.folder / "ledger.sqlite"

    def pictures(self) -> dict[str, bytes]:
        """Every file that people look at, by its path: pictures, labels and compare videos."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.suffix in {".jpeg", ".txt", ".webm"}
        }

    def seqs(self, name: str) -> list[int]:
        """The numbers of the pictures in a folder."""
        return sorted(int(path.stem) for path in (self.folder / name).glob("*.jpeg"))

    def parts(self) -> list[str]:
        """Temporary files, of which none may be left."""
        return [path.name for path in self.folder.rglob("*") if ".part" in path.name]

    def rows(self, *, times: bool = False) -> list[dict[str, Any]]:
        """The ledger's frames in order, with or without the columns that hold times."""
        rows = self._query("SELECT * FROM frames ORDER BY stream, seq")
        return [{name: row[name] for name in row if times or name not in TIMES} for row in rows]

    def streams(self) -> list[dict[str, Any]]:
        """The ledger's streams, without what changes with every start."""
        rows = self._query("SELECT * FROM streams ORDER BY stream")
        return [{name: row[name] for name in row if name not in INCARNATIONS} for row in rows]

    def tally(self, stream: str = STREAM) -> dict[str, Any]:
        """The sums of one stream."""
        (row,) = [row for row in self._query("SELECT * FROM tally") if row["stream"] == stream]
        return row

    def log(self, name: str) -> list[dict[str, Any]]:
        """What a process of a replay has logged."""
        lines = (self.folder / "logs" / f"{name}.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def _query(self, query: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.ledger, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class Replay:
    """A finished replay.

    Attributes:
        results: topic and payload of every result that ``mosquitto_sub`` heard.
    """

    ran: Ran
    out: Out
    report: dict[str, Any]
    results: list[tuple[str, str]]


def balances(tally: Mapping[str, Any]) -> bool:
    """Whether every frame read, and every frame admitted, is accounted for."""
    ended = sum(tally[name] for name in ("easy", "cloud", "expired", "failed", "interrupted", "pending"))
    read = tally["skipped"] + tally["dropped"] + tally["admitted"]
    return bool(tally["read"] == read and tally["admitted"] == ended)


def but_for_uploads(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what was sent: a frame is offered again where its process has ended, or its answer is late."""
    return [{name: value for name, value in row.items() if name != "upload_bytes"} for row in rows]


def alive(family: Iterable[psutil.Process]) -> list[str]:
    """The command lines of those that still run."""
    found = []
    for child in family:
        with suppress(psutil.NoSuchProcess):  # it ended just now
            if child.status() != "zombie":
                found.append(" ".join(child.cmdline()))
    return found


def until(what: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Wait for something that nobody announces, such as a file."""
    deadline_s = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline_s, "it did not come about in time"
        time.sleep(0.005)


@dataclass(slots=True)
class Listener:
    """A real ``mosquitto_sub``. Everything that it prints is kept, in order."""

    port: int
    heard: list[tuple[str, str]] = field(default_factory=list)
    _lines: queue.Queue[tuple[str, str]] = field(default_factory=queue.Queue)

    def until(
        self, what: Callable[[str, str], bool], timeout_s: float = PATIENCE_S, sender: Running | None = None
    ) -> tuple[str, str]:
        """Wait for a message that is so; ``what`` gets each topic and payload from now on.

        Where the ``sender`` has ended, it is not waited for; the failure shows what that one said.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            if sender and not sender.is_running():
                deadline_s = min(deadline_s, time.monotonic() + LAST_WORDS_S)
            with suppress(queue.Empty):
                line = self._lines.get(timeout=0.1)
                self.heard.append(line)
                if what(*line):
                    return line
            assert time.monotonic() < deadline_s, f"it was not heard; {sender.said if sender else ''}"

    def state(self, what: Callable[[dict[str, Any]], bool], sender: Running | None = None) -> dict[str, Any]:
        """Wait for a state of a stream that is so."""
        is_it = lambda topic, payload: topic.endswith("/state") and what(json.loads(payload))  # noqa: E731
        _, payload = self.until(is_it, sender=sender)
        state: dict[str, Any] = json.loads(payload)
        return state

    def rest(self) -> None:
        """After the broker's end: take in what was heard before it."""
        while not self._lines.empty():
            self.heard.append(self._lines.get())

    def finish(self) -> list[tuple[str, str]]:
        """Everything that was published before now."""
        publish(self.port, "end", "of it all")
        self.until(lambda topic, _: topic == "end")
        return [line for line in self.heard if line[0] not in {"begin", "end"}]


@contextmanager
def listening(port: int, *topics: str) -> Iterator[Listener]:
    """Subscribe; when this returns, the broker has the subscription."""
    publish(port, "begin", "now", retain=True)
    command = ["mosquitto_sub", "-V", "5", "-p", str(port), "-q", "1", "-F", "%t %p"]
    command += [word for topic in (*topics, "end", "begin") for word in ("-t", topic)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        listener = Listener(port)

        def follow() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                topic, _, payload = line.rstrip("\n").partition(" ")
                listener._lines.put((topic, payload))

        thread = threading.Thread(target=follow)
        thread.start()
        try:
            listener.until(lambda topic, _: topic == "begin")
            yield listener
        finally:
            process.terminate()
            thread.join()


def publish(port: int, topic: str, text: str, *, retain: bool = False) -> None:
    """Publish with ``mosquitto_pub``."""
    command = ["mosquitto_pub", "-V", "5", "-p", str(port), "-q", "1", "-t", topic, "-m", text]
    subprocess.run([*command, *(["-r"] if retain else [])], check=True)
