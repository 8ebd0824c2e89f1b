"""The command ``tandem broker``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from broker.secure.roles import Access, Role
from pipeline.cli_options import Command
from pipeline.errors import ConfigError

app = typer.Typer(
    name="broker",
    help="A Mosquitto with TLS, users and an ACL: make it, run it, let users in.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The broker's folder.", show_default=False)]
Streams = Annotated[
    list[str] | None,
    typer.Option("--stream", metavar="NAME", help="A stream that the edge may write; may be repeated."),
]
User = Annotated[str, typer.Argument(metavar="NAME", help="The user's name, e.g. worker-2.", show_default=False)]


@app.command(cls=Command)
def init(
    folder: Folder,
    hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            metavar="NAME",
            help="A name or address of this machine; may be repeated, and clients are told the first.",
        ),
    ] = None,
    service: Annotated[str, typer.Option(metavar="NAME", help="The service that it is for.")] = "helmet",
    streams: Streams = None,
    bind: Annotated[str, typer.Option(metavar="ADDRESS", help="Listen on this address alone [all].")] = "",
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="PORT", help="For users with passwords.")] = 8883,
    certificate_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="For users with certificates [the next port].")
    ] = None,
    shared_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="For workers with a shared secret [the next but one].")
    ] = None,
) -> None:
    """Make a CA, certificates, users, an ACL and mosquitto.conf in a new folder.

    There are an edge, a worker and a viewer to begin with, named so; --stream names the edge's streams [camera].
    """
    from pipeline.app.secure_broker import make

    ports = {
        Access.PASSWORD: port,
        Access.CERTIFICATE: certificate_port or port + 1,
        Access.SHARED: shared_port or port + 2,
    }
    edges = tuple(streams or ("camera",))
    make(folder, service, hosts=tuple(hosts or ()), bind=bind, ports=ports, streams=edges)


@app.command(cls=Command)
def add(
    folder: Folder,
    role: Annotated[Role, typer.Argument(metavar="edge|worker|viewer", help="What it is.", show_default=False)],
    name: User,
    streams: Streams = None,
    certificate: Annotated[
        bool, typer.Option("--certificate", help="It shows a certificate instead of a password.")
    ] = False,
    shared: Annotated[
        bool, typer.Option("--shared", help="Many workers have this password; their client ids tell them apart.")
    ] = False,
) -> None:
    """Let another edge, worker or viewer in.

    A broker that runs here knows it at once, but for the first one with a certificate and the first with a shared
    password: each of these opens a port, for which the broker must be started anew. It is said where that is so.
    """
    from pipeline.app.secure_broker import let_in

    if certificate and shared:
        raise ConfigError("--shared", "a certificate is one user's own: leave one of the two out")
    access = Access.CERTIFICATE if certificate else Access.SHARED if shared else Access.PASSWORD
    let_in(folder, role, name, access, tuple(streams or ()))


@app.command(cls=Command)
def remove(folder: Folder, name: User) -> None:
    """Let a user in no more, and remove its files. A broker that runs here knows it at once."""
    from pipeline.app.secure_broker import lock_out

    lock_out(folder, name)


@app.command(cls=Command)
def run(folder: Folder) -> None:
    """Run Mosquitto with the folder until SIGTERM."""
    from pipeline.app.secure_broker import serve

    serve(folder)
