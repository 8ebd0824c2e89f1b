"""What a pod template says that Tandem has to know. The first container is the worker, others run beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pipeline.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder that the worker's container sees.

    Attributes:
        at: where it sees it.
        node_path: the folder on the node; None where the volume is of another kind.
        sub_path: the part of the volume that is mounted; empty for all of it.
    """

    volume: str
    at: PurePosixPath
    node_path: PurePosixPath | None = None
    sub_path: str = ""
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """A user's pod template.

    Attributes:
        pod: its spec.
        container: the worker's.
        environment: the worker's variables with a plain value; others are known in the pod alone.
        mounts: what the worker's container mounts.
        other_containers: those that run before the worker's and beside it, in words.
    """

    pod: Mapping[str, Any]
    container: Mapping[str, Any]
    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]
    other_containers: tuple[str, ...] = ()

    @property
    def node_name(self) -> str:
        """The node that is asked for; empty where Kubernetes may choose."""
        return str(self.pod.get("nodeName") or "")


def template_of(field: str, template: Mapping[str, Any]) -> Template:
    """Read a template.

    Args:
        field: its name in the object, for errors, e.g. ``spec.edgeWorker.template``.
        template: of a pod, as Kubernetes has it.

    Raises:
        ConfigError: a part that is read here is not as Kubernetes has it; it names the field.
    """
    pod = _mapping(f"{field}.spec", template.get("spec"))
    containers = _list(f"{field}.spec.containers", pod.get("containers"))
    if not containers:
        raise ConfigError(f"{field}.spec.containers", "there is no container: name at least the worker's")
    at = f"{field}.spec.containers.0"
    container = _mapping(at, containers[0])
    if not container.get("name"):
        raise ConfigError(f"{at}.name", "is required, but not set")
    return Template(
        pod,
        container,
        _environment(f"{at}.env", container),
        _mounts(field, pod, container),
        (
            *_named(f"{field}.spec.initContainers", "init container", pod.get("initContainers")),
            *_named(f"{field}.spec.containers", "container", containers[1:]),
        ),
    )


def _named(field: str, kind: str, containers: object) -> Iterator[str]:
    for container in _list(field, containers):
        yield f"the {kind} {_mapping(field, container).get('name')!r}"


def _environment(field: str, container: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, variable in enumerate(_list(field, container.get("env"))):
        at = f"{field}.{number}"
        name, value = _mapping(at, variable).get("name"), variable.get("value")
        if not isinstance(name, str):
            raise ConfigError(f"{at}.name", f"is no name (it is {name!r})")
        if value is None:
            if "valueFrom" not in variable:
                found[name] = ""
        elif isinstance(value, str):
            found[name] = value
        else:
            raise ConfigError(f"{at}.value", f"{name} has to be a string: put it in quotes (it is {value!r})")
    return found


def _mounts(field: str, pod: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[Mount, ...]:
    volumes: dict[str, Mapping[str, Any]] = {}
    for number, volume in enumerate(_list(f"{field}.spec.volumes", pod.get("volumes"))):
        at = f"{field}.spec.volumes.{number}"
        volumes[str(_mapping(at, volume).get("name"))] = volume
    at = f"{field}.spec.containers.0.volumeMounts"
    mounts = enumerate(_list(at, container.get("volumeMounts")))
    return tuple(_mount(f"{at}.{number}", _mapping(f"{at}.{number}", mount), volumes) for number, mount in mounts)


def _mount(field: str, mount: Mapping[str, Any], volumes: Mapping[str, Mapping[str, Any]]) -> Mount:
    name, at = str(mount.get("name")), mount.get("mountPath")
    if name not in volumes:
        raise ConfigError(f"{field}.name", f"there is no volume {name!r} in the template")
    if not isinstance(at, str) or not at.startswith("/"):
        raise ConfigError(f"{field}.mountPath", f"it has to be an absolute path (it is {at!r})")
    host = volumes[name].get("hostPath")
    path = host.get("path") if isinstance(host, Mapping) else None
    return Mount(
        name,
        PurePosixPath(at),
        PurePosixPath(path) if isinstance(path, str) else None,
        str(mount.get("subPath") or ""),
        bool(mount.get("readOnly")),
    )


def _mapping(field: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(field, "is required, but not set" if value is None else f"is no map (it is {value!r:.60})")
    return value


def _list(field: str, value: object) -> list[Any]:
    if not isinstance(value, list | None):
        raise ConfigError(field, f"is no list (it is {value!r:.60})")
    return value or []
