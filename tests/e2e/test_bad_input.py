"""Wrong calls, broken files, broken messages: each gets words that name the thing and the remedy, and harms nobody."""

from __future__ import annotations

import json
import socket
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pytest

from broker.address import BrokerAddress
from broker.mosquitto import PrivateMosquitto, _free_port
from broker.mqtt import MqttLink
from pipeline import wire
from pipeline.link import ContentType, LinkEvents, Packet
from pipeline.messages import HardExample
from tests import examples
from tests.e2e.refused import refused
from tests.e2e.user import SEQS, SETTINGS, STREAM, Out, Ran, Replay, Tandem
from tests.unit.onnx_models import constant_model

pytestmark = pytest.mark.mosquitto


@dataclass(frozen=True, slots=True)
class Wrong:
    """A call of ``tandem replay``, and what the error must say."""

    args: tuple[str, ...]
    says: tuple[str, ...]


CALLS: Final[Mapping[str, Wrong]] = {
    "no video": Wrong((), ("VIDEO", "name a video file, a folder of pictures, or a URL")),
    "a missing file": Wrong(("gone.mp4",), ("gone.mp4 does not exist", "check the path")),
    "an empty file": Wrong(("empty.mp4",), ("empty.mp4 is empty", "copy or record it anew")),
    "a file without its end": Wrong(("cut.mp4",), ("cut.mp4 is no video that can be read", "damaged", "ffmpeg -i")),
    "text": Wrong(("text.mp4",), ("text.mp4 is no video that can be read", "try it in a player")),
    "an empty folder": Wrong(("folder",), ("folder is a folder without pictures", "put some there")),
    "a model that is none": Wrong(
        ("--little", "text.onnx"), ("detector.model", "text.onnx is no ONNX model", "export it as ONNX")
    ),
    "a model that is not there": Wrong(
        ("--little", "nope.onnx"), ("detector.model: there is no file nope.onnx", "name an ONNX file")
    ),
    "several things at once": Wrong(
        ("--little", "nope.onnx", "--miner", "IBTT"), ("miner.name", "known are", "detector.model", "no file nope.onnx")
    ),
    "an unknown head": Wrong(
        ("--big", "odd.onnx"),
        ("cloud.model", "odd.onnx", "(1, 3, 5)", "(B, 4+nc, A)", "(B, A, 5+nc)", "(B, N, 6)"),
    ),
    "an unknown miner": Wrong(("--miner", "IBTT"), ("miner.name", "'IBTT'", "known are IBT, Threshold, CrossEntropy")),
    "an unknown parameter": Wrong(
        ("--miner", "IBT", "--set", "miner.threshold_imgg=1"), ("miner.threshold_imgg", "did you mean 'threshold_img'?")
    ),
    "a parameter that is no number": Wrong(
        ("--miner", "IBT", "--set", "miner.threshold_img=high"),
        ("miner.threshold_img", "'high' is not a number from 0 to 1"),
    ),
    "an unknown setting": Wrong(("--set", "reader.evry=2"), ("reader.evry", "did you mean 'every'?")),
    "an unknown key in the file": Wrong(("--config", "typo.yaml"), ("redaer", "did you mean 'reader'?")),
    "a file that is no YAML": Wrong(("--config", "text.mp4"), ("text.mp4", "the config file holds str, not sections")),
    "a missing config": Wrong(
        ("--config", "gone.yaml"), ("gone.yaml", "the config file cannot be read (No such file or directory)")
    ),
    "half a setting": Wrong(("--set", "miner"), ("--set", "'miner' sets nothing", "section.key=value")),
    "every zeroth frame": Wrong(("--every", "0"), ("reader.every", "greater than or equal to 1 (it is 0)")),
    "a port that is in use": Wrong(("--port", "PORT"), ("--port: port PORT is in use", "0 chooses a free one")),
    "no broker": Wrong(
        ("--broker", "mqtt://127.0.0.1:FREE"),
        ("broker.url: no broker within 10 s", "mqtt://127.0.0.1:FREE refuses connections", "Start it, or correct"),
    ),
    "no broker's address": Wrong(("--broker", "here"), ("broker.url", "'here'", "write mqtt://HOST:PORT")),
    "a file where outputs go": Wrong(("--out", "text.mp4"), ("--out", "text.mp4", "name another folder")),
    "a file where pictures go": Wrong(("--out", "taken"), ("taken/all", "cannot be written", "choose another folder")),
    "a report in place of a video": Wrong(
        ("good.mp4", "--report", "good.mp4"), ("--report: good.mp4 cannot be written", "this command needs the file")
    ),
    "a report where nothing can be written": Wrong(
        ("--report", "/proc/tandem.json"), ("--report: /proc/tandem.json cannot be written", "name another file")
    ),
    "a report that cannot be written": Wrong(
        ("--report", "text.mp4/r.json"), ("--report", "text.mp4/r.json cannot be written", "name another file")
    ),
}
WITHOUT_VIDEO: Final = {"no video", "a missing file", "an empty file", "a file without its end", "text"} | {
    "an empty folder"
}


