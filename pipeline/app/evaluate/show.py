"""An evaluation's figures for people."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipeline.app.evaluate.edge_better import EdgeBetter
from pipeline.app.evaluate.findings import BYTES_RATIO, Findings
from pipeline.app.evaluate.replay import RATIOS, Figure


def show(findings: Findings, console: Console) -> None:
    """Print both models' figures, and a row for each miner: the share of the gap that it recovers."""
    whose = "people's labels" if findings.labels == "human" else "the big model's boxes, which stand in for labels"
    console.print(f"{findings.images} pictures, {findings.upload_bytes / 2**20:.1f} MiB, by {whose}", highlight=False)
    for what, ends in (
        ("mAP50", findings.map50),
        ("mAP50-95", findings.map50_95),
        (f"recall of {findings.watched}", findings.recall),
    ):
        console.print(f"{what}: edge {_number(ends.edge)}, cloud {_number(ends.cloud)}", highlight=False)
    if not findings.map50.cloud > findings.map50.edge:
        console.print("the cloud is not better than the edge here: there is no gap to recover", highlight=False)
        return
    console.print("gap between edge and cloud in mAP50 that is recovered, in %, by the share that is sent:")
    console.print(_table(findings))
    best = findings.by_pictures.best(0.20)
    if best is not None:
        low, high = findings.by_pictures.miners[best][0.20].interval
        console.print(
            f"best at 20 % of the pictures: {best}, 95 % interval {100 * low:.0f} to {100 * high:.0f}", highlight=False
        )
    console.print("oracle: it knows the labels, and sends first what gains most", highlight=False)
    console.print(_edge_better(findings.edge_better), highlight=False)
    console.print(f"budgeted: with a budget of {findings.by_budget.setting}, spent picture by picture", highlight=False)


def _edge_better(found: EdgeBetter) -> str:
    """Where the little model is the better one, in words."""
    here, there = found.here, found.elsewhere
    return (
        f"the edge is the better one on {here.pictures} pictures: there the cloud misses {here.edge_only} objects that "
        f"the edge finds, and finds {here.cloud_only} others ({there.edge_only} and {there.cloud_only} elsewhere); it "
        f"is sure of {here.unlabelled} boxes where nothing is labelled ({there.unlabelled} elsewhere)"
    )


def _table(findings: Findings) -> Table:
    # As narrow as it can be, so that a terminal of 80 columns cuts no name off and wraps no row.
    table = Table(box=SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    table.add_column("miner", no_wrap=True)
    for title in (*(f"{ratio:.0%}" for ratio in RATIOS), f"{BYTES_RATIO:.0%} of\nbytes", "budgeted", "as set"):
        table.add_column(title, justify="right", no_wrap=True, vertical="bottom")
    pictures, volume = findings.by_pictures, findings.by_bytes
    for name, figures in sorted(pictures.miners.items(), key=lambda row: -row[1][0.20].gap_recovered):
        own, within = findings.as_set[name], findings.by_budget.miners[name]
        budgeted = f"{_percent(within)} for {within.upload_bytes / findings.upload_bytes:.0%}"
        table.add_row(name, *_row(figures, volume.miners[name]), budgeted, f"{_percent(own)} for {own.share:.0%}")
    table.add_section()
    for name, bound, of_bytes in (
        ("random, expected", pictures.random, volume.random),
        ("oracle", pictures.oracle, volume.oracle),
    ):
        table.add_row(name, *_row(bound, of_bytes), "")
    return table


def _row(figures: Mapping[float, Figure], of_bytes: Mapping[float, Figure]) -> list[str]:
    return [*(_percent(figures[ratio]) for ratio in RATIOS), _percent(of_bytes[BYTES_RATIO])]


def _percent(figure: Figure) -> str:
    return "-" if math.isnan(figure.gap_recovered) else f"{100 * figure.gap_recovered:.0f}"


def _number(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.3f}"
