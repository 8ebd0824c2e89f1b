"""The commands that run on Kubernetes alone: ``tandem operator`` and ``tandem fetch``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline import log


def operator(
    image: Annotated[str, typer.Option(metavar="NAME", help="The image that workers and brokers run: Tandem's.")],
    peering: Annotated[
        bool,
        typer.Option("--peering", help="Agree with other replicas who works, by the ClusterKopfPeering named tandem."),
    ] = False,
    http: Annotated[str, typer.Option(metavar="HOST:PORT", help="Serve /healthz there [nowhere].")] = "",
) -> None:
    """Run Sedna's JointInferenceServices of a cluster, until SIGTERM.

    The cluster is the one that it runs in, or else the one of the current kubeconfig.
    """
    from pipeline.app.operator.serve import serve
    from pipeline.app.sedna.names import Image

    log.configure("operator")
    serve(Image(image), peering=peering, http=http)


def fetch(
    url: Annotated[str, typer.Argument(metavar="URL", help="http:// or https://.", show_default=False)],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where it goes.", show_default=False)],
) -> None:
    """Fetch a model from a server, whole or not at all; an init container of the operator does it."""
    from pipeline.app.fetch import fetch as fetch_file

    fetch_file(url, file)
