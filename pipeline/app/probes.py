"""What a broker lets us do with each topic, found by publishing to it."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from broker.mqtt import MqttLink
from broker.packet import matches
from pipeline.errors import PacketTooLarge
from pipeline.link import ContentType, LinkEvents, Packet
from pipeline.topics import Kind, Topic

ARRIVED_S: Final = 3.0
"""So long a probe may take to come back."""

_UNSEEN: Final = " (others publish there: whether we may read it shows when they do)"


@dataclass(frozen=True, slots=True)
class Use:
    """A topic, and what a process does with it."""

    topic: Topic
    sends: bool
    takes: bool

    @property
    def filter(self) -> str:
        """What the process subscribes to for it."""
        if self.topic.kind in {Kind.WORKERS, Kind.STAGES} and self.takes:
            return str(Topic(self.topic.service, self.topic.kind, name="+"))
        return str(self.topic)


@dataclass(frozen=True, slots=True)
class Probed:
    """How it went; ``error`` is empty where all is well, ``tried`` false where nobody can tell yet."""

    topic: Topic
    error: str = ""
    tried: bool = True

    @property
    def remark(self) -> str:
        """What is to be added to the topic's name."""
        return "" if self.tried else _UNSEEN


class Probes:
    """A probe for each topic. A denied publish is refused in so many words; a denied subscription is not."""

    def __init__(self, link: MqttLink, uses: Iterable[Use]) -> None:
        """Prepare probes; ``link`` is not started yet."""
        self._link = link
        self._uses = tuple(uses)
        self._probe = json.dumps({"v": 0, "probe": uuid.uuid4().hex}).encode()
        self._returned: set[str] = set()
        self._heard: set[str] = set()
        self._news = threading.Event()

    def start(self) -> None:
        """Connect, and subscribe to every topic."""
        filters = tuple(dict.fromkeys(use.filter for use in self._uses))
        self._link.start(filters, LinkEvents(self._received, lambda: None, lambda _: None))

    def tried(self) -> Iterator[Probed]:
        """Publish to every topic, and say what came of it. The link must be connected."""
        too_large = {use.topic: text for use in self._uses if (text := self._published(use.topic))}
        self._wait(lambda: self._link.outgoing.idle)
        self._wait(lambda: all(use.topic in too_large or self._is_known(use) for use in self._uses))
        for use in self._uses:
            yield Probed(use.topic, too_large[use.topic]) if use.topic in too_large else self._found(use)

    def _is_known(self, use: Use) -> bool:
        topic = str(use.topic)
        return topic in self._returned or topic in self._link.refusals or not use.takes

    def _found(self, use: Use) -> Probed:
        topic = str(use.topic)
        refusal = self._link.refusals.get(topic)
        if topic in self._returned:
            return Probed(use.topic)
        if use.sends and refusal:
            return Probed(use.topic, f"publishing is refused ({refusal}): allow writing it in the ACL")
        if not use.takes:
            return Probed(use.topic)
        if not refusal:
            return Probed(use.topic, "the probe was taken, but did not come back: allow reading it in the ACL")
        return Probed(use.topic, tried=any(matches(use.filter, heard) for heard in self._heard))

    def _published(self, topic: Topic) -> str:
        try:
            self._link.publish(Packet(str(topic), self._probe, ContentType.JSON))
        except PacketTooLarge as error:
            return str(error)
        return ""

    def _received(self, topic: str, payload: bytes) -> None:
        self._heard.add(topic)
        if payload == self._probe:
            self._returned.add(topic)
        self._news.set()

    def _wait(self, what: Callable[[], bool]) -> None:
        until_s = time.monotonic() + ARRIVED_S
        while not what() and time.monotonic() < until_s:
            self._news.wait(0.02)
            self._news.clear()
