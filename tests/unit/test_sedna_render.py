"""Rendered manifests: valid, whole, and read by kubectl's YAML as by ours."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pipeline.app.sedna.render import as_yaml, render
from pipeline.app.sedna.translate import Side
from pipeline.errors import ConfigError


def test_every_manifest_has_a_file_that_the_kustomization_names(tmp_path: Path) -> None:
    one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"c": "x\ny\n", "d": Side.EDGE}}
    files = render([one], tmp_path / "new/out")
    assert [file.name for file in files] == ["configmap-a.yaml", "kustomization.yaml"]
    assert yaml.safe_load(files[0].read_text()) == one
    assert yaml.safe_load(files[1].read_text())["resources"] == ["configmap-a.yaml"]


def test_a_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    (file, _) = render([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {}}], tmp_path)
    assert file.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        render([], tmp_path / "file")


TEXTS = ["y", "N", "no", "on", "1e3", "0x1f", "017", "1_000", "12:30", ".5", "+1", "-", "~", "null", "True", "", "a: b"]


def test_texts_stay_texts_for_kubectl(tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("needs kubectl, which reads YAML otherwise than PyYAML")
    data = {f"k{number}": text for number, text in enumerate(TEXTS)}
    render([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}], tmp_path)
    done = subprocess.run([kubectl, "kustomize", tmp_path], capture_output=True, text=True, check=True)
    assert yaml.safe_load(done.stdout)["data"] == data


def test_what_kubectl_takes_for_something_else_is_quoted() -> None:
    for text in TEXTS:
        assert as_yaml({"key": text}) in {f"key: {json.dumps(text)}\n", f"key: '{text}'\n"}, text
