"""``tandem status``: who is there and how each is, as the broker knows it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from broker.mqtt import MqttLink
from pipeline.app.census import Census, Service
from pipeline.app.parts import broker_address
from pipeline.app.sizes import size_text
from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.link import LinkEvents
from pipeline.model import name_from
from pipeline.topics import Kind, Topic

REACHED_S: Final = 10.0
ANSWER_S: Final = 2.0
"""So long it listens at most."""

QUIET_S: Final = 0.05
"""A broker that looks up what it keeps after it has granted a subscription is given so long."""

AGAIN_S: Final = 1.0
"""With ``--watch``, two tables are so far apart."""

WIDEST: Final = 10_000
"""No table is wider than so many characters."""

_COLUMNS: Final = ("read", "dropped", "admitted", "easy", "cloud", "expired", "failed", "interrupted", "pending")
_ALWAYS: Final = frozenset({"read", "admitted", "easy", "cloud", "pending"})


def status(config: Config, console: Console, *, as_json: bool, watch: bool) -> int:
    """Print who is there; with ``watch`` again and again until Ctrl-C.

    Returns:
        0 where something is there and all is well, else 1.

    Raises:
        ConfigError: the broker is not reached.
    """
    service = config.service if "service" in config.model_fields_set else "+"
    census = Census()
    # A name of its own: with the process's, it would take that one's place.
    link = MqttLink(broker_address(config), name_from(f"status-{uuid.uuid4().hex[:12]}"))
    filters = [
        str(Topic(service, Kind.STATE, "+")),
        str(Topic(service, Kind.WORKERS, name="+")),
        str(Topic(service, Kind.STAGES, name="+")),
    ]
    link.start(filters, LinkEvents(census.received, lambda: None, lambda _: None))
    try:
        _reach(link)
        listen(link.round_trip, census)
        show = _as_json if as_json else _for_people
        well = show(str(broker_address(config)), census, console)
        while watch:
            heard = census.heard
            time.sleep(AGAIN_S)
            census.wait(heard, AGAIN_S)
            if link.reason:
                raise ConfigError("broker.url", f"the broker is lost: {link.reason}")
            well = show(str(broker_address(config)), census, console)
        return 0 if well else 1
    finally:
        link.stop(flush_s=0.0)


def listen(round_trip: Callable[[float], bool], census: Census) -> None:
    """Listen until all has come that the broker keeps: until nothing came during a round trip to it."""
    until_s = time.monotonic() + ANSWER_S
    while (left_s := until_s - time.monotonic()) > 0:
        heard = census.heard
        census.wait(heard, min(QUIET_S, left_s))
        if not round_trip(left_s) or census.heard == heard:
            return


def _reach(link: MqttLink) -> None:
    until_s = time.monotonic() + REACHED_S
    while not (link.reason or link.wait_connected(0.05)) and time.monotonic() < until_s:
        pass
    if not link.connected:
        raise ConfigError("broker.url", link.reason or f"no answer within {REACHED_S:g} s")


def _well(services: Mapping[str, Service]) -> bool:
    return bool(services) and not any(any(service.problems()) for service in services.values())


def _as_json(broker: str, census: Census, console: Console) -> bool:
    """Print one line."""
    services = census.services()
    body: dict[str, Any] = {
        "broker": broker,
        "well": _well(services),
        "services": {
            name: {
                "streams": to_jsonable_python(service.streams),
                "workers": to_jsonable_python(service.workers),
                "processes": to_jsonable_python(service.processes),
                "problems": list(service.problems()),
                "notes": list(service.notes()),
            }
            for name, service in services.items()
        },
        "unreadable": census.unreadable,
    }
    console.out(json.dumps(body), highlight=False)
    return _well(services)


def _for_people(broker: str, census: Census, console: Console) -> bool:
    services = census.services()
    if not services:
        _say(console, f"nothing of Tandem is on {broker}: nobody has said anything there, or this user may not read it")
    for name, service in services.items():
        _say(console, f"service {name} on {broker}")
        for table in _tables(service):
            _print_whole(console, table)
        for problem in service.problems():
            _say(console, f"look at {problem}")
        for note in service.notes():
            _say(console, f"note: {note}")
    for topic, reason in census.unreadable.items():
        _say(console, f"note: {topic} holds what cannot be read: {reason}")
    return _well(services)


def _print_whole(console: Console, table: Table) -> None:
    """As wide as it must be: a terminal that is narrower wraps it, where Rich would cut off names and numbers."""
    width = console.width
    wanted = Measurement.get(console, console.options.update(max_width=WIDEST), table).maximum
    console.width = max(width, wanted)
    console.print(table, soft_wrap=True)
    console.width = width


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _tables(service: Service) -> Iterator[Table]:
    if service.streams:
        yield _streams(service)
    if service.workers:
        yield _table(
            ("worker", "model", "on", "slots", "each uplink", "holds", "a frame takes"),
            (
                (
                    *(worker.worker, worker.model, worker.provider, worker.slots, worker.share, worker.queue),
                    f"{worker.service_ms:.0f} ms" if worker.service_ms else "-",
                )
                for worker in service.workers.values()
            ),
        )
    if service.processes:
        yield _table(
            ("process", "is", "runs", "streams", "models", "unsent", "refused"),
            (
                (
                    *(process.process, "there" if process.online else "gone", " ".join(process.stages)),
                    *(" ".join(process.streams), ", ".join(process.models), process.unsent, process.refused),
                )
                for process in service.processes.values()
            ),
        )


def _streams(service: Service) -> Table:
    """Of the counts that are mostly 0, those that are not. What a stream waits for is said below."""
    tallies = [state.tally for state in service.streams.values()]
    columns = [name for name in _COLUMNS if name in _ALWAYS or any(getattr(tally, name) for tally in tallies)]
    return _table(
        ("stream", "is", *columns, "sent", "workers", "source"),
        (
            (
                *(state.stream, state.status),
                *(getattr(state.tally, name) for name in columns),
                *(size_text(state.upload_bytes), state.workers, state.source),
            )
            for state in service.streams.values()
        ),
    )


def _table(titles: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, no_wrap=True)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    return table
