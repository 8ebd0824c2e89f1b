"""What is chosen is chosen on other pictures than it is measured on."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.app.evaluate.joint import Class, Joint
from pipeline.app.evaluate.replay import bench
from pipeline.errors import ConfigError
from scripts import choose_miner
from stages.mining.miner import View
from stages.mining.registry import make_miner
from tests.conftest import ROOT
from tests.examples import detections

CODE = [file for folder in ("pipeline", "stages", "broker", "scripts") for file in (ROOT / folder).rglob("*.py")]


def test_no_code_that_fits_or_chooses_names_the_pictures_for_measuring() -> None:
    assert ROOT / "scripts" / "choose_miner.py" in CODE
    fits = re.compile(r"\.fit\(|FOR_CHOOSING|sklearn|skl2onnx")
    names = re.compile(r"shared.{0,4}eval\b|hardhat")
    texts = {file: file.read_text() for file in CODE}
    fitting = {file.relative_to(ROOT).as_posix() for file, text in texts.items() if fits.search(text)}
    assert {"scripts/choose_miner.py", "pipeline/app/fitting/learner.py"} <= fitting
    texts |= {file: f"sklearn {text}" for file, text in texts.items() if "fitting" in file.parts}
    assert not [file for file, text in texts.items() if fits.search(text) and names.search(text)]


def test_a_folder_for_measuring_is_refused(tmp_path: Path) -> None:
    (tmp_path / "eval" / "hardhat").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(tmp_path / "eval" / "hardhat")
    for folder in (tmp_path / "eval" / "hardhat", tmp_path / "linked"):
        with pytest.raises(ConfigError, match="for measuring"):
            choose_miner.for_choosing(folder)
    assert choose_miner.for_choosing(tmp_path) == tmp_path
    assert choose_miner.FOR_CHOOSING.parts[-2:] == ("shared", "mining")


def test_the_one_that_recovers_more_comes_first_with_the_score_that_sends_a_quarter() -> None:
    """Where the edge is unsure it misses an object, which the cloud finds."""
    n = 40
    unsure = np.linspace(0, 1, n)
    edge = np.flatnonzero(unsure < 0.5)
    places = np.concatenate([edge, np.arange(n)])
    cloud = np.repeat([False, True], [len(edge), n])
    joint = Joint(
        n, (Class(np.ones(n, np.int64), places, np.full(len(places), 0.8), np.full(len(places), True), cloud),)
    )
    table = bench(joint, np.ones(n, np.int64), 0, (0.3, 0.3), resamples=1, seed=0)
    seen = [detections([float(1 - part / 2)]) for part in unsure]
    views = [View("a", i + 1, 0.0, 64, 48, each, each, 0.3) for i, each in enumerate(seen)]
    miners = {name: make_miner(name, {}) for name in ("EmptySuspicious", "LeastConfidence")}
    (first, reached, threshold), (_, less, _) = choose_miner.compared(table, views, miners)
    assert first == "LeastConfidence"
    assert reached > less
    assert threshold == pytest.approx(unsure[30] / 2, abs=1e-6)


def test_ways_to_put_boxes_together_are_all_tried() -> None:
    names = [name for name, _ in choose_miner.candidates()]
    assert not {"Blur", "Motion"} & set(names), "pictures are not kept"
    assert "Learned" not in names, "it was fitted on them"
    assert {"LeastConfidence sum 0.2", "Entropy top 0.05", "Margin max 0.3", "DifficultCase"} <= set(names)
