"""The public JSON Schema of results takes every message that is published, and nothing that lacks a field."""

from __future__ import annotations

import copy
import dataclasses
import json
import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from pipeline import wire
from pipeline.errors import DecodeError
from pipeline.messages import Result
from pipeline.model import Detections
from pipeline.schemas import FILE, result_schema, result_schema_text
from tests.examples import SERVICE, result, results

ROOT: Final = Path(__file__).parents[2]
SCHEMA: Final = result_schema()
VALIDATOR: Final = Draft202012Validator(SCHEMA)


def published(message: Result) -> dict[str, Any]:
    """The message as a subscriber reads it."""
    body: dict[str, Any] = json.loads(wire.encode(SERVICE, message, 0.0).payload)
    return body


def paths(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every field and every element, nested ones too."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from paths(inner, (*at, key))


def changed(body: dict[str, Any], path: tuple[str | int, ...], *value: object) -> dict[str, Any]:
    """A copy with the field at ``path`` set to ``value``, or left out."""
    body = copy.deepcopy(body)
    inner: Any = body
    for part in path[:-1]:
        inner = inner[part]
    if value:
        inner[path[-1]] = value[0]
    else:
        del inner[path[-1]]
    return body


def accepted(body: dict[str, Any]) -> bool:
    """What the schema says, seen to be what ``decode`` does."""
    valid = VALIDATOR.is_valid(body)
    try:
        wire.decode(f"tandem/{SERVICE}/{body.get('stream')}/results", json.dumps(body).encode(), 0.0)
    except DecodeError:
        assert not valid, "the schema takes what decode refuses"
    return valid


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


def test_the_file_is_what_the_model_gives() -> None:
    file = resources.files("pipeline.schemas").joinpath(FILE)
    assert file.read_text(encoding="utf-8") == result_schema_text(), "run scripts/schema --write"


def test_the_script_prints_it() -> None:
    printed = subprocess.run([ROOT / "scripts" / "schema"], check=True, capture_output=True, text=True)
    assert printed.stdout == result_schema_text()
    wrong = subprocess.run([ROOT / "scripts" / "schema", "--help"], check=False, capture_output=True, text=True)
    assert (wrong.returncode, wrong.stderr) == (2, "usage: scripts/schema [--write]\n")


@pytest.mark.parametrize("message", results(), ids=lambda message: f"{message.revision}-{message.ending}")
def test_every_result_is_valid(message: Result) -> None:
    body = published(message)
    VALIDATOR.validate(body)
    assert set(body) == set(SCHEMA["properties"]) == set(SCHEMA["required"])


def test_a_result_without_boxes_is_valid() -> None:
    body = published(dataclasses.replace(result(), detections=Detections.empty()))
    assert body["boxes"] == []
    assert accepted(body)


def test_fields_of_later_versions_are_valid() -> None:
    body = published(result())
    for place in (body, body["verdict"], body["models"], body["boxes"][0]):
        place["mood"] = "good"
    assert accepted(body)


@pytest.mark.parametrize("message", results(), ids=lambda message: f"{message.revision}-{message.ending}")
def test_a_result_with_any_field_removed_is_invalid(message: Result) -> None:
    body, tried = published(message), set()
    for path in paths(body):
        free = len(path) == 2 and path[0] in {"steps_ms", "boxes"}  # so many steps and boxes as there are
        if free:
            continue
        assert not accepted(changed(body, path)), path
        tried.add(".".join("*" if isinstance(part, int) else part for part in path))
    assert {"v", "boxes", "boxes.*.xyxy", "boxes.*.xyxy.*", "boxes.*.class", "verdict.hard", "models.cloud"} <= tried


WRONG: Final[tuple[Any, ...]] = (None, True, 5, -1, 1.5, "text", [], {}, ["a"], {"a": "b"})
NULLABLE: Final = {("ending",), ("worker",), ("verdict", "score"), ("verdict", "threshold"), ("models", "cloud")} | {
    ("verdict", "duplicate_of"),
    ("verdict", "budget"),
}


def json_type(value: object) -> str:
    """What JSON calls the type of a value."""
    names = {type(None): "null", bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")


@pytest.mark.parametrize("message", results(), ids=lambda message: f"{message.revision}-{message.ending}")
def test_a_result_with_any_field_of_a_wrong_type_is_invalid(message: Result) -> None:
    body, tried = published(message), 0
    for path in paths(body):
        value: Any = body
        for part in path:
            value = value[part]
        for wrong in WRONG:
            if json_type(wrong) == json_type(value) or (wrong is None and path in NULLABLE):
                continue
            if value is None and json_type(wrong) in {"string", "number"} and path != ("ending",):
                continue
            assert not accepted(changed(body, path, wrong)), (path, wrong)
            tried += 1
    assert tried > 200


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("v",), 2),
        (("v",), True),
        (("stream",), "Gate"),
        (("seq",), 0),
        (("seq",), 1.5),
        (("seq",), 2**53),
        (("revision",), 3),
        (("revision",), True),
        (("source",), "both"),
        (("ending",), "interrupted"),
        (("captured",), "yesterday"),
        (("captured",), "2026-11-01T12:00:00"),
        (("media_s",), -1),
        (("upload_bytes",), -1),
        (("boxes", 0, "score"), 1.1),
        (("boxes", 0, "class_id"), 4096),
        (("boxes", 0, "class_id"), 0.5),
        (("boxes", 0, "xyxy"), [1, 2, 3]),
        (("boxes", 0, "xyxy"), [1, 2, 3, 4, 5]),
        (("boxes", 0, "xyxy"), [1, 2, 3, "4"]),
        (("models", "edge"), "x" * 257),
        (("steps_ms", "read"), "1"),
    ],
)
def test_values_out_of_their_range_are_invalid(path: tuple[str | int, ...], value: object) -> None:
    assert not accepted(changed(published(result()), path, value))
