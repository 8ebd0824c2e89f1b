"""Tandem against a bare loop, in CPU seconds and ratios of interleaved runs.

(a) 720p, every frame, 20 % hard, all outputs but the compare video, real models. The bare loop has no broker and no
    stages: it decodes, runs little, and for hard frames encodes, decodes, runs big, draws and writes, with the same
    functions. Two copies of it run at once, on half of the frames each, so that both sides have both cores.
(b) CPU milliseconds a frame with stub models of no cost, at 20 % and 100 % hard: the difference between a long and a
    short clip, so that starting up is not in it.
(c) milliseconds from the uplink's revision 1 to the cloud's answer, one hard frame at a time, stub models.
(d) CPU milliseconds that each miner takes a frame of 1080p and 720p, with 20 and 300 raw boxes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.image import Image
from pipeline.model import Detections, FrameId
from scripts.benchmark_miners import miners
from stages.mining.miner import View
from stages.mining.registry import make_miner
from stages.models import SHIPPED
from stages.sources.capture import open_video
from stages.vision.draw_jpeg import draw_jpeg, redraw_jpeg
from stages.vision.load import load_detector

ROOT = Path(__file__).parent.parent
TANDEM = Path(sys.executable).with_name("tandem")
CONFIDENCE = 0.3
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""As people have it: what was compiled once is not compiled again at each start."""


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, default=ROOT / ".demo" / "bikes.mp4", help="scaled to 720p for this")
    parser.add_argument("--frames", type=int, default=1500, help="of the clip")
    parser.add_argument("--rounds", type=int, default=5, help="of (a); medians are printed")
    parser.add_argument("--only", choices=["a", "b", "c", "d"], help="one of the four")
    parser.add_argument("--bare", nargs=2, metavar=("CLIP", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(Path(options.bare[0]), Path(options.bare[1]))
        return
    if not options.video.exists():
        parser.error(f"{options.video} is not there: run scripts/demo once, or name a clip with --video")
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as name:
        folder = Path(name)
        print(f"{os.cpu_count()} cores, {options.frames} frames of 1280x720 from {options.video.name}")
        if options.only in (None, "a"):
            against_bare(folder, options.video, options.frames, options.rounds)
        if options.only in (None, "b"):
            without_models(folder, options.video, options.frames)
        if options.only in (None, "c"):
            latency(folder, options.video)
        if options.only in (None, "d"):
            miners(options.video)


def against_bare(folder: Path, video: Path, frames: int, rounds: int) -> None:
    """(a): CPU and wall time of Tandem over those of two bare loops."""
    whole = make_clip(video, folder / "clip.mp4", range(frames))
    halves = [
        make_clip(video, folder / "half-1.mp4", range(frames // 2)),
        make_clip(video, folder / "half-2.mp4", range(frames // 2, frames)),
    ]
    ratios: list[tuple[float, float]] = []
    for number in range(rounds):
        bare_cpu_s, bare_wall_s = timed_bare(halves, folder / "bare")
        cpu_s, wall_s, report = timed_tandem(
            whole, folder / "out", "--miner", "Random", "--set", "miner.random_ratio=0.2"
        )
        ratios.append((cpu_s / bare_cpu_s, wall_s / bare_wall_s))
        print(
            f"(a) round {number + 1}: bare {bare_cpu_s:.2f} s CPU, {bare_wall_s:.2f} s wall; "
            f"tandem {cpu_s:.2f} s CPU, {wall_s:.2f} s wall; ratios {ratios[-1][0]:.2f} and {ratios[-1][1]:.2f}; "
            f"{report['upload']['ratio']:.0%} hard, CPU {report['cpu_s']}"
        )
    cpu, wall = (statistics.median(column) for column in zip(*ratios, strict=True))
    print(f"(a) median of {rounds}: CPU {cpu:.2f} and wall {wall:.2f} of the bare loop's (at most 1.25 each)")
    memory = {name: f"{size / 2**20:.0f} MB" for name, size in report["peak_rss_bytes"].items()}
    print(f"(a) peak memory: {memory} (edge at most 300, worker at most 400)")


def without_models(folder: Path, video: Path, frames: int) -> None:
    """(b): CPU milliseconds a frame with stub models."""
    little, big = stub(folder / "stub-little.onnx", 256, 416), stub(folder / "stub-big.onnx", 416, 416)
    short = frames // 6
    clips = {n: make_clip(video, folder / f"clip-{n}.mp4", range(n)) for n in (short, frames)}
    for ratio, limit_ms in ((0.2, 9), (1.0, 20)):
        options = [
            "--little",
            str(little),
            "--big",
            str(big),
            "--miner",
            "Random",
            "--set",
            f"miner.random_ratio={ratio}",
        ]
        each_ms = []
        for _ in range(3):
            cpu_s = {n: timed_tandem(clip, folder / "out", *options)[0] for n, clip in clips.items()}
            each_ms.append((cpu_s[frames] - cpu_s[short]) / (frames - short) * 1e3)
        print(f"(b) {ratio:.0%} hard: {statistics.median(each_ms):.1f} ms CPU a frame (at most {limit_ms}); {each_ms}")


def latency(folder: Path, video: Path) -> None:
    """(c): from the uplink's first answer to the cloud's, one frame at a time."""
    little, big = stub(folder / "stub-little.onnx", 256, 416), stub(folder / "stub-big.onnx", 416, 416)
    clip = make_clip(video, folder / "clip-c.mp4", range(100))
    options = ["--little", str(little), "--big", str(big), "--miner", "CloudOnly", "--pace", "real"]
    _, _, report = timed_tandem(clip, folder / "out", *options)
    with sqlite3.connect(report["outputs"]["ledger"]) as ledger:
        trips_ms = [row[0] for row in ledger.execute("SELECT cloud_ms - edge_ms FROM frames WHERE ending = 'cloud'")]
    p50, p99 = np.percentile(trips_ms, [50, 99])
    print(f"(c) hard frame to answer: p50 {p50:.1f} ms (under 15), p99 {p99:.1f} ms, of {len(trips_ms)}")


def make_clip(video: Path, path: Path, frames: range) -> Path:
    """Frames of a video, again and again from its start, scaled to 1280x720."""
    if path.exists():
        return path
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (1280, 720))
    capture, number = cv2.VideoCapture(str(video)), 0
    while number < frames.stop:
        ok, pixels = capture.read()
        if not ok:
            capture = cv2.VideoCapture(str(video))
            continue
        if number in frames:
            writer.write(cv2.resize(pixels, (1280, 720), interpolation=cv2.INTER_CUBIC))
        number += 1
    writer.release()
    return path


def timed_bare(clips: list[Path], out: Path) -> tuple[float, float]:
    """CPU and wall seconds of a bare loop on each clip, all at once."""
    out = Path(tempfile.mkdtemp(dir=out.parent, prefix=f"{out.name}-"))
    before, begun_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    loops = [
        subprocess.Popen(
            [sys.executable, "-m", "scripts.benchmark", "--bare", str(clip), str(out / clip.stem)],
            cwd=ROOT,
            env=ENVIRONMENT,
        )
        for clip in clips
    ]
    if sum(loop.wait() for loop in loops):
        raise SystemExit("the bare loop failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu_s, time.perf_counter() - begun_s


def timed_tandem(clip: Path, out: Path, *options: str) -> tuple[float, float, dict[str, Any]]:
    """CPU and wall seconds of a replay with all its processes, and its report."""
    out = Path(tempfile.mkdtemp(dir=out.parent, prefix=f"{out.name}-"))  # a file system is slower where it just deleted
    report = out / "report.json"
    command = [str(TANDEM), "replay", str(clip), "--every", "1", "--no-compare"]
    begun_s = time.perf_counter()
    done = subprocess.run(
        [*command, "--out", str(out), "--report", str(report), *options],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    wall_s = time.perf_counter() - begun_s
    if done.returncode:
        raise SystemExit(f"the replay failed:\n{done.stdout}{done.stderr}")
    figures = json.loads(report.read_text())
    return sum(figures["cpu_s"].values()), wall_s, figures


def bare(clip: Path, out: Path) -> None:
    """What Tandem does for its users, without broker and stages."""
    cv2.setNumThreads(1)
    little, big = (load_detector(name, SHIPPED[name]) for name in ("little", "big"))
    miner = make_miner("Random", {"random_ratio": 0.2})
    folders = {name: out / name for name in ("all", "hard_edge", "hard_cloud", "dataset")}
    for path in folders.values():
        path.mkdir(parents=True, exist_ok=True)
    capture, seq = open_video(str(clip)), 0
    while capture.grab():
        _, pixels = capture.retrieve()
        seq += 1
        name = f"{seq}.jpeg"
        image = Image(pixels=np.asarray(pixels, np.uint8), quality=85)
        seen = little.detect(image)
        reported = seen.at_least(CONFIDENCE)
        if miner.judge(view(seq, pixels, seen, reported)).hard:
            (folders["dataset"] / name).write_bytes(image.jpeg)
            (folders["hard_edge"] / name).write_bytes(draw_jpeg(image, reported, 85, encoded=True))
            reported = big.detect(Image(jpeg=image.jpeg)).at_least(CONFIDENCE)
            (folders["hard_cloud"] / name).write_bytes(redraw_jpeg(image.jpeg, reported, 85))
        else:
            (folders["all"] / name).write_bytes(draw_jpeg(image, reported, 85, encoded=False))


def view(seq: int, pixels: Any, seen: Detections, reported: Detections) -> View:
    """What a miner sees."""
    name = FrameId("clip", seq)
    return View(
        stream=name.stream,
        seq=seq,
        media_s=seq / 25,
        width=pixels.shape[1],
        height=pixels.shape[0],
        candidates=seen,
        detections=reported,
        confidence=CONFIDENCE,
    )


def stub(path: Path, height: int, width: int) -> Path:
    """A detector that sees the same two boxes in every picture, and takes no time for it."""
    output = np.zeros((1, 6, 64), np.float32)
    output[0, :, 0] = (0.4 * width, 0.5 * height, 60, 60, 0.9, 0.1)
    output[0, :, 1] = (0.6 * width, 0.5 * height, 40, 40, 0.1, 0.6)
    graph = helper.make_graph(
        [helper.make_node("Constant", [], ["output0"], value=numpy_helper.from_array(output))],
        "stub",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, height, width])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 6, 64])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.helper.set_model_props(model, {"names": "{0: 'helmet_on', 1: 'helmet_off'}", "stride": "32", "task": "detect"})
    onnx.save(model, path)
    return path


if __name__ == "__main__":
    main()
