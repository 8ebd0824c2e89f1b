"""A service without a cluster: its nodes' and pods' paths as folders of this machine."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

from pipeline.app.sedna.model_source import MODELS
from pipeline.app.sedna.objects import JointInferenceService, Metadata, Model, ModelName, ModelSpec
from pipeline.app.sedna.template import Mount
from pipeline.app.sedna.translate import ServicePlan, Side, WorkerPlan
from pipeline.config import BrokerConfig, Config, ModelConfig, merged, validated
from pipeline.errors import ConfigError
from stages.models import SHIPPED
from stages.sources.address import SourceKind, parse_source

M = TypeVar("M", bound=ModelConfig)

_SHIPPED: Final[Mapping[Side, str]] = {Side.EDGE: "little", Side.CLOUD: "big"}
_FOLDERS: Final = ("out", "all_examples", "hard_edge", "hard_cloud", "state_dir")


@dataclass(frozen=True, slots=True)
class PodFiles:
    """Where a worker's files are on this machine: the node's below ``root``, the pod's own in a folder there."""

    root: Path
    side: Side
    mounts: tuple[Mount, ...]

    @classmethod
    def of(cls, plan: WorkerPlan, root: Path) -> PodFiles:
        """The files of a planned worker, its model among them."""
        model = () if plan.model.folder is None else (Mount("tandem-model", MODELS, plan.model.folder),)
        return cls(root, plan.side, (*plan.template.mounts, *model))

    def here(self, path: str | PurePosixPath) -> Path:
        """The file here that the container knows as ``path``; of two mounts that hold it, the inner one counts."""
        inside = "/" / _below_root(path)
        holding = [mount for mount in self.mounts if inside.is_relative_to(mount.at)]
        mount = max(holding, key=lambda mount: len(mount.at.parts), default=None)
        if mount is None or mount.node_path is None:
            return self.root / f"{self.side}-pod" / _below_root(inside)
        return self.root / _below_root(mount.node_path / mount.sub_path / inside.relative_to(mount.at))


def with_shipped_models(service: JointInferenceService) -> tuple[JointInferenceService, dict[str, Model]]:
    """The service with the shipped models in place of those that it names, and these as objects."""
    models = {
        name: Model(kind=Model.KIND, metadata=Metadata(name=name), spec=ModelSpec(url=name, format="onnx"))
        for name in SHIPPED
    }
    workers = {
        side.value: getattr(service.spec, side).model_copy(update={"model": ModelName(name=name)})
        for side, name in _SHIPPED.items()
    }
    return service.model_copy(update={"spec": service.spec.model_copy(update=workers)}), models


def local_config(plan: ServicePlan, root: Path, settings: Mapping[str, Any] | None = None) -> Config:
    """The one config of all processes of a service here, with the paths of this machine and no broker named.

    Args:
        plan: of the service.
        root: the folder that stands for the root of every node; an absolute path.
        settings: nested settings above those of the objects; their paths are of this machine.

    Raises:
        ConfigError: a setting is wrong, or files that must be there are not; it names all of them, and where to put
            them. What the settings name in place of one is not looked at.
    """
    edge, cloud = PodFiles.of(plan.edge, root), PodFiles.of(plan.cloud, root)
    config = plan.edge.config
    streams = {
        name: stream.model_copy(update={"source": _source(stream.source, edge)})
        for name, stream in config.streams.items()
    }
    here = config.model_copy(
        update={
            "broker": BrokerConfig(),
            "streams": streams,
            "detector": _model(config.detector, edge),
            "cloud": _model(plan.cloud.config.cloud, cloud),
            "sink": config.sink.model_copy(update=_folders(config, edge)),
        }
    )
    chosen = validated(merged(here.model_dump(), settings)) if settings else here
    missing = list(_missing(plan, here, chosen))
    if missing:
        raise ConfigError(f"{plan.service.KIND} {plan.service.metadata.name}", " ".join(missing))
    return chosen


def notes_of(plan: ServicePlan) -> Iterator[str]:
    """What differs here from the cluster."""
    yield from map(str, plan.notes)
    for side in (plan.edge, plan.cloud):
        variables = [one["name"] for one in side.template.container.get("env") or () if "valueFrom" in one]
        if variables or side.template.container.get("envFrom"):
            named = ", ".join(variables) or "envFrom"
            yield f"{side.side}: {named} is known in a pod alone; what it sets is left at its default, or --set it"
        if others := ", ".join(side.template.other_containers):
            yield f"{side.side}: {others} is left out here: only the first container, the worker's, is run"


def _source(text: str, files: PodFiles) -> str:
    address = parse_source(text)
    if address.kind is not SourceKind.LOCAL:
        return text
    # A path without file:// may be relative: to the root, which is as good as any folder of another machine.
    return str(files.here(address.location if "://" in text else text))


def _model(section: M, files: PodFiles) -> M:
    if section.model in SHIPPED:
        return section
    return section.model_copy(update={"model": str(files.here(section.model))})


def _folders(config: Config, files: PodFiles) -> dict[str, Path]:
    named = {field: getattr(config.sink, field) for field in _FOLDERS}
    return {field: files.here(path.as_posix()) for field, path in named.items() if path is not None}


def _missing(plan: ServicePlan, here: Config, chosen: Config) -> Iterator[str]:
    """What is missing of the files that the objects name and no setting has replaced."""
    for worker, before, now in ((plan.edge, here.detector, chosen.detector), (plan.cloud, here.cloud, chosen.cloud)):
        if now.model == before.model and now.model not in SHIPPED and not Path(now.model).exists():
            name = f"Model {worker.worker.model.name} ({worker.model.url})"
            yield f"{name} is not there: put it at {now.model}, or say --models shipped."
    for name, stream in here.streams.items():
        address = parse_source(stream.source)
        if (
            chosen.streams[name].source == stream.source
            and address.kind is SourceKind.LOCAL
            and not Path(address.location).exists()
        ):
            given = plan.edge.config.streams[name].source
            yield f"The video {given} is not there yet: put it at {address.location}, and call this again."


def _below_root(path: str | PurePosixPath) -> PurePosixPath:
    """A path of another machine without its leading slash, which no ``..`` leaves."""
    return PurePosixPath(posixpath.normpath(f"/{path}").lstrip("/"))
