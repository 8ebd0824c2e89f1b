"""Which pictures are sent, what that brings, and what the report says of it."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from pipeline.app.evaluate.answers import Answers, Wrong
from pipeline.app.evaluate.boxes import Boxes
from pipeline.app.evaluate.findings import Ends, Findings, found
from pipeline.app.evaluate.joint import Class, Joint
from pipeline.app.evaluate.page import page
from pipeline.app.evaluate.replay import RATIOS, Bench, bench, hardness, judged, measuring, ranked
from pipeline.app.evaluate.run import SEDNA_EXAMPLE, miners_of
from pipeline.app.evaluate.show import show
from pipeline.app.evaluate.shown import Pair
from pipeline.app.evaluate.telling import Witness
from pipeline.budget import Budget
from pipeline.config import validated
from pipeline.errors import ConfigError
from pipeline.model import Detections, Verdict
from stages.mining.miner import View
from stages.mining.registry import MINERS

PICTURES = 40
BYTES = np.arange(1, PICTURES + 1) * 100


def made(edge_finds: Sequence[bool], cloud_finds: Sequence[bool]) -> Joint:
    """A set with one object in each picture, which each model finds or not, with a score of 0.8."""
    n = len(edge_finds)
    places = np.concatenate([np.flatnonzero(edge_finds), np.flatnonzero(cloud_finds)])
    cloud = np.repeat([False, True], [sum(edge_finds), sum(cloud_finds)])
    right = np.ones(len(places), np.bool_)
    return Joint(n, (Class(np.ones(n, np.int64), places, np.full(len(places), 0.8), right, cloud),))


@pytest.fixture
def table() -> Bench:
    """The edge finds the objects of the first half, the cloud all of them."""
    joint = made(np.arange(PICTURES) < PICTURES // 2, np.ones(PICTURES, np.bool_))
    return bench(joint, BYTES, 0, (0.3, 0.3), resamples=50, seed=1)


def verdicts(scores: Sequence[float], limit: float = 0.5) -> list[Verdict]:
    return [Verdict(hard=score >= limit, miner="X", score=score, threshold=limit, reason="") for score in scores]


def witness(table: Bench) -> Witness:
    """Objects of 10 x 10 pixels, of which both models have all; the names of the pictures are tags of HTML."""
    n = table.joint.pictures
    places = np.arange(n)
    truth = Boxes(places, np.zeros(n, np.int64), np.tile([0.0, 0.0, 10.0, 10.0], (n, 1)), np.ones(n))
    wrong = np.zeros((n, len(Wrong)), np.int64)
    edge, cloud = (Answers(found, wrong, wrong[:, 0]) for found in (places < n // 2, np.ones(n, np.bool_)))
    return Witness([f"<b>{i}</b>.jpg" for i in range(n)], ("helmet_off",), truth, edge, cloud)


def findings(
    table: Bench,
    each: Mapping[str, Sequence[Verdict]] | None = None,
    *,
    map50_95: Ends = Ends(0.4, 0.5),  # noqa: B008 - frozen
    watched: str = "helmet_off",
    human: bool = True,
    own: str = "Wrong",
) -> Findings:
    """What is found of these verdicts, or of a miner that knows and one that is always wrong."""
    knows = np.linspace(0, 1, PICTURES)
    each = each or {"Knows": verdicts(knows), "Wrong": verdicts(1 - knows)}
    budget = Budget.parse("20 % of the bytes")
    return found(table, each, (budget, each), witness(table), map50_95=map50_95, watched=watched, human=human, own=own)


def test_sending_what_the_edge_misses_recovers_the_gap(table: Bench) -> None:
    half = table.hardest(np.arange(PICTURES, dtype=np.float64), 0.5)
    assert half.gap_recovered == pytest.approx(1.0)
    assert half.recall == 1.0
    assert half.upload_bytes == BYTES[20:].sum()
    assert half.threshold == 20
    assert table.hardest(-np.arange(PICTURES, dtype=np.float64), 0.5).gap_recovered == pytest.approx(0.0)


def test_chance_recovers_its_share_and_the_oracle_bounds_all(table: Bench) -> None:
    curves = findings(table).by_pictures
    for ratio in RATIOS:
        assert curves.random[ratio].gap_recovered == pytest.approx(ratio, abs=0.08)
        assert curves.oracle[ratio].gap_recovered == pytest.approx(2 * ratio, abs=0.03)


def test_bytes_bound_what_is_sent(table: Bench) -> None:
    largest_first = table.hardest(np.arange(PICTURES, dtype=np.float64), 0.2, by_bytes=True)
    assert largest_first.share == 4 / PICTURES
    assert largest_first.upload_bytes <= 0.2 * BYTES.sum() < largest_first.upload_bytes + BYTES[35]


def test_an_interval_holds_the_figure_and_more_pictures_narrow_it(table: Bench) -> None:
    few = table.hardest(np.arange(PICTURES, dtype=np.float64), 0.2)
    assert few.interval[0] < few.gap_recovered < few.interval[1]
    n = 16 * PICTURES
    wide = bench(
        made(np.arange(n) < n // 2, np.ones(n, np.bool_)), np.ones(n, np.int64), 0, (0.3, 0.3), resamples=50, seed=1
    )
    many = wide.hardest(np.arange(n, dtype=np.float64), 0.2)
    assert many.interval[1] - many.interval[0] < (few.interval[1] - few.interval[0]) / 2


def test_a_cloud_that_is_no_better_leaves_no_gap() -> None:
    same = bench(made([True] * 4, [True] * 4), np.ones(4, np.int64), 0, (0.3, 0.3), resamples=5, seed=0)
    assert math.isnan(same.hardest(np.arange(4.0), 0.5).gap_recovered)
    told = findings(same, {"X": verdicts([0, 1, 2, 3])}, map50_95=Ends(1, 1), watched="person", own="EdgeOnly")
    report = told.json()
    assert report["misses"]["pictures"] == []
    assert "there is no gap to recover" in page(told, "set", {})
    assert report["best"]["0.20"] is None
    assert report["miners"]["X"]["0.20"]["gap_recovered"] is None
    json.dumps(report, allow_nan=False)


def test_equal_scores_are_drawn_by_the_seed() -> None:
    scores = np.array([0.0, 1, 1, 1, 1, 1, 2])
    order = ranked(scores, 1)
    assert (order[0], order[-1]) == (6, 0)
    assert ranked(scores, 1).tolist() == order.tolist()
    assert {tuple(ranked(scores, seed)) for seed in range(9)} > {tuple(order)}


def test_what_was_not_measured_ranks_by_its_verdict() -> None:
    easy, hard = (Verdict(hard=hard, miner="IBT", score=None, threshold=None, reason="") for hard in (False, True))
    assert hardness(easy) < hardness(verdicts([-5.0])[0]) < hardness(verdicts([5.0])[0]) < hardness(hard)


def test_every_miner_that_measures_is_replayed() -> None:
    view = View("a", 1, 0.0, 10, 10, Detections.empty(), Detections.empty(), 0.3)
    config = validated({"miner": {"name": "Entropy", "threshold": 3}})
    miners = miners_of(config)
    assert set(measuring(miners, [view])) == {*MINERS, SEDNA_EXAMPLE} - {"CloudOnly", "EdgeOnly", "Blur", "Motion"}
    assert miners["Entropy"].judge(view).threshold == 3, "the config's own"
    with pytest.raises(ConfigError, match=r"miner.name: Blur looks at pictures"):
        miners_of(validated({"miner": {"name": "Blur"}}))


def test_the_report_has_the_keys_that_were_agreed(table: Bench) -> None:
    report = findings(table).json()
    assert list(report)[:6] == ["images", "map50", "map50_95", "miners", "bounds", "best"]
    assert report["images"] == PICTURES
    assert report["map50"] == {"edge": pytest.approx(51 / 101, abs=1e-4), "cloud": 1.0}
    assert list(report["miners"]["Knows"]) == ["0.05", "0.10", "0.20", "0.30", "0.50"]
    assert set(report["miners"]["Knows"]["0.20"]) == {"map50", "gap_recovered", "bytes", "recall_helmet_off"}
    assert set(report["bounds"]) == {"random", "oracle"}
    assert set(report["best"]["0.20"]) == {"miner", "gap_recovered", "interval"}
    assert report["best"]["0.20"]["miner"] == "Knows"
    assert report["by_bytes"]["best"]["0.20"]["miner"] == "Knows"
    assert report["thresholds"]["Knows"]["0.50"] == pytest.approx(20 / 39, abs=1e-4)
    assert report["as_set"]["Knows"]["share"] == 0.5
    assert (report["labels"], findings(table, human=False).json()["labels"]) == ("human", "cloud model")


def test_a_budget_in_bytes_is_spent_without_knowing_what_comes(table: Bench) -> None:
    """On pictures of one size that come at random, a fifth of the bytes is spent but for a tenth of it at first."""
    n, draw = 2000, np.random.default_rng(5)
    views = [
        View("a", i + 1, i / 5, 100, 100, one, one.at_least(0.3), 0.3, jpeg_bytes=1000)
        for i in range(n)
        for one in [Detections(np.zeros((1, 4), np.float32), draw.random(1, np.float32), np.zeros(1, np.int32), ("a",))]
    ]
    miners = {"LeastConfidence": miners_of(validated({}))["LeastConfidence"]}
    within = judged(miners, views, Budget.parse("20 % of the bytes"))["LeastConfidence"]
    sent = np.array([verdict.hard for verdict in within])
    assert 0.18 <= sent.mean() <= 0.2
    scores = np.array([verdict.score for verdict in judged(miners, views)["LeastConfidence"]])
    assert scores[sent].mean() > 0.9 * np.sort(scores)[-int(sent.sum()) :].mean()
    assert findings(table).json()["by_budget"]["miners"]["Knows"]["share_of_bytes"] == pytest.approx(
        610 / 820, abs=1e-4
    )


def test_the_worst_misses_say_what_was_missed_and_how_they_were_ranked(table: Bench) -> None:
    misses = findings(table).json()["misses"]
    assert (misses["miner"], misses["ratio"], len(misses["pictures"])) == ("Wrong", 0.2, 8)
    assert {each["picture"] for each in misses["pictures"]} <= {f"<b>{i}</b>.jpg" for i in range(20, 40)}
    assert misses["pictures"][0]["why"].startswith(
        "The little model misses 1 helmet_off that the big one finds. Wrong gives it "
    )
    assert misses["pictures"][0]["why"].endswith("of 40: the first 8 are sent.")


class _Page(HTMLParser):
    """What a page holds: tags with their attributes, and all text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_the_figures_of_the_report_and_needs_nothing_else(table: Bench) -> None:
    told = findings(table)
    shown = Pair("data:image/jpeg;base64,AAAA", "data:image/jpeg;base64,BBBB")
    text = page(told, "<i>photos</i>", {each.picture: shown for each in told.misses[1:]})
    read, report = _Page(), told.json()
    read.feed(text)
    for tag, attributes in read.tags:
        assert tag not in {"script", "link", "iframe", "object", "i", "b"} or (tag, len(attributes)) in {
            ("b", 0),
            ("i", 1),
        }
        for name, value in attributes.items():
            assert "//" not in (value or ""), (tag, name)
            assert name not in {"src", "href"} or (value or "").startswith("data:")
    curves: dict[str, dict[str, float]] = {}
    for tag, attributes in read.tags:
        if tag == "g":
            at = curves.setdefault(str(attributes["data-name"]), {})
        elif tag == "circle":
            at[str(attributes["data-ratio"])] = float(str(attributes["data-gap"]))
    bounds = report["bounds"]
    expected = {**report["miners"], "Oracle": bounds["oracle"], "Random, expected": bounds["random"]}
    assert curves == {
        name: {ratio: figure["gap_recovered"] for ratio, figure in each.items()} for name, each in expected.items()
    }
    assert sum(tag == "img" for tag, _ in read.tags) == 2 * 7, "a picture that cannot be read any more is left out"
    assert "<i>photos</i>: what miners are worth" in read.text
    assert told.misses[1].name in read.text


def test_the_table_shows_the_best_first_and_says_whose_labels_these_are(table: Bench) -> None:
    printed = io.StringIO()
    show(findings(table, human=False), Console(file=printed, width=200))
    text = printed.getvalue()
    assert text.index("Knows") < text.index("Wrong") < text.index("random, expected") < text.index("oracle")
    assert "the big model's boxes, which stand in for labels" in text
    assert "best at 20 % of the pictures: Knows" in text


def test_the_table_fits_80_columns(table: Bench) -> None:
    printed, knows = io.StringIO(), np.linspace(0, 1, PICTURES)
    names = ("LeastConfidence", "UncertaintyBand", "EmptySuspicious", SEDNA_EXAMPLE)
    told = findings(table, {name: verdicts(knows) for name in names}, own="LeastConfidence")
    show(told, Console(file=printed, width=80))
    lines = printed.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for name in names:
        (row,) = [line for line in lines if line.strip().startswith(f"{name} ")]
        assert row.split()[-1] == "50%", "its share as set is on the same line"
