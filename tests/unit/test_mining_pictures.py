"""Miners that look at the picture alone, and frames that are mined before the edge's model has looked."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.app.parts import miner_of, with_little
from pipeline.config import load, validated
from pipeline.errors import ConfigError, DropMessage
from pipeline.image import Image, Pixels
from pipeline.messages import Example, Frame, Message, Recalled, Result
from pipeline.model import Detections, Ending, Verdict
from pipeline.stage import StageName
from stages import revisions
from stages.detector import DetectorStage
from stages.held import Held
from stages.miner import MinerStage
from stages.mining.audit import Audit
from stages.mining.blur import STRIPS, Blur, laplacian_variance
from stages.mining.decider import Decider
from stages.mining.memory import Memory
from stages.mining.miner import Miner, View
from stages.mining.motion import Motion
from stages.mining.registry import MINERS, make_miner
from stages.outbox import Waiting
from tests import examples

NOTHING = Detections.empty()


def noise(width: int = 320, height: int = 240, seed: int = 1) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def view(pixels: Pixels, seq: int = 1, media_s: float = 0.0) -> View:
    height, width = pixels.shape[:2]
    return View("gate", seq, media_s, width, height, NOTHING, NOTHING, 0.3, Image(pixels=pixels))


def with_square(x: int, width: int = 640, height: int = 360) -> Pixels:
    pixels = np.full((height, width, 3), 90, np.uint8)
    pixels[100:180, x : x + 80] = 220
    return pixels


# Blur


def test_the_variance_is_that_of_the_laplacian() -> None:
    pixels = noise(64, STRIPS + 2)  # so that each line but the first and the last is the middle of a strip
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    whole = cv2.Laplacian(grey, cv2.CV_64F)[1:-1].var()
    assert laplacian_variance(pixels) == pytest.approx(whole, rel=1e-6)


def test_it_is_near_that_of_the_whole_picture_and_each_part_of_it_is_looked_at() -> None:
    soft = np.asarray(cv2.GaussianBlur(noise(1920, 1080), (0, 0), 1.5), np.uint8)
    whole = cv2.Laplacian(cv2.cvtColor(soft, cv2.COLOR_BGR2GRAY), cv2.CV_64F).var()
    assert laplacian_variance(soft) == pytest.approx(whole, rel=0.1)
    for part in np.s_[:360, :640], np.s_[360:720, 640:1280], np.s_[720:, 1280:]:
        flat = np.full_like(soft, 90)
        flat[part] = soft[part]
        assert laplacian_variance(flat) > 0


def test_what_is_blurred_more_scores_more() -> None:
    sharp = noise()
    pictures = [sharp, *(cv2.GaussianBlur(sharp, (0, 0), sigma) for sigma in (1.0, 2.0, 4.0))]
    verdicts = [Blur().judge(view(np.asarray(picture, np.uint8))) for picture in pictures]
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    assert scores == sorted(scores)
    assert (verdicts[0].hard, verdicts[-1].hard) == (False, True)


def test_seams_between_strips_are_no_edges() -> None:
    """A ramp of luma has no second derivative, but its strips, one above the other, have steps."""
    ramp = np.repeat(np.linspace(0, 254, 254, dtype=np.uint8)[:, None, None], 254, axis=1).repeat(3, axis=2)
    assert laplacian_variance(np.ascontiguousarray(ramp)) < 1


@given(st.integers(1, 200), st.integers(1, 200), st.floats(1, 1e5))
def test_a_picture_of_any_size_is_judged(width: int, height: int, sharpness: float) -> None:
    verdict = Blur(sharpness=sharpness).judge(view(noise(width, height)))
    assert verdict.score is not None
    assert verdict.threshold == 0.5
    assert verdict.hard == (verdict.score >= 0.5)
    assert 0 <= verdict.score <= 1


# Motion


def motions(*shown: tuple[float, Pixels]) -> list[Verdict]:
    memory, verdicts = Memory(), []
    for seq, (media_s, pixels) in enumerate(shown, 1):
        memory, verdict = Decider(Motion()).decide(memory, view(pixels, seq, media_s))
        memory = Memory.of(memory.text())  # as after a restart
        verdicts.append(verdict)
    return verdicts


def test_what_moves_is_hard_and_what_stands_is_easy() -> None:
    verdicts = motions((0.0, with_square(100)), (0.4, with_square(100)), (0.8, with_square(300)))
    assert [verdict.hard for verdict in verdicts] == [False, False, True]
    assert [verdict.score for verdict in verdicts[:2]] == [0, 0]
    assert verdicts[2].reason.startswith("the block that changed most has changed by ")


def test_frames_far_apart_or_of_another_shape_are_not_compared() -> None:
    for other in ((20.0, with_square(300)), (0.4, with_square(300, height=400))):
        (_, verdict) = motions((0.0, with_square(100)), other)
        assert (verdict.hard, verdict.reason) == (False, "there is no frame just before")


def test_a_frame_by_itself_does_not_move() -> None:
    assert not Motion().judge(view(with_square(100))).hard
    assert Decider(Motion()).remembers("gate")


# Mined first


class Seeing:
    """A detector that counts."""

    model = "little"

    def __init__(self) -> None:
        self.looked: list[int] = []

    def detect(self, image: Image) -> Detections:
        self.looked.append(image.width)
        return examples.detections((0.9, 0.4))


class Broken(Image):
    """A picture that cannot be decoded."""

    @property
    def pixels(self) -> Pixels:
        raise DropMessage("it is damaged")

    def pixels_at_least(self, width: int, height: int) -> Pixels:
        raise DropMessage(f"it is damaged, at {width}x{height} too")


def first(miner: Miner, detector: Seeing, *frames: Frame, audit: Audit | None = None) -> list[Message]:
    """What comes of frames that are mined first."""
    pass_on = DetectorStage(None, confidence=0.3, clock=lambda: 100.0)
    decider = Decider(miner, audit=audit or Audit(0.0))
    stage = MinerStage(decider, clock=lambda: 100.0, detector=detector)
    return [out for frame in frames for unseen in pass_on.process(frame) for out in stage.process(unseen)]


def frame(pixels: Pixels, seq: int = 1) -> Frame:
    return replace(examples.frame(seq), image=Image(pixels=pixels))


def test_a_hard_frame_is_not_looked_at_and_says_so() -> None:
    detector = Seeing()
    (example,) = first(Blur(), detector, frame(np.full((240, 320, 3), 9, np.uint8)))
    assert isinstance(example, Example)
    assert example.verdict.hard
    assert example.verdict.reason.endswith("; the edge's model has not looked at it")
    assert detector.looked == []
    result = revisions.first(example, 101.0)
    assert (result.edge_model, len(result.detections), result.ending) == ("", 0, None)


def test_an_easy_frame_is_looked_at() -> None:
    detector = Seeing()
    (example,) = first(Blur(), detector, frame(noise()))
    assert isinstance(example, Example)
    assert not example.verdict.hard
    assert "not looked" not in example.verdict.reason
    assert detector.looked == [320]
    assert (example.detected.model, len(example.detected.detections)) == ("little", 2)
    assert {"mine", "detect"} <= set(example.steps_ms)


def test_an_audited_frame_has_the_answers_of_both() -> None:
    detector = Seeing()
    (example,) = first(Blur(), detector, frame(noise()), audit=Audit(1.0))
    assert isinstance(example, Example)
    assert example.verdict.audited
    assert len(example.detected.detections) == 2
    assert detector.looked == [320]


@pytest.mark.parametrize("miner", [Blur(), make_miner("CloudOnly", {}), make_miner("EdgeOnly", {})])
def test_a_damaged_picture_ends_as_failed(miner: Miner) -> None:
    damaged = replace(examples.frame(), image=Broken(pixels=noise()))
    result, _ = first(miner, Seeing(), damaged)
    assert isinstance(result, Result)
    assert (result.ending, result.reason) == (Ending.FAILED, "the picture cannot be read: it is damaged")


def test_a_damaged_picture_leaves_what_is_remembered_alone() -> None:
    stage = MinerStage(Decider(Motion()), clock=lambda: 100.0, detector=Seeing(), incarnation="m")
    shown = [
        frame(with_square(100), 1),
        replace(examples.frame(2), image=Broken(pixels=noise())),
        frame(with_square(300), 3),
    ]
    waiting = [replace(examples.detected(each), candidates=NOTHING, model="") for each in shown]
    assert [type(out).__name__ for each in waiting for out in stage.process(each)] == ["MinerProgress"]
    outs = list(stage.process(Recalled(examples.STREAM, "m", ())))
    assert [out.verdict.hard for out in outs if isinstance(out, Example)] == [False, True]
    assert [out.id.seq for out in outs if isinstance(out, Result)] == [2]


def test_after_a_restart_it_is_not_said_twice_that_nobody_has_looked() -> None:
    def stage() -> MinerStage:
        return MinerStage(Decider(Motion()), clock=lambda: 100.0, detector=Seeing(), incarnation="m")

    def judged(it: MinerStage, *known: tuple[int, Verdict]) -> list[tuple[int, Verdict]]:
        for seq, x in ((1, 100), (2, 300)):
            shown = replace(examples.detected(frame(with_square(x), seq)), candidates=NOTHING, model="")
            it.process(shown)
        outs = it.process(Recalled(examples.STREAM, "m", known))
        return [(out.id.seq, out.verdict) for out in outs if isinstance(out, Example)]

    first = judged(stage())
    assert first[1][1].reason.endswith(" has changed by 73.1; the edge's model has not looked at it")
    assert judged(stage(), *first) == first


@pytest.mark.parametrize("ending", [Ending.EXPIRED, Ending.FAILED])
def test_without_the_clouds_answer_it_is_said_that_nobody_has_one(ending: Ending) -> None:
    unseen = Example(replace(examples.detected(), candidates=NOTHING, model=""), examples.verdict(), {})
    for example, end in ((unseen, "; the edge's model has not looked at it either"), (examples.example(), "")):
        result = revisions.first(example, 101.0)
        held = Held(Waiting(examples.store(result), 1, 100.0))
        assert revisions.second(held, ending, "no answer", 102.0, None).reason == f"no answer{end}"


def test_the_mode_goes_by_sednas_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert with_little(load()) is StageName.DETECTOR
    monkeypatch.setenv("MINING_MODE", "mining-then-inference")
    monkeypatch.setenv("HEM_NAME", "Blur")
    assert with_little(load()) is StageName.MINER
    assert miner_of(load()) == Blur()
    monkeypatch.setenv("MINING_MODE", "mining-first")
    with pytest.raises(ConfigError, match=r"MINING_MODE: .*'mining-then-inference'"):
        load()


def test_a_miner_of_boxes_cannot_come_first() -> None:
    able = {"Blur", "Motion", "Random", "CloudOnly", "EdgeOnly"}
    for name in MINERS:
        config = validated({"miner": {"name": name, "mode": "mining-then-inference"}})
        if name in able:
            assert miner_of(config).name == name
        else:
            with pytest.raises(
                ConfigError, match=f"miner.name: {name} judges by boxes.* choose one of Random, CloudOnly"
            ):
                miner_of(config)
