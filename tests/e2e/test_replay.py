"""``tandem replay``: the main job, as a new user does it."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import cv2
import jsonschema
import pytest
import yaml

from broker.mosquitto import PrivateMosquitto
from pipeline import wire
from pipeline.schemas import result_schema
from stages.outbox import Waiting
from stages.sqlite_outbox import SqliteOutbox
from tests import examples
from tests.e2e.user import (
    SEQS,
    SETTINGS,
    STREAM,
    Out,
    Replay,
    Tandem,
    balances,
    but_for_uploads,
    listening,
    publish,
    until,
)
from tests.unit.onnx_models import mean_colour_model

pytestmark = pytest.mark.mosquitto


# The report and the ledger


def test_the_report_says_all_that_was_promised(undisturbed: Replay) -> None:
    report = undisturbed.report
    tally = report["streams"][STREAM]
    states = ["read", "skipped", "dropped", "admitted", "easy", "cloud", "expired", "failed", "interrupted", "pending"]
    assert list(tally) == states
    assert report["balanced"] is True
    assert balances(tally)
    assert tally["read"] == 48
    assert tally["admitted"] == len(SEQS)
    assert 0 < report["upload"]["ratio"] < 1
    assert report["upload"]["ratio"] == pytest.approx(tally["cloud"] / tally["admitted"], abs=1e-4)
    assert report["upload"]["bytes"] > 1000 * tally["cloud"]
    assert report["frames_per_s"] > 0
    for who in ("edge", "cloud"):
        assert 0 < report["latency_ms"][who]["p50"] <= report["latency_ms"][who]["p99"]
    assert {"edge", "worker-1", "replay"} <= {name for name, cpu_s in report["cpu_s"].items() if cpu_s > 0}
    assert report["models"] == {"edge": "little on CPUExecutionProvider", "cloud": "big on CPUExecutionProvider"}


def test_the_report_names_outputs_that_are_there(undisturbed: Replay) -> None:
    outputs = undisturbed.report["outputs"]
    paths = [outputs["ledger"], *outputs["streams"][STREAM].values()]
    assert len(paths) == 6
    assert [path for path in paths if not (undisturbed.out.folder.parent / path).exists()] == []


def test_people_are_told_the_same(undisturbed: Replay) -> None:
    said = undisturbed.ran.stdout
    tally = undisturbed.report["streams"][STREAM]
    for state, count in tally.items():
        assert any(line.split() == [state, str(count)] for line in said.splitlines()), state
    for words in ("balanced", "of the frames", "frames/s", "edge answers", "cloud answers", "compare.webm", "ledger"):
        assert words in said


def test_no_line_of_what_people_are_told_about_the_ledger_needs_a_wide_terminal(undisturbed: Replay) -> None:
    said = undisturbed.ran.stdout
    ledger = said[said.index("read") : said.index("balanced")]
    assert max(map(len, ledger.splitlines())) <= 80


def test_it_is_said_what_the_big_model_corrected(undisturbed: Replay) -> None:
    assert f"{STREAM}: the big model corrected" in undisturbed.ran.stdout
    assert "- helmet_on 0." in undisturbed.ran.stdout


# Outputs


def test_the_pictures_are_those_of_the_ledger(undisturbed: Replay) -> None:
    rows, out = undisturbed.out.rows(), undisturbed.out
    hard = [row["seq"] for row in rows if row["hard"] or row["audited"]]
    cloud = [row["seq"] for row in rows if row["ending"] == "cloud"]
    assert 3 < len(hard) < len(rows)
    assert [row["seq"] for row in rows] == list(SEQS)
    assert out.seqs("all") == list(SEQS)
    assert out.seqs("hard_edge") == hard
    assert out.seqs("hard_cloud") == cloud
    assert out.seqs("dataset") == hard
    assert sorted(int(path.stem) for path in (out.folder / "dataset").glob("[0-9]*.txt")) == cloud
    classes = (out.folder / "dataset" / "classes.txt").read_text().splitlines()
    assert {box["class"] for row in rows for box in json.loads(row["cloud_boxes"] or "[]")} <= set(classes)


def test_all_shows_the_clouds_boxes_where_it_answered_and_the_edges_elsewhere(undisturbed: Replay) -> None:
    pictures = undisturbed.out.pictures()
    for row in undisturbed.out.rows():
        if row["hard"]:
            assert pictures[f"all/{row['seq']}.jpeg"] == pictures[f"hard_cloud/{row['seq']}.jpeg"]
            assert pictures[f"all/{row['seq']}.jpeg"] != pictures[f"hard_edge/{row['seq']}.jpeg"]


def test_every_picture_is_whole_and_as_large_as_the_source(undisturbed: Replay) -> None:
    for path in undisturbed.out.folder.rglob("*.jpeg"):
        picture = cv2.imread(str(path))
        assert picture is not None, path
        assert picture.shape == (240, 320, 3)
    assert undisturbed.out.parts() == []


def test_the_compare_video_plays_and_is_twice_as_wide(undisturbed: Replay) -> None:
    video = cv2.VideoCapture(str(undisturbed.out.folder / "compare.webm"))
    frames = 0
    while video.grab():
        frames += 1
    assert frames == len(SEQS)
    assert video.get(cv2.CAP_PROP_FRAME_WIDTH) == 1280
    video.release()


# What is published


def test_every_revision_is_seen_exactly_once(undisturbed: Replay) -> None:
    seen = Counter((json.loads(payload)["seq"], json.loads(payload)["revision"]) for _, payload in undisturbed.results)
    wanted = [(row["seq"], number) for row in undisturbed.out.rows() for number in range(1, row["revision"] + 1)]
    assert seen == Counter(wanted)
    assert {topic for topic, _ in undisturbed.results} == {f"tandem/helmet/{STREAM}/results"}


def test_the_highest_revision_is_final_and_no_other(undisturbed: Replay) -> None:
    highest = {row["seq"]: row["revision"] for row in undisturbed.out.rows()}
    assert set(highest.values()) == {1, 2}
    for _, payload in undisturbed.results:
        result = json.loads(payload)
        assert result["final"] is (result["revision"] == highest[result["seq"]])


def test_every_result_follows_the_schema(undisturbed: Replay) -> None:
    validator = jsonschema.Draft202012Validator(result_schema())
    for _, payload in undisturbed.results:
        validator.validate(json.loads(payload))


def test_a_result_says_what_the_ledger_says(undisturbed: Replay) -> None:
    rows = {row["seq"]: row for row in undisturbed.out.rows()}
    for _, payload in undisturbed.results:
        result = json.loads(payload)
        row = rows[result["seq"]]
        boxes = json.loads(row["cloud_boxes"] if result["source"] == "cloud" else row["edge_boxes"])
        assert [box["class"] for box in result["boxes"]] == [box["class"] for box in boxes]
        assert [box["score"] for box in result["boxes"]] == pytest.approx([box["score"] for box in boxes], abs=1e-3)
        assert result["verdict"]["miner"] == "IBT"
        assert result["verdict"]["reason"] == row["verdict"]
        assert result["models"]["edge"] == "little"
        assert {"read", "detect", "mine"} <= result["steps_ms"].keys()


# The same again


def test_the_same_replay_gives_the_same_bytes(undisturbed: Replay, clip: Path, tandem: Tandem) -> None:
    ran = tandem("replay", clip, "--out", "again", "--report", "first.json", *SETTINGS)
    out = Out(tandem.folder / "again")
    assert ran.exit_code == 0, ran
    assert out.pictures() == undisturbed.out.pictures()
    assert but_for_uploads(out.rows()) == but_for_uploads(undisturbed.out.rows())
    assert but_for_uploads(out.streams()) == but_for_uploads(undisturbed.out.streams())
    # Started once more it has nothing to do: it starts nobody, tells the same, and leaves all as it is, times and all.
    files = ("*.jpeg", "*.webm", "*.log")
    before = {path: path.stat().st_mtime_ns for name in files for path in out.folder.rglob(name)}
    rows = out.rows(times=True)
    again = tandem("replay", clip, "--out", "again", "--report", "report.json", *SETTINGS)
    assert again.exit_code == 0, again
    assert "outputs   report: report.json" in again.stdout
    assert again.stdout.startswith("finished before: nothing is left to do; --fresh begins anew\n")
    assert ran.stdout[ran.stdout.index("frames  ") : ran.stdout.index("outputs   report: first.json")] in again.stdout
    assert out.rows(times=True) == rows
    assert {path: path.stat().st_mtime_ns for name in files for path in out.folder.rglob(name)} == before
    report = json.loads((tandem.folder / "report.json").read_text())
    assert report == json.loads((tandem.folder / "first.json").read_text())
    assert report["streams"] == undisturbed.report["streams"]
    assert report["outputs"]["streams"][STREAM]["compare"] == "again/compare.webm"
    # Pictures that somebody has removed are not made again, which is said.
    shutil.rmtree(out.folder / "hard_cloud")
    without = tandem("replay", clip, "--out", "again", *SETTINGS, "--no-compare")
    assert without.exit_code == 0, without
    assert "note: again/hard_cloud has none of the pictures of stream 'gate'" in without.stdout
    # Another config would mix two runs.
    other = tandem("replay", clip, "--out", "again", *SETTINGS, "--every", "3")
    assert other.exit_code == 2
    for word in ("ledger", "--out", "--fresh", "every: 2 then, 3 now"):
        assert word in other.error
    assert "join with" not in other.stdout, "nothing was started for it"
    fresh = tandem("replay", clip, "--out", "again", *SETTINGS, "--every", "12", "--no-compare", "--fresh")
    assert fresh.exit_code == 0, fresh
    assert out.seqs("all") == [1, 13, 25, 37]
    assert not (out.folder / "compare.webm").exists()


def test_streams_that_come_one_after_another_do_not_overwrite_each_other(clip: Path, tandem: Tandem) -> None:
    yard = shutil.copy(clip, tandem.folder / "yard.mp4")
    options = ("--out", "out", "--every", "12", "--miner", "CloudOnly")
    out = Out(tandem.folder / "out")
    assert tandem("replay", clip, *options).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in out.folder.rglob("*") if path.suffix in {".jpeg", ".webm"}}
    second = tandem("replay", yard, *options)
    assert second.exit_code == 0, second
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert Out(out.folder / "yard").seqs("dataset") == out.seqs("dataset") == [1, 13, 25, 37]
    assert "outputs   yard compare: out/compare-yard.webm" in second.stdout
    # Both are done, alone and together: nothing is started for them, and their videos are not made again.
    before = {path: path.stat().st_mtime_ns for path in out.folder.rglob("*") if path.suffix in {".jpeg", ".webm"}}
    for videos in ((clip,), (clip, yard)):
        again = tandem("replay", *videos, *options)
        assert again.exit_code == 0, again
        assert again.stdout.startswith("finished before: ")
        assert f"{STREAM} compare: out/compare.webm" in again.stdout
        assert {path: path.stat().st_mtime_ns for path in before} == before


def test_split_takes_the_same_frames_and_balances(split: Replay, undisturbed: Replay) -> None:
    assert [row["seq"] for row in split.out.rows()] == list(SEQS)
    assert split.report["balanced"] is True
    assert split.report["streams"][STREAM]["pending"] == 0
    assert split.report["streams"][STREAM]["cloud"] > 0
    stages = {"reader", "detector", "miner", "uplink", "sink", "worker-1"}
    # The reader begins when all others are there: what it sent before would be lost, and judged in another order.
    started = {name: split.out.log(name) for name in stages - {"worker-1"}}
    at = {
        name: next(line["timestamp"] for line in log if line["event"] == "stages_started")
        for name, log in started.items()
    }
    assert max(at, key=lambda name: at[name]) == "reader"
    assert stages <= split.report["cpu_s"].keys()
    assert split.report["models"] == undisturbed.report["models"]
    seen = Counter((json.loads(payload)["seq"], json.loads(payload)["revision"]) for _, payload in split.results)
    wanted = [(row["seq"], number) for row in split.out.rows() for number in range(1, row["revision"] + 1)]
    assert seen == Counter(wanted)


# Sources, options, config


def test_three_streams_of_three_kinds_and_two_workers(
    undisturbed: Replay, clip: Path, mosquitto_sub: None, tandem: Tandem
) -> None:
    pictures = tandem.folder / "Pictures of June"
    pictures.mkdir()
    for seq in SEQS[::2]:
        shutil.copy(undisturbed.out.folder / "all" / f"{seq}.jpeg", pictures / f"{seq:03}.jpg")
    copy = shutil.copy(clip, tandem.folder / "yard.mp4")
    sedna = "file:/" + str(copy)  # file://tmp/yard.mp4 for /tmp/yard.mp4
    options = ("--cloud-workers", "2", "--every", "6", "--port", "0", "--report", "r.json", "--miner", "CloudOnly")
    ran = tandem("replay", clip, sedna, pictures, "--out", "out", *options)
    assert ran.exit_code == 0, ran
    report = json.loads((tandem.folder / "r.json").read_text())
    assert report["balanced"] is True
    counts = {name: (tally["read"], tally["cloud"]) for name, tally in report["streams"].items()}
    assert counts == {STREAM: (48, 8), "yard": (48, 8), "pictures-of-june": (12, 2)}
    assert report["upload"]["ratio"] == 1
    for stream, (_, cloud) in counts.items():
        out = Out(tandem.folder / "out" / stream)
        assert len(out.seqs("all")) == len(out.seqs("hard_cloud")) == len(out.seqs("dataset")) == cloud
        assert (tandem.folder / "out" / f"compare-{stream}.webm").stat().st_size > 1000
    assert {row["worker"] for row in Out(tandem.folder / "out").rows()} == {"worker-1", "worker-2"}
    # Fresh is fresh, also where the earlier run had other streams, or left something in its outbox.
    with closing(SqliteOutbox(tandem.folder / "out" / "outbox", "a test", time.monotonic)) as outbox:
        left = examples.store(examples.result(99, stream=STREAM))
        outbox.write({left.id: Waiting(left, 1, time.monotonic())})
    ran = tandem("replay", clip, "--out", "out", "--every", "24", "--miner", "EdgeOnly", "--no-compare", "--fresh")
    assert ran.exit_code == 0, ran
    assert list(Out(tandem.folder / "out").pictures()) == ["all/1.jpeg", "all/25.jpeg"]


def test_settings_come_from_a_file_with_the_command_line_above_them(clip: Path, tandem: Tandem) -> None:
    model = mean_colour_model(tandem.folder / "colours.onnx", input_shape=(1, 3, 64, 64))
    settings = {
        "service": "yard",
        "streams": {"door": {"source": str(clip), "every": 6}},
        "miner": {"name": "CloudOnly"},
        "detector": {"model": str(model)},
        "cloud": {"model": "big"},
    }
    (tandem.folder / "tandem.yaml").write_text(yaml.safe_dump(settings))
    options = (
        "--config",
        "tandem.yaml",
        "--miner",
        "EdgeOnly",
        "--big",
        model,
        "--set",
        "detector.confidence=0.1",
        "--explain",
    )
    ran = tandem("replay", "--out", "out", "--report", "r.json", *options)
    assert ran.exit_code == 0, ran
    report = json.loads((tandem.folder / "r.json").read_text())
    assert report["models"] == dict.fromkeys(("edge", "cloud"), "colours on CPUExecutionProvider")
    assert report["streams"]["door"]["easy"] == 8
    rows = Out(tandem.folder / "out").rows()
    assert {row["miner"] for row in rows} == {"EdgeOnly"}
    edge_of_band = cv2.imread(str(tandem.folder / "out/all/1.jpeg"))[-2:]
    assert abs(edge_of_band.astype(int) - 32).mean() < 4
    assert {box["class"] for row in rows for box in json.loads(row["edge_boxes"])} <= {"red", "green", "blue"}
    assert any(json.loads(row["edge_boxes"]) for row in rows)


def test_sednas_variables_are_understood(clip: Path, tandem: Tandem) -> None:
    outputs = tandem.folder / "sedna" / "output"
    env = {
        "video_url": f"file:/{clip}",
        "HEM_NAME": "IBT",
        "HEM_PARAMETERS": '[{"key": "threshold_img", "value": "0.7"}]',
        "all_examples_inference_output": str(outputs / "all"),
        "hard_example_edge_inference_output": str(outputs / "edge"),
        "hard_example_cloud_inference_output": str(outputs / "cloud"),
        "TANDEM_READER__EVERY": "6",
    }
    ran = tandem("replay", "--report", "r.json", env=env)
    assert ran.exit_code == 0, ran
    out = Out(outputs)
    tally = json.loads((tandem.folder / "r.json").read_text())["streams"]["camera"]
    state = Out(outputs / ".tandem")
    assert tally["easy"] + tally["cloud"] == len(out.seqs("all")) == len(state.rows()) == 8
    assert len(out.seqs("edge")) == len(out.seqs("cloud")) == len(state.seqs("dataset")) == tally["cloud"] > 0
    assert [row["threshold"] for row in state.rows()] == pytest.approx([0.3] * 8)
    assert (outputs / ".tandem" / "compare.webm").exists()
    assert sorted(path.name for path in tandem.folder.iterdir() if path.name[0] != ".") == ["r.json", "sedna"]
    elsewhere = tandem("replay", env={**env, "all_examples_inference_output": str(outputs / "elsewhere")})
    assert elsewhere.exit_code == 2
    assert f"sink.all_examples: {outputs}/elsewhere has none of the pictures of stream 'camera'" in elsewhere.error


def test_a_file_at_its_own_speed_takes_its_own_time(clip: Path, tandem: Tandem) -> None:
    ran = tandem("replay", clip, "--pace", "real", "--miner", "EdgeOnly", "--fps", "2", "--no-compare")
    assert ran.exit_code == 0, ran
    rows = Out(tandem.folder / "tandem-out").rows(times=True)
    took_s = (rows[-1]["captured_ns"] - rows[0]["captured_ns"]) / 1e9
    assert [row["seq"] for row in rows] == [1, 13, 25, 37]
    assert rows[-1]["media_s"] == pytest.approx(1.5)
    assert took_s >= 1.49


def test_anyone_can_join_at_the_port_that_is_printed(clip: Path, mosquitto_sub: None, tandem: Tandem) -> None:
    options = ("--pace", "real", "--miner", "EdgeOnly", "--every", "4", "--no-compare", "--out", "out")
    with tandem.start("replay", clip, *options) as replay:
        until(lambda: "mosquitto_sub" in replay.stdout)
        words = next(line for line in replay.stdout.splitlines() if "mosquitto_sub" in line).split()
        with listening(int(words[words.index("-p") + 1]), "tandem/+/+/results") as listener:
            listener.until(lambda topic, payload: json.loads(payload)["revision"] == 1)
            # Somebody else starts a replay into the same folder.
            edge = replay.child("sink")
            edge.suspend()
            second = tandem("replay", clip, *options)
            edge.resume()
            assert second.exit_code == 2
            assert "is used by edge (process" in second.error
            assert "choose another --out" in second.error
        assert replay.ended().exit_code == 0


@pytest.mark.alone
def test_another_replay_of_the_same_service_is_refused_and_harms_the_first_one_not(
    undisturbed: Replay, clip: Path, broker: PrivateMosquitto, tandem: Tandem
) -> None:
    options = (*SETTINGS, "--broker", broker.url)
    out = Out(tandem.folder / "out")
    with tandem.start("replay", clip, "--out", "out", "--pace", "real", *options) as first:
        first.in_the_middle(out, pictures=1)
        edge = first.child("sink")
        edge.suspend()  # so that the first one is still there, however long the second one takes
        second = tandem("replay", clip, "--out", "second", *options)
        edge.resume()
        assert second.exit_code == 2
        assert f"another replay runs as helmet on {broker.url}: wait for its end" in second.error
        assert "--set service=helmet-2" in second.error
        other = tandem("replay", clip, "--out", "other", *options, "--set", "service=helmet-2")
        assert first.ended().exit_code == other.exit_code == 0, other
    for replay in (out, Out(tandem.folder / "other")):
        assert replay.rows() == undisturbed.out.rows()


def test_a_worker_is_not_taken_for_one_that_was_killed_before(
    clip: Path, broker: PrivateMosquitto, tandem: Tandem
) -> None:
    left = wire.encode("helmet", examples.worker_state(worker="worker-1"), 100.0)
    publish(broker.port, left.topic, left.payload.decode(), retain=True)
    with tandem.start("replay", clip, *SETTINGS, "--out", "out", "--broker", broker.url) as replay:
        until(lambda: any("cloud" in child.cmdline() for child in replay.family()))
        replay.child("cloud").kill()
        ran = replay.ended()
    assert ran.exit_code == 1, ran
    assert "worker-1 was killed by SIGKILL" in ran.error


def test_a_call_beats_what_the_file_says_of_sampling(clip: Path, tandem: Tandem) -> None:
    settings = {"reader": {"fps": 12}, "streams": {STREAM: {"source": str(clip), "fps": 6}}}
    (tandem.folder / "tandem.yaml").write_text(yaml.safe_dump(settings))
    command = ("replay", "--config", "tandem.yaml", "--miner", "EdgeOnly", "--no-compare", "--fresh", "--out", "out")
    for options, seqs in ((("--every", "24"), [1, 25]), (("--fps", "2"), [1, 13, 25, 37])):
        ran = tandem(*command, *options)
        assert ran.exit_code == 0, ran
        assert Out(tandem.folder / "out").seqs("all") == seqs
    both = tandem(*command, "--every", "24", "--fps", "2")
    assert (both.exit_code, both.error) == (2, "--every: --fps says how many frames are taken too: name one of them")


def test_a_real_clip_is_corrected(shared: Path, tandem: Tandem) -> None:
    ran = tandem("replay", shared / "video" / "site-360p.mp4", "--every", "20", "--out", "out", "--miner", "IBT")
    assert ran.exit_code == 0, ran
    assert "site-360p: the big model corrected" in ran.stdout
    tally = Out(tandem.folder / "out").tally("site-360p")
    assert tally["read"] == 335
    assert tally["easy"] + tally["cloud"] == tally["admitted"] == 17
    assert 3 <= tally["cloud"] <= 14
