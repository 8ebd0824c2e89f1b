"""An evaluation as one HTML page that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import jinja2

from pipeline.app.evaluate.answers import SURE, Wrong
from pipeline.app.evaluate.chart import chart
from pipeline.app.evaluate.findings import BYTES_RATIO, TOLD_RATIO, Findings
from pipeline.app.evaluate.replay import RATIOS
from pipeline.app.evaluate.shown import Pair

TEMPLATE: Final = "page.html.j2"


def page(findings: Findings, title: str, pictures: Mapping[int, Pair]) -> str:
    """The page: the curves, all figures, and the pictures that tell something, by their indices.

    All text is escaped, and a picture that is missing is left out.
    """
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.app.evaluate", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"percent": percent, "pixels": pixels}
    return templates.get_template(TEMPLATE).render(
        title=title,
        found=findings,
        chart=chart(findings.by_pictures),
        ratios=RATIOS,
        told_ratio=TOLD_RATIO,
        bytes_ratio=BYTES_RATIO,
        pictures=pictures,
        kinds=list(Wrong),
        sure=SURE,
    )


def percent(value: float) -> str:
    """A share for people; a dash where it is not known."""
    return f"{100 * value:.0f}" if math.isfinite(value) else "-"


def pixels(value: float) -> str:
    """A length for people; a dash where it is not known."""
    return f"{value:.0f}" if math.isfinite(value) else "-"
