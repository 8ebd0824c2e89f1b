"""``tandem sedna --render``: what the operator would apply, as files to be applied by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from broker.secure.passwords import hashed, new_password
from pipeline.app.operator.desired import check_name, manifests, notices
from pipeline.app.sedna.broker import USER, Broker, Credentials, broker_of, named_in_templates
from pipeline.app.sedna.names import Image
from pipeline.app.sedna.render import render
from pipeline.app.sedna.translate import ServicePlan


def render_service(plan: ServicePlan, folder: Path, image: Image, console: Console) -> None:
    """Write all objects of a service, its broker's Secret with a new password among them.

    Raises:
        ConfigError: the folder cannot be written, mosquitto_passwd is missing, or the service cannot be deployed.
    """
    check_name(plan.service)
    named = named_in_templates(plan)
    broker = Broker(named) if named else broker_of(plan.service)
    credentials = None
    if broker.own:
        password = new_password()
        credentials = Credentials(password, hashed(USER, password))
    files = render(manifests(plan, image, broker, credentials), folder)
    _say(console, f"{len(files)} files; kubectl apply -k {folder}")
    for note in _notes(plan):
        _say(console, f"note: {note}")


def _notes(plan: ServicePlan) -> Iterator[str]:
    yield from map(str, plan.notes)
    yield from (notice.message for notice in notices(plan))
    for worker in (plan.edge, plan.cloud):
        name = worker.template.node_name
        if "$" in name:
            yield f"{worker.side}: nodeName is {name}, which no node is called: put the node's name there"


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
