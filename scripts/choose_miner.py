"""Choose the miner that needs no fitting, and the thresholds that all have by default, on labelled photographs.

``scripts/choose_miner.py [FOLDER]``, a folder with ``images`` and ``labels`` (YOLO text), by default ../shared/mining.
It prints what each way to put boxes together recovers of the gap between edge and cloud, on average over the ratios of
``tandem evaluate``, and the score from which on a miner sends a quarter. What is measured on must not be chosen on, so
a folder for measuring is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.app.evaluate.boxes import boxes_of, class_names
from pipeline.app.evaluate.joint import joint_of
from pipeline.app.evaluate.labels import read_labels, shots
from pipeline.app.evaluate.metric import scored
from pipeline.app.evaluate.pictures import picture_set
from pipeline.app.evaluate.replay import RATIOS, Bench, bench, hardness, measuring
from pipeline.app.evaluate.run import both, views_of
from pipeline.config import Config
from pipeline.errors import ConfigError
from stages.mining.learned import Learned
from stages.mining.miner import Miner, View
from stages.mining.registry import MINERS, make_miner

FOR_CHOOSING: Final = Path(__file__).resolve().parent.parent.parent / "shared" / "mining"
SENT: Final = 0.25
"""A default threshold sends this part of the photographs."""


def candidates() -> Iterator[tuple[str, Miner]]:
    """Each miner that judges by boxes unfitted, and the uncertain ones with all ways to put boxes together."""
    for name, kind in MINERS.items():
        if not kind.needs_picture and kind is not Learned:
            yield name, make_miner(name, {})
    for name in ("LeastConfidence", "Margin", "Entropy"):
        for aggregate in ("sum", "max", "mean", "top"):
            for least in (0.05, 0.1, 0.2, 0.3):
                yield f"{name} {aggregate} {least:g}", make_miner(name, {"aggregate": aggregate, "least": least})


def compared(table: Bench, views: Sequence[View], miners: Mapping[str, Miner]) -> list[tuple[str, float, float]]:
    """Name, mean share of the gap that is recovered, and the score that sends ``SENT``; the best first."""
    rows = []
    for name, verdicts in measuring(miners, views).items():
        scores = np.array([hardness(verdict) for verdict in verdicts])
        reached = [table.hardest(scores, ratio).gap_recovered for ratio in RATIOS]
        quarter = table.hardest(scores, SENT).threshold
        rows.append((name, float(np.mean(reached)), float("nan") if quarter is None else quarter))
    return sorted(rows, key=lambda row: -row[1])


def for_choosing(folder: Path) -> Path:
    """The folder, if it may be used to choose.

    Raises:
        ConfigError: it is for measuring.
    """
    if "eval" in folder.resolve().parts:
        raise ConfigError("FOLDER", f"{folder} is for measuring: what is chosen there says nothing when measured there")
    return folder


def main(folder: Path, console: Console, cache: Path) -> None:
    """Look, compare, print."""
    config = Config()
    pictures = picture_set(str(for_choosing(folder) / "images"), None, 1, config.reader.jpeg_quality)
    edge, cloud = both(config, pictures, cache, console)
    classes = class_names(edge.detections, cloud.detections)
    sizes = [(int(width), int(height)) for width, height in edge.sizes]
    shown = shots(pictures.names(), edge.seqs.tolist(), sizes)
    truth = read_labels(folder / "labels", shown, classes, video=False).boxes
    columns = [boxes_of(seen.detections, classes) for seen in (edge, cloud)]
    of_edge, of_cloud = ((each, scored(truth, each, len(shown), len(classes)).right) for each in columns)
    joint = joint_of(truth, of_edge, of_cloud, len(shown), len(classes))
    confidences = config.detector.confidence, config.cloud.confidence
    table = bench(joint, edge.upload_bytes, 0, confidences, resamples=1, seed=config.seed)
    printed = Table("miner", "gap recovered, mean", f"threshold for {SENT:.0%}")
    for name, reached, threshold in compared(table, views_of(edge, config.detector.confidence), dict(candidates())):
        printed.add_row(name, f"{100 * reached:.1f} %", f"{threshold:.3g}")
    console.print(printed)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else FOR_CHOOSING, Console(width=120), Path("~/.cache/tandem").expanduser())