@pytest.fixture(scope="module")
def refusals(mosquitto: str, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ran]]:
    """Every wrong call, made: two at a time, since one of them waits for a broker."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "empty.mp4").touch()
    (folder / "cut.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    (folder / "good.mp4").write_bytes(clip.read_bytes())
    for name in ("text.mp4", "text.onnx"):
        (folder / name).write_text("A video begins elsewhere.")
    (folder / "typo.yaml").write_text("redaer:\n  every: 3\n")
    (folder / "folder").mkdir()
    (folder / "taken").mkdir()
    (folder / "taken" / "all").touch()
    constant_model(folder / "odd.onnx", {"output0": np.zeros((1, 3, 5), np.float32)})
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(2) as pool:
        ports = {"PORT": str(server.getsockname()[1]), "FREE": str(_free_port())}

        def call(name: str) -> Ran:
            home = folder / f"call {name}"
            home.mkdir()
            for path in folder.iterdir():
                if not path.name.startswith("call "):
                    (home / path.name).symlink_to(path)
            args = [*(() if name in WITHOUT_VIDEO else (str(clip),)), *CALLS[name].args]
            for word, port in ports.items():
                args = [arg.replace(word, port) for arg in args]
            ran = refused(home, "replay", *args)
            return Ran(ran.exit_code, ran.stdout, _with_words(ran.stderr, ports))

        yield dict(zip(CALLS, pool.map(call, CALLS), strict=True))


def _with_words(text: str, ports: Mapping[str, str]) -> str:
    for word, port in ports.items():
        text = text.replace(port, word)
    return text


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_call_ends_with_2_and_says_what_is_wrong_and_what_to_do(refusals: dict[str, Ran], name: str) -> None:
    ran = refusals[name]
    assert ran.exit_code == 2, ran
    assert [words for words in CALLS[name].says if words not in ran.error] == [], ran.error
    assert "Traceback" not in ran.stderr
    assert '"event"' not in ran.stderr, "the error says it, and no line of a log before it"
    if {"--little", "--big"}.intersection(CALLS[name].args):
        assert "join with" not in ran.stdout, "models are looked at before anything starts"


@pytest.mark.parametrize("args", [("--evry", "3"), ("--every", "x"), ("--pace", "slow"), ("--cloud-workers", "0")])
def test_a_wrong_option_is_named(tmp_path: Path, args: tuple[str, str]) -> None:
    ran = refused(tmp_path, "replay", "x.mp4", *args)
    assert ran.exit_code == 2
    assert args[0].removeprefix("--") in ran.stderr


def test_it_is_said_how_to_get_mosquitto(clip: Path, tandem: Tandem) -> None:
    hidden = "import broker.mosquitto as m; m._PLACES = (); from pipeline.cli import main; main()"
    ran = Tandem(tandem.folder, sys.executable, "-c", hidden)("replay", clip, env={"PATH": "/nowhere"})
    assert ran.exit_code == 2
    assert ran.error.startswith("mosquitto: the broker is not installed: apt-get install mosquitto, or name a running")
    assert "--broker" in ran.error


def test_a_video_that_is_cut_short_is_replayed_as_far_as_it_goes_and_people_are_told(tandem: Tandem) -> None:
    whole, cut = tandem.folder / "whole.avi", tandem.folder / "cut.avi"
    video = cv2.VideoWriter(str(whole), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 12.0, (320, 240))
    for seed in range(40):
        video.write(examples.pixels(320, 240, seed))
    video.release()
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    ran = tandem("replay", cut, "--out", "out", "--every", "5", "--no-compare")
    assert ran.exit_code == 0, ran
    read = Out(tandem.folder / "out").tally("cut")["read"]
    assert 10 < read < 30
    assert f"cut short or damaged: {read} of the 40 frames that it states could be read" in ran.stdout


def test_pictures_larger_than_the_brokers_packets_fail_with_the_remedy(clip: Path, tandem: Tandem) -> None:
    with PrivateMosquitto(max_packet_bytes=7000) as broker:
        options = ("--broker", broker.url, "--miner", "CloudOnly", "--every", "12", "--report", "r.json")
        ran = tandem("replay", clip, "--out", "out", *options)
    assert ran.exit_code == 0, ran
    report = json.loads((tandem.folder / "r.json").read_text())
    out = Out(tandem.folder / "out")
    assert report["balanced"] is True
    assert report["streams"][STREAM]["failed"] == report["streams"][STREAM]["admitted"] == 4
    for row in out.rows():
        assert (row["ending"], row["revision"]) == ("failed", 2)
        assert "larger than the 7000 that the broker takes; raise max_packet_size" in row["reason"]
    assert out.seqs("all") == out.seqs("hard_edge") == [1, 13, 25, 37]
    assert out.seqs("hard_cloud") == []
    assert "4 frames failed" in ran.stdout
    assert "raise max_packet_size" in ran.stdout


# Broken messages


def broken() -> Iterator[Packet]:
    """Messages that no process of Tandem sends, on every topic that it has."""
    messages = [build() for kind, build in examples.BUILDERS.items() if kind is not HardExample]
    for message in (*messages, examples.hard_example(worker="worker-1")):
        packet = wire.encode(examples.SERVICE, message, 100.0)
        topic, body = packet.topic, packet.payload
        another = body.replace(b'"v":1', b'"v":2').replace(b"\xa1v\x01", b"\xa1v\x02")
        assert another != body
        for payload in (b"", b"\xff\x00\xc1", b"[" * 5000, body[: len(body) // 2], another):
            yield Packet(topic, payload, packet.content_type)
        if b"gate" in body:
            yield Packet(topic, body.replace(b"gate", b"date"), packet.content_type)  # another topic's


def publish_all(broker: PrivateMosquitto, packets: Iterable[Packet]) -> None:
    """Publish packets, and wait until the broker has them."""
    link = MqttLink(BrokerAddress.parse(broker.url), "vandal")
    link.start((), LinkEvents(lambda *_: None, lambda: None, lambda _: None))
    assert link.wait_connected(60)
    for packet in packets:
        link.publish(packet)
    link.stop(flush_s=10)
    assert link.outgoing.idle


def test_broken_messages_on_every_topic_change_nothing_and_are_counted(
    clip: Path, split: Replay, tandem: Tandem
) -> None:
    out = Out(tandem.folder / "out")
    packets = list(broken())
    with PrivateMosquitto(max_packet_bytes=200 << 20) as broker:
        options = ("--split", "--pace", "real", "--report", "r.json", "--broker", broker.url)
        with tandem.start("replay", clip, "--out", "out", *SETTINGS, *options) as replay:
            replay.in_the_middle(out, pictures=2)
            publish_all(broker, packets)
            assert len(out.seqs("all")) < len(SEQS), "it was not in the middle"
            # More than any process of Tandem takes: the broker keeps it from them.
            publish_all(broker, [Packet(packets[0].topic, bytes(wire.MAX_PAYLOAD_BYTES + 1), ContentType.JSON)])
            ran = replay.ended()
    assert ran.exit_code == 0, ran
    assert json.loads((tandem.folder / "r.json").read_text())["streams"] == split.report["streams"]
    assert out.pictures() == split.out.pictures()
    assert out.rows() == split.out.rows()
    dropped: Counter[str] = Counter()
    for name in ("reader", "detector", "miner", "uplink", "sink", "worker-1"):
        events = out.log(name)
        (stopped,) = [event for event in events if event["event"] == "stages_stopped"]
        dropped += Counter(stopped["dropped"])
        logged = [event["where"] for event in events if event["event"] == "message_dropped"]
        assert Counter(logged) == Counter(stopped["dropped"].keys()), "each topic is logged once"
    taken = {packet.topic for packet in packets if not packet.topic.endswith(("/results", "/state"))}
    taken = {topic for topic in taken if "/stages/" not in topic}
    assert taken <= dropped.keys()
    assert all(dropped[topic] >= 5 for topic in taken), dropped


def test_a_packet_of_200_mb_is_cut_off_by_the_private_broker(mosquitto: str) -> None:
    with PrivateMosquitto() as broker, socket.create_connection(("127.0.0.1", broker.port), timeout=60) as peer:
        peer.sendall(b"\x10\x12\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x05giant")
        assert peer.recv(2)[0] == 0x20  # CONNACK
        topic = b"tandem/helmet/drawn/results/cloud"
        size = 200 << 20
        length = bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14 & 127 | 128, size >> 21])
        try:
            peer.sendall(b"\x30" + length + len(topic).to_bytes(2) + topic + b"\x00")
            for _ in range(200):
                peer.sendall(bytes(1 << 20))
        except OSError:
            return
    pytest.fail("the broker took all of it")
