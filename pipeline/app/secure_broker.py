"""``tandem broker``: what it does, and what it says of it. No secret is printed."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import typer

from broker.secure.clients import CONFIG
from broker.secure.folder import BrokerFolder
from broker.secure.plan import Plan, checked
from broker.secure.roles import Access, Role, User
from broker.secure.serve import become_mosquitto, prepare, reload

_EVERYWHERE = ("localhost", "127.0.0.1")


def make(
    path: Path,
    service: str,
    *,
    hosts: tuple[str, ...],
    bind: str,
    ports: Mapping[Access, int],
    streams: tuple[str, ...],
) -> None:
    """Make a broker's folder with a user of each role, and say what is in it and what comes next.

    Raises:
        ConfigError: the call is wrong, or there is something at ``path`` already.
    """
    own = socket.gethostname()
    reached_as = hosts[0] if hosts else own if _is_found(own) else _EVERYWHERE[0]
    users = (
        checked(User, name=Role.EDGE, role=Role.EDGE, streams=streams),
        *(checked(User, name=role, role=role) for role in (Role.WORKER, Role.VIEWER)),
    )
    names = tuple(dict.fromkeys((reached_as, *hosts, *_EVERYWHERE, *((own,) if _is_found(own) else ()))))
    plan = checked(Plan, service=service, hosts=names, reached_as=reached_as, bind=bind, ports=ports, users=users)
    folder = BrokerFolder.create(path, plan)
    typer.echo(f"made a broker for {service} in {path}; its certificate is for {', '.join(names)}")
    typer.echo(f"  {path / 'ca'}: the CA; keep ca.key to yourself")
    typer.echo(f"  {path / 'broker'}: what Mosquitto reads")
    _say_clients(folder, users)
    typer.echo("next:")
    _say(f"tandem broker run {_quoted(path)}")
    for user in users:
        _say_use(folder, user)


def let_in(path: Path, role: Role, name: str, access: Access, streams: tuple[str, ...]) -> None:
    """Add a user, and say where its files are.

    Raises:
        ConfigError: the call is wrong, or there is a user of that name.
    """
    folder = BrokerFolder.open(path)
    before = folder.plan().listeners
    user = checked(User, name=name, role=role, access=access, streams=streams)
    folder.add(user)
    _say_clients(folder, (user,))
    _say_rest(reload(folder, before))
    typer.echo("next:")
    _say_use(folder, user)


def lock_out(path: Path, name: str) -> None:
    """Remove a user.

    Raises:
        ConfigError: there is none of that name.
    """
    folder = BrokerFolder.open(path)
    before = folder.plan()
    folder.remove(name)
    typer.echo(f"removed {name}: it may do nothing any more")
    if any(user.name == name and user.access is Access.CERTIFICATE for user in before.users):
        typer.echo("its certificate is valid still: if its key was stolen, let nobody in by this name again")
    _say_rest(reload(folder, before.listeners))


def serve(path: Path) -> NoReturn:
    """Turn into Mosquitto.

    Raises:
        ConfigError: it cannot run, and why.
    """
    folder = BrokerFolder.open(path)
    prepare(folder)
    plan = folder.plan()
    typer.echo(f"broker at {', '.join(plan.url(access) for access in plan.listeners)}")
    become_mosquitto(folder)


def _say_clients(folder: BrokerFolder, users: Sequence[User]) -> None:
    for user in users:
        streams = f" of {', '.join(user.streams)}" if user.streams else ""
        typer.echo(f"  {folder.client(user.name)}: for the {user.role}{streams}; take it where that runs")


def _say_use(folder: BrokerFolder, user: User) -> None:
    place = folder.client(user.name)
    config = _quoted(place / CONFIG)
    match user.role:
        case Role.EDGE:
            source = f"--set streams.{user.streams[0]}.source=VIDEO"
            _say(f"tandem run reader detector miner uplink sink --config {config} {source}")
        case Role.WORKER:
            _say(f"tandem run cloud --config {config}")
        case Role.VIEWER:
            topic = f"tandem/{folder.plan().service}/+/results"
            _say(f"cd {_quoted(place)} && XDG_CONFIG_HOME=. mosquitto_sub -t '{topic}'")


def _say_rest(rest: str) -> None:
    if rest:
        typer.echo(rest)


def _say(command: str) -> None:
    typer.echo(f"  {command}")


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _is_found(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True
