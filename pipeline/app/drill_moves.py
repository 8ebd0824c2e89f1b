"""Which processes of a replay have moved a frame since they were started, as heard on the broker."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline import wire
from pipeline.errors import DropMessage
from pipeline.link import Link, LinkEvents
from pipeline.messages import AnswerStatus, CloudAnswer, StageState, Stored
from pipeline.stage import StageName
from pipeline.topics import Kind, Topic


class Moves:
    """Listens to answers and confirmations. Processes are known by their incarnation.

    A worker has moved a frame when an answer of it is heard, an edge when its sink has stored one, and the broker when
    it has carried either.
    """

    def __init__(self, service: str, link: Link, broker: Callable[[], str]) -> None:
        """Listen over ``link``, which is not started yet; ``broker`` says which start of the broker this is."""
        self._moved: set[str] = set()
        self._broker, self._this_broker = broker, ""
        self._edge = ""
        self._link = link
        filters = [
            str(Topic(service, Kind.CLOUD_RESULTS, "+")),
            str(Topic(service, Kind.STORED, "+")),
            str(Topic(service, Kind.STAGES, name="+")),
        ]
        link.start(filters, LinkEvents(self._received, self._connected, self._disconnected))

    def has_moved(self, incarnation: str) -> bool:
        """Whether this one has moved a frame."""
        return incarnation in self._moved

    def close(self) -> None:
        """Stop listening."""
        self._link.stop(flush_s=0.0)

    def _connected(self) -> None:
        self._this_broker = self._broker()

    def _disconnected(self, reason: str) -> None:
        del reason
        self._this_broker = ""

    def _received(self, topic: str, payload: bytes) -> None:
        try:
            message = wire.decode(topic, payload, time.monotonic())
        except DropMessage:  # whoever takes it says so
            return
        if isinstance(message, StageState):
            # A broker hands on what one process says in its order: what is stored from now on, this edge has stored.
            if StageName.SINK in message.stages:
                self._edge = message.incarnation if message.online else ""
        elif isinstance(message, Stored):
            self._moved |= {self._edge, self._this_broker}
        elif isinstance(message, CloudAnswer) and message.status is AnswerStatus.ANSWERED:
            self._moved |= {message.incarnation, self._this_broker}
        self._moved.discard("")
