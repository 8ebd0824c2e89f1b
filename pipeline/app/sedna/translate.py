"""What a service means to Tandem: a worker's environment, and the config that it amounts to, all of it checked."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pipeline.app.sedna.model_source import ModelSource, model_source
from pipeline.app.sedna.objects import EdgeWorker, HardExampleMining, JointInferenceService, Model, Worker
from pipeline.app.sedna.template import Template, template_of
from pipeline.config import Config, merged, validated
from pipeline.errors import ConfigError
from pipeline.model import stream_name
from pipeline.settings import PREFIX, SEDNA, from_environment, nested_at
from stages.mining.registry import check_first, make_miner

_NEAR: Final = 0.85  # of difflib's ratio: a typo, a plural or other capitals
_ONE_CAMERA: Final = "the edge runs one pod, whatever the hpa says: two replicas would read one camera twice"


class Side(StrEnum):
    """Which worker of a service, in Sedna's words."""

    EDGE = "edge"
    CLOUD = "cloud"


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """One worker of a service.

    Attributes:
        template: the user's.
        environment: what is set besides the template's variables, as Sedna sets it.
        config: what Tandem makes of both, with the paths of the container.
    """

    side: Side
    worker: Worker
    template: Template
    model: ModelSource
    environment: Mapping[str, str]
    config: Config


@dataclass(frozen=True, slots=True)
class Note:
    """What is not as the user asked for, or may not be as meant.

    Attributes:
        reason: one word in CamelCase, for an event.
        text: in plain words.
    """

    reason: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """A whole service, checked.

    Attributes:
        notes: what is not as the user asked for, and why; nothing of it is wrong.
    """

    service: JointInferenceService
    edge: WorkerPlan
    cloud: WorkerPlan
    notes: tuple[Note, ...] = ()


class UnusableService(ExceptionGroup[ConfigError]):
    """All that is wrong with a service, each with object and field."""


def plan_service(
    service: JointInferenceService, models: Mapping[str, Model], settings: Mapping[str, Any] | None = None
) -> ServicePlan:
    """What a service means, all of it checked but what only a node or an API server knows.

    Args:
        service: it is not changed.
        models: those in its namespace, by name.
        settings: nested settings below those of the template's environment, e.g. ``broker.url``.

    Raises:
        UnusableService: all that is wrong with it.
    """
    errors: list[ConfigError] = []
    below = merged({"service": service.metadata.name, "sink": {"out": "/outputs"}}, settings or {})

    def attempt(step: Callable[[], WorkerPlan]) -> WorkerPlan | None:
        try:
            return step()
        except ConfigError as error:
            errors.append(error)
            return None

    _check_name(service)
    wrong_miner = _wrong_miner(service)
    edge = attempt(lambda: _plan(service, Side.EDGE, models, below))
    cloud = attempt(lambda: _plan(service, Side.CLOUD, models, below))
    if wrong_miner is None and edge is not None:
        wrong_miner = _wrong_mode(service, edge.config)
    if wrong_miner is not None:
        errors.insert(0, wrong_miner)
    if errors or edge is None or cloud is None:
        raise _unusable(service, errors)
    return ServicePlan(service, edge, cloud, (*_notes(service), *_near_misses(edge), *_near_misses(cloud)))


def _check_name(service: JointInferenceService) -> None:
    """A name that no topic can have is told alone: it would be wrong in the config of both workers again."""
    try:
        stream_name(service.metadata.name)
    except ValueError as error:
        name = ConfigError(f"{service.KIND} {service.metadata.name}: metadata.name", str(error))
        raise _unusable(service, [name]) from error


def _unusable(service: JointInferenceService, errors: list[ConfigError]) -> UnusableService:
    return UnusableService(f"{service.KIND} {service.metadata.name} cannot be used", errors)


def _wrong_miner(service: JointInferenceService) -> ConfigError | None:
    mining = service.spec.edge.mining
    field = f"{service.KIND} {service.metadata.name}: spec.edgeWorker.hardExampleMining"
    try:
        make_miner(mining.name, {parameter.key: parameter.value for parameter in mining.parameters or ()})
    except ConfigError as error:
        at = "name" if error.field == "miner.name" else "parameters"
        return ConfigError(f"{field}.{at}", str(error).removeprefix("miner.name: ").removeprefix("miner."))
    return None


