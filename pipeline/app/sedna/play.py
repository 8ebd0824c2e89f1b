"""``tandem sedna``: a service's objects, run on this machine to the end of what its edge reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.app.replay import replay
from pipeline.app.replay_run import Options
from pipeline.app.sedna.local import local_config, notes_of, with_shipped_models
from pipeline.app.sedna.objects import JointInferenceService
from pipeline.app.sedna.read import read_objects
from pipeline.app.sedna.translate import ServicePlan, plan_service
from pipeline.config import Config, merged, validated
from pipeline.errors import ConfigError


def plan_of(file: Path, name: str | None, *, shipped: bool) -> ServicePlan:
    """The plan of a file's service.

    Args:
        file: YAML of one object or more, as ``kubectl apply`` takes it.
        name: of the service; needed where the file holds several.
        shipped: take the shipped models in place of those that it names.

    Raises:
        ConfigError: the file cannot be used; it says everything that is wrong with the service.
    """
    objects = read_objects(file)
    service = _chosen(file, objects.services, name)
    models = objects.models_of(service)
    if shipped:
        service, models = with_shipped_models(service)
    try:
        return plan_service(service, models)
    except ExceptionGroup as errors:
        raise ConfigError(str(file), "; ".join(str(error) for error in errors.exceptions)) from errors


def play_service(
    plan: ServicePlan, root: Path, options: Options, console: Console, settings: Mapping[str, Any] | None = None
) -> int:
    """Run broker, edge group and cloud workers as processes, until what the edge reads has ended.

    Args:
        plan: of the service.
        root: the folder that stands for the root of every node.
        options: how it is run.
        console: where to say what happens.
        settings: nested settings above those of the objects; their paths are of this machine.

    Returns:
        As ``replay``.

    Raises:
        ConfigError: as ``local_config`` and ``replay``.
        ReplayError: a process failed.
        StorageError: there is no room for the compare video; all else is done.
    """
    for note in notes_of(plan):
        _note(console, note)
    return replay(_with(local_config(plan, root), settings or {}), options, console)


def _note(console: Console, text: str) -> None:
    console.print(f"note: {text}", highlight=False, markup=False, soft_wrap=True)


def _with(config: Config, settings: Mapping[str, Any]) -> Config:
    return validated(merged(config.model_dump(), settings)) if settings else config


def _chosen(file: Path, services: tuple[JointInferenceService, ...], name: str | None) -> JointInferenceService:
    there = ", ".join(service.metadata.name for service in services)
    if name is None and len(services) > 1:
        raise ConfigError(str(file), f"there are several services in it, {there}: choose one with --service NAME")
    fitting = [service for service in services if name in (None, service.metadata.name)]
    if not fitting:
        raise ConfigError("--service", f"there is no service {name!r} in {file} (there: {there})")
    return fitting[0]
