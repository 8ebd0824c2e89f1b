"""``tandem sedna``: a service's objects, run on this machine to the end of what its edge reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.app.fetch import fetch
from pipeline.app.replay import replay
from pipeline.app.replay_run import Options
from pipeline.app.sedna.local import PodFiles, local_config, notes_of, with_shipped_models
from pipeline.app.sedna.objects import JointInferenceService
from pipeline.app.sedna.read import read_objects
from pipeline.app.sedna.translate import ServicePlan, UnusableService, WorkerPlan, plan_service
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
    except UnusableService as errors:
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
        ConfigError: as ``local_config``, ``fetch_model`` and ``replay``.
        SourceError: a model is not to be had from its server.
        ReplayError: a process failed.
        StorageError: there is no room for the compare video; all else is done.
    """
    for note in notes_of(plan):
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    root = root.absolute()
    for worker, section in ((plan.edge, "detector"), (plan.cloud, "cloud")):
        if not _names_model(settings or {}, section):
            fetch_model(worker, root, console)
    return replay(local_config(plan, root, settings), options, console)


def _names_model(settings: Mapping[str, Any], section: str) -> bool:
    given = settings.get(section)
    return isinstance(given, Mapping) and "model" in given


def fetch_model(worker: WorkerPlan, root: Path, console: Console) -> None:
    """Fetch a worker's model from its server, as its pod would, unless it is here.

    Raises:
        ConfigError: ``root`` cannot be written, or the server has no such file for us.
        SourceError: the server does not answer, or breaks off.
        StorageError: there is no room for it.
    """
    file = PodFiles.of(worker, root).here(worker.model.in_container)
    if not worker.model.fetched or file.exists():
        return
    console.print(f"fetching {worker.model.url}", highlight=False, markup=False, soft_wrap=True)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("--root", f"{file.parent} cannot be made ({error.strerror}): name another folder") from error
    fetch(worker.model.url, file)


def _chosen(file: Path, services: tuple[JointInferenceService, ...], name: str | None) -> JointInferenceService:
    there = ", ".join(service.metadata.name for service in services)
    if name is None and len(services) > 1:
        raise ConfigError(str(file), f"there are several services in it, {there}: choose one with --service NAME")
    fitting = [service for service in services if name in (None, service.metadata.name)]
    if not fitting:
        raise ConfigError("--service", f"there is no service {name!r} in {file} (there: {there})")
    return fitting[0]
