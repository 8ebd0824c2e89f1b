"""The JSON Schema of public results, as a file that others may copy, and as the model gives it."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Final

from pipeline.payloads.results import ResultPayload

FILE: Final = "result.schema.json"


def result_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of what is published on ``tandem/{service}/{stream}/results``."""
    schema: dict[str, Any] = json.loads(resources.files(__name__).joinpath(FILE).read_text(encoding="utf-8"))
    return schema


def result_schema_text() -> str:
    """What belongs in the file: the schema of the model that encodes results."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ResultPayload.model_json_schema(mode="serialization", by_alias=True),
        "title": "Result",
    }
    return json.dumps(schema, indent=2) + "\n"
