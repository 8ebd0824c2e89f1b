"""Manifests as files, for ``kubectl apply -k``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from pipeline.errors import ConfigError

_NUMBER_LIKE: Final = "+-.0123456789"


class _Dumper(yaml.SafeDumper):
    """Quotes what kubectl's YAML reads as something else than PyYAML does: y, N, 1e3. People read no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    risky = len(text) < 2 or text[0] in _NUMBER_LIKE
    style = '"' if risky else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style=style)


_Dumper.add_multi_representer(str, _text)
_Dumper.add_representer(str, _text)


def render(manifests: Iterable[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write each manifest into a file of its own, and a kustomization that names them; those of before are replaced.

    A Secret's file is its owner's alone.

    Raises:
        ConfigError: the folder cannot be written.
    """
    files = {f"{one['kind'].lower()}-{one['metadata']['name']}.yaml": dict(one) for one in manifests}
    kustomization = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(files)}
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (files | {"kustomization.yaml": kustomization}).items():
            written.append(folder / name)
            if content["kind"] == "Secret":
                written[-1].touch()
                written[-1].chmod(0o600)
            written[-1].write_text(as_yaml(content))
    except OSError as error:
        raise ConfigError("--render", f"{folder} cannot be written ({error.strerror}): name another folder") from error
    return written


def as_yaml(content: Mapping[str, Any]) -> str:
    """A manifest as YAML that Kubernetes reads as it was meant."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
