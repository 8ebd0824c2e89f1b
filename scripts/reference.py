"""Print the README's reference tables, from the code: settings, miners, topics. A test compares them."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from pipeline.app.metrics import METRICS
from pipeline.config import Config, StreamConfig
from pipeline.payloads.results import ResultPayload
from stages.mining.registry import MINERS


def settings(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """A row for each setting."""
    for name, field in model.model_fields.items():
        if name == "streams":
            yield from settings(StreamConfig, "streams.NAME.")
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings(field.annotation, f"{prefix}{name}.")
        else:
            yield f"| `{prefix}{name}` | {_default(field.default)} | {field.description} |"


def miners() -> Iterator[str]:
    """A row for each parameter, with all miners that have it alike."""
    rows: dict[str, list[str]] = {}
    for name, miner in MINERS.items():
        for parameter, field in miner.model_fields.items():
            rows.setdefault(f"`{parameter}` | {_default(field.default)} | {field.description} |", []).append(name)
    for row, names in rows.items():
        yield f"| {', '.join(names)} | {row}"


def result_fields() -> Iterator[str]:
    """A row for each field of a public result."""
    for name, field in ResultPayload.model_fields.items():
        yield f"| `{field.alias or name}` | {field.description} |"


def metrics() -> Iterator[str]:
    """A row for each metric."""
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


def _default(value: object) -> str:
    if value is None or type(value).__name__ == "PydanticUndefinedType":
        return ""
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    return f"`{value.human_readable() if hasattr(value, 'human_readable') else value}`"


if __name__ == "__main__":
    for title, rows in (
        ("settings", settings()),
        ("miners", miners()),
        ("results", result_fields()),
        ("metrics", metrics()),
    ):
        print(f"\n{title}\n" + "\n".join(rows))
