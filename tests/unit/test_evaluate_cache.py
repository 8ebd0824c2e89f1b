"""Models look at a set once."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from pipeline.app import progress
from pipeline.app.evaluate import seen as module
from pipeline.app.evaluate.pictures import PictureSet, picture_set
from pipeline.app.evaluate.seen import Seen, in_both, look, seen_in
from pipeline.config import DetectorConfig
from pipeline.errors import ConfigError, DropMessage
from pipeline.image import Image
from pipeline.model import Detections
from stages.source import Passed, Picture
from tests.examples import detections, image


class Looks:
    """A detector that counts how often it looks."""

    model = "little"

    def __init__(self) -> None:
        self.looked = 0

    def detect(self, picture: Image) -> Detections:
        self.looked += 1
        return detections((0.9, 0.1)[: self.looked % 3])


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> Looks:
    looks = Looks()
    monkeypatch.setattr(module, "make_detector", lambda *_: looks)
    return looks


@pytest.fixture
def pictures(tmp_path: Path) -> PictureSet:
    (tmp_path / "photos").mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.jpg"), np.full((20, 30, 3), 60 * number, np.uint8))
    return picture_set(str(tmp_path / "photos"), None, 10, 85)


def seen_by(pictures: PictureSet, cache: Path, **settings: float) -> Seen:
    return look("detector", DetectorConfig.model_validate(settings), pictures, cache, Console(quiet=True))


def test_the_second_time_comes_from_disk_and_is_the_same(detector: Looks, pictures: PictureSet, tmp_path: Path) -> None:
    first, again = (seen_by(pictures, tmp_path / "cache") for _ in range(2))
    assert (detector.looked, first.cached, again.cached) == (4, False, True)
    for name in ("seqs", "media_s", "sizes", "upload_bytes"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    for one, other in zip(first.detections, again.detections, strict=True):
        assert one.names == other.names
        for name in ("boxes", "scores", "labels"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert first.upload_bytes[0] == (tmp_path / "photos" / "0.jpg").stat().st_size


@pytest.mark.usefixtures("detector")
def test_where_there_is_no_terminal_a_line_says_how_far_it_is(
    pictures: PictureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_S", 0.0)
    said = StringIO()
    look("detector", DetectorConfig(), pictures, tmp_path, Console(file=said))
    assert said.getvalue().splitlines() == [f"little looks: {done}/4 pictures" for done in range(4)]


def test_what_shapes_the_answer_makes_it_look_again(detector: Looks, pictures: PictureSet, tmp_path: Path) -> None:
    seen_by(pictures, tmp_path)
    seen_by(pictures, tmp_path, confidence=0.6)
    assert detector.looked == 4, "the confidence is applied later"
    seen_by(pictures, tmp_path, floor=0.01)
    assert detector.looked == 8
    cv2.imwrite(str(tmp_path / "photos" / "0.jpg"), np.zeros((99, 99, 3), np.uint8))
    seen_by(pictures, tmp_path)
    assert detector.looked == 12


def test_a_damaged_cache_is_made_anew(detector: Looks, pictures: PictureSet, tmp_path: Path) -> None:
    seen_by(pictures, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:200])
    assert not seen_by(pictures, tmp_path / "cache").cached
    assert seen_by(pictures, tmp_path / "cache").cached


def test_a_cache_that_takes_nothing_is_an_error(detector: Looks, pictures: PictureSet, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--cache"):
        seen_by(pictures, tmp_path / "file")


def test_pictures_that_one_model_fails_on_are_left_out_for_both() -> None:
    def fails(picture: Image) -> Detections:
        if picture.width == 32:
            raise DropMessage("damaged")
        return detections()

    pictures = [Picture(seq, image(width), 0, 0.0, 0.0, Passed()) for seq, width in ((1, 16), (3, 32), (5, 64))]
    edge, cloud = in_both(seen_in(pictures, lambda _: detections()), seen_in(pictures, fails))
    assert edge.seqs.tolist() == cloud.seqs.tolist() == [1, 5]
    assert [len(each.detections) for each in (edge, cloud)] == [2, 2]


def test_what_is_no_set_is_refused(tmp_path: Path) -> None:
    for text, said in (("0", "has no end"), (str(tmp_path / "missing"), "does not exist")):
        with pytest.raises(ConfigError, match=said):
            picture_set(text, None, 10, 85)