def _wrong_mode(service: JointInferenceService, config: Config) -> ConfigError | None:
    """What is wrong with mining first, where the template's ``MINING_MODE`` asks for it."""
    if not config.miner.first:
        return None
    try:
        check_first(make_miner(config.miner.name, config.miner.parameters))
    except ConfigError as error:
        field = f"{service.KIND} {service.metadata.name}: spec.edgeWorker.hardExampleMining.name"
        return ConfigError(field, str(error).removeprefix("miner.name: "))
    return None


def _plan(
    service: JointInferenceService, side: Side, models: Mapping[str, Model], settings: Mapping[str, Any]
) -> WorkerPlan:
    worker = service.spec.edge if side is Side.EDGE else service.spec.cloud
    at = f"{service.KIND} {service.metadata.name}: spec.{side}Worker"
    model = models.get(worker.model.name)
    if model is None:
        there = ", ".join(sorted(models)) or "none"
        raise ConfigError(
            f"{at}.model.name",
            f"there is no Model {worker.model.name!r} in namespace {service.metadata.namespace} (there: {there})",
        )
    source = model_source(model)
    template = template_of(f"{at}.template", worker.template)
    environment = _environment(service, worker, source)
    config = _config(f"{at}.template.spec.containers.0.env", settings, template, environment)
    if side is Side.EDGE and not config.streams and not _reads_elsewhere(template):
        raise ConfigError(
            f"{at}.template.spec.containers.0.env",
            "there is nothing to read: set video_url, e.g. rtsp://camera/stream or file://data/video/video.mp4",
        )
    return WorkerPlan(side, worker, template, source, environment, config)


def _environment(service: JointInferenceService, worker: Worker, source: ModelSource) -> dict[str, str]:
    """What Sedna sets in a worker's container, with its names and in its forms."""
    found = {
        "NAMESPACE": service.metadata.namespace,
        "SERVICE_NAME": service.metadata.name,
        "MODEL_URL": source.in_container,
    }
    return {**found, **_mining(worker.mining)} if isinstance(worker, EdgeWorker) else found


def _mining(mining: HardExampleMining) -> dict[str, str]:
    parameters = [{"key": parameter.key, "value": parameter.value} for parameter in mining.parameters or ()]
    return {"HEM_NAME": mining.name, "HEM_PARAMETERS": json.dumps(parameters)}


def _config(field: str, settings: Mapping[str, Any], template: Template, environment: Mapping[str, str]) -> Config:
    """What a process with this environment would make of it."""
    variables: dict[tuple[str, ...], str] = {}
    try:
        for path, value, name in from_environment({**template.environment, **environment}):
            settings = merged(settings, nested_at(path, value))
            variables[path] = name
        return validated(settings, variables)
    except ConfigError as error:
        raise ConfigError(field, str(error)) from error


def _reads_elsewhere(template: Template) -> bool:
    """Whether the source may stand where only the pod sees it: a Secret, a ConfigMap, or a file."""
    names = {variable["name"] for variable in template.container.get("env") or () if "valueFrom" in variable}
    return bool(template.container.get("envFrom")) or any(
        name == "video_url" or name.startswith("TANDEM_STREAMS__") for name in names
    )


def _notes(service: JointInferenceService) -> Iterator[Note]:
    hpa = service.spec.edge.hpa
    if hpa is not None and hpa.max_replicas > 1:
        yield Note("EdgeStaysAtOne", f"spec.edgeWorker.hpa.maxReplicas is {hpa.max_replicas}: {_ONE_CAMERA}")


def _near_misses(plan: WorkerPlan) -> Iterator[Note]:
    """Variables that set nothing, but are almost called like one of Sedna's; any other is the user's own."""
    names = [variable["name"] for variable in plan.template.container.get("env") or ()]
    free = {name.lower(): name for name in SEDNA if name not in names}
    for name in names:
        near = difflib.get_close_matches(name.lower(), free, n=1, cutoff=_NEAR)
        if name not in SEDNA and not name.startswith(PREFIX) and near:
            at = f"spec.{plan.side}Worker.template.spec.containers.0.env"
            yield Note("UnknownVariable", f"{at}: {name} is not read here; did you mean {free[near[0]]}?")
