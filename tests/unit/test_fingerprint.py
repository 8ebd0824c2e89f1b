"""The hash by which a ledger knows its stream: another source changes it, a renewed secret does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.app.fingerprint import fingerprint
from pipeline.config import Config
from stages.sources.address import parse_source
from stages.sources.factory import make_source
from stages.sources.sampling import Every


def of(source: str, settings: dict[str, object] | None = None) -> str:
    """The fingerprint of a stream that reads this source."""
    config = Config.model_validate({"streams": {"gate": {"source": source}}, **(settings or {})})
    address = parse_source(source)
    return fingerprint(config, "gate", address, make_source(address, Every(1)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rtsp://cam/realmonitor?channel=1&subtype=0", "rtsp://cam/realmonitor?channel=2&subtype=0"),
        ("rtsp://me:8?s@cam/live?channel=1", "rtsp://me:8?s@cam/live?channel=2"),
        ("http://cam/mjpeg?1", "http://cam/mjpeg?2"),
        ("http://cam/mjpeg?1", "http://cam/mjpeg"),
        ("http://nvr/export.mp4?id=1", "http://nvr/export.mp4?id=2"),
    ],
)
def test_cameras_that_differ_by_their_query_are_told_apart(one: str, other: str) -> None:
    assert of(one) != of(other)
    assert of(one) == of(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rtsp://me:old@cam/live?channel=1", "rtsp://me:new@cam/live?channel=1"),
        ("rtsp://cam/live?channel=1&user=me&Password=old", "rtsp://cam/live?channel=1&user=me&Password=new"),
        ("http://cam/live?token=old;channel=1", "http://cam/live?token=new;channel=1"),
        ("https://s/a.mp4?X-Amz-Date=1&X-Amz-Signature=a", "https://s/a.mp4?X-Amz-Date=2&X-Amz-Signature=b"),
    ],
)
def test_a_renewed_secret_makes_no_other_camera_and_is_not_in_it(one: str, other: str) -> None:
    assert of(one) == of(other)
    assert parse_source(one).identity == parse_source(other).identity


def test_pictures_that_explain_themselves_do_not_mix_with_those_that_do_not() -> None:
    assert of("rtsp://cam/live", {"sink": {"explain": True}}) != of("rtsp://cam/live")
    assert of("rtsp://cam/live", {"sink": {"explain": False}}) == of("rtsp://cam/live")


@pytest.mark.parametrize("section", ["reader", "sink"])
def test_pictures_of_another_quality_do_not_mix(section: str) -> None:
    assert of("rtsp://cam/live", {section: {"jpeg_quality": 60}}) != of("rtsp://cam/live")


def test_nobody_is_shown_the_query() -> None:
    assert parse_source("rtsp://cam/live?channel=1&p=secret").name == "rtsp://cam/live"


def test_what_another_fitted_file_decided_does_not_mix(tmp_path: Path) -> None:
    learned = {"miner": {"name": "Learned", "model": str(tmp_path / "gate.onnx")}}
    seen = set()
    for content in (b"one", b"two"):
        (tmp_path / "gate.onnx").write_bytes(content)
        seen |= {of("rtsp://cam/live", learned), of("rtsp://cam/live", learned)}
    assert len({*seen, of("rtsp://cam/live", {"miner": {"name": "Learned"}})}) == 3
