"""The CRDs are what an API server takes, and take what Sedna's users have."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from pipeline.app.sedna.objects import JointInferenceService
from tests.sedna_guide import GUIDE

FOLDER = Path(__file__).parents[2] / "manifests" / "crds"
CRDS = {
    crd["spec"]["names"]["kind"]: crd
    for name in yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    for crd in [yaml.safe_load((FOLDER / name).read_text())]
}
OBJECTS = list(yaml.safe_load_all(GUIDE))


def schema(kind: str) -> Any:
    (version,) = CRDS[kind]["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]


def parts(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from parts(below, f"{path}.{name}")
    if "items" in schema:
        yield from parts(schema["items"], f"{path}[]")


def unknown(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
    """What an API server would prune."""
    if isinstance(value, list):
        for item in value:
            yield from unknown(schema["items"], item, f"{path}[]")
    elif isinstance(value, dict) and path != ".metadata":
        for name, below in value.items():
            if name in schema.get("properties", {}):
                yield from unknown(schema["properties"][name], below, f"{path}.{name}")
            elif not schema.get("x-kubernetes-preserve-unknown-fields"):
                yield f"{path}.{name}"


@pytest.mark.parametrize("kind", CRDS)
@pytest.mark.parametrize("version", ["1.25", "1.37"])
def test_a_crd_follows_kubernetes_own_schema(kind: str, version: str) -> None:
    kubernetes_validate.validate(CRDS[kind], version, strict=True)


@pytest.mark.parametrize("kind", CRDS)
def test_a_crd_is_structural_and_well_named(kind: str) -> None:
    names = CRDS[kind]["spec"]["names"]
    assert CRDS[kind]["metadata"]["name"] == f"{names['plural']}.sedna.io"
    for path, part in parts(schema(kind), ""):
        assert part.get("type"), f"{path} has no type"
        assert part["type"] != "array" or "items" in part, path
        assert set(part.get("required", [])) <= set(part.get("properties", {})), path


@pytest.mark.parametrize("document", OBJECTS, ids=lambda document: document["metadata"]["name"])
def test_the_guides_objects_are_taken_and_nothing_of_them_is_lost(document: dict[str, Any]) -> None:
    jsonschema.validate(document, schema(document["kind"]))
    assert list(unknown(schema(document["kind"]), document, "")) == []


@pytest.mark.parametrize("field", ["model", "template"])
def test_a_worker_without_what_it_needs_is_refused(field: str) -> None:
    document = copy.deepcopy(OBJECTS[2])
    del document["spec"]["cloudWorker"][field]
    with pytest.raises(jsonschema.ValidationError, match=f"'{field}' is a required property"):
        jsonschema.validate(document, schema("JointInferenceService"))


def test_the_crd_and_our_own_types_know_the_same_fields() -> None:
    ours = JointInferenceService.model_json_schema(by_alias=True)["$defs"]
    theirs = schema("JointInferenceService")["properties"]["spec"]["properties"]
    assert set(theirs) == set(ours["ServiceSpec"]["properties"])
    assert set(theirs["edgeWorker"]["properties"]) == set(ours["EdgeWorker"]["properties"])
    assert set(theirs["cloudWorker"]["properties"]) == set(ours["Worker"]["properties"])
    assert set(theirs["cloudWorker"]["properties"]["hpa"]["properties"]) == set(ours["Scaling"]["properties"])


def test_kubectl_shows_the_service_at_a_glance() -> None:
    crd = CRDS["JointInferenceService"]["spec"]
    assert crd["names"]["shortNames"] == ["ji"]
    assert [column["name"] for column in crd["versions"][0]["additionalPrinterColumns"]] == [
        "Phase", "Edge", "Cloud", "Inferences", "Hard", "Upload ratio", "Age",
    ]  # fmt: skip
    assert crd["versions"][0]["subresources"] == {"status": {}}
