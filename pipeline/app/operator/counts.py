"""How many frames a service has inferred, as the retained ``state`` of its streams says."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from broker.address import BrokerAddress
from broker.mqtt import MqttLink
from pipeline.app.watch import Watch
from pipeline.messages import State

ServiceKey = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the miner has judged, over all streams.

    Attributes:
        inferences: frames that the edge has inferred.
        hard: those of them that were found hard.
    """

    inferences: int
    hard: int

    @classmethod
    def of(cls, streams: Mapping[str, State]) -> Counts | None:
        """The sums; None where no stream is known."""
        gains = [state.gain for state in streams.values()]
        hard = sum(gain.hard.frames for gain in gains)
        return cls(hard + sum(gain.easy.frames for gain in gains), hard) if gains else None

    def metrics(self) -> list[dict[str, str]]:
        """As Sedna has them: the ratio is that of hard frames, with four digits."""
        ratio = self.hard / self.inferences if self.inferences else 0.0
        values = {
            "inferenceNumber": str(self.inferences),
            "hardExampleNumber": str(self.hard),
            "uploadCloudRatio": f"{ratio:.4f}",
        }
        return [{"key": key, "value": value} for key, value in values.items()]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a broker says.

    Attributes:
        counts: None where no stream has told its state yet.
        connected: whether the broker is reached now.
        reason: why it is not; empty while it is, or while nothing is known yet.
    """

    counts: Counts | None
    connected: bool
    reason: str = ""


class Feeds:
    """Follows the streams of services, each at its broker."""

    def __init__(self) -> None:
        """Follow nothing yet."""
        self._feeds: dict[ServiceKey, tuple[BrokerAddress, MqttLink, Watch]] = {}

    def follow(self, key: ServiceKey, address: BrokerAddress) -> None:
        """Follow a service; where it is followed at this address already, nothing changes."""
        if key in self._feeds and self._feeds[key][0] == address:
            return
        self.forget(key)
        link = MqttLink(address, f"tandem-operator-{uuid.uuid4().hex[:12]}")
        self._feeds[key] = address, link, Watch(key[1], link)

    def forget(self, key: ServiceKey) -> None:
        """Follow it no more."""
        feed = self._feeds.pop(key, None)
        if feed is not None:
            feed[2].close()

    def read(self, key: ServiceKey) -> Reading | None:
        """What is known of a service; None where it is not followed."""
        if key not in self._feeds:
            return None
        _, link, watch = self._feeds[key]
        return Reading(Counts.of(dict(watch.streams)), link.connected, link.reason)

    def close(self) -> None:
        """Follow nothing any more."""
        for key in list(self._feeds):
            self.forget(key)
