"""One MQTT 5 connection. The only importer of aiomqtt and paho.

aiomqtt connects, subscribes, notices the end and lends its event loop to paho. Packets go to and come from paho itself:
aiomqtt shows neither CONNACK's limits nor PUBACK's reasons, and its tasks cost another 0.3 ms of CPU a message.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.client import Client as Paho
from paho.mqtt.client import ConnectFlags, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from broker import reasons
from broker.address import BrokerAddress
from broker.packet import LARGEST_PACKET_BYTES
from broker.tls_reasons import AlertLog
from pipeline.errors import BrokerError
from pipeline.link import Packet

KEEPALIVE_S: Final = 5
ANSWER_TIMEOUT_S: Final = 5.0

WINDOW: Final = 100
"""How many packets may wait for their PUBACK, where the broker takes as many."""

RECEIVED_LIMIT_BYTES: Final = 32 * 1024 * 1024
"""The largest packet that the broker may send us; it leaves out larger ones, so nobody can fill our memory."""

UNACKNOWLEDGED_MS: Final = 2500
"""So long the other host may leave what we send without a sign (TCP_USER_TIMEOUT). With a ping after the keepalive, a
network that swallows packets is noticed after 1.5 of it. On a slow line TCP's own signs come steadily."""


class NoAnswer(BrokerError):
    """A server accepted the connection, and sent no CONNACK.

    Attributes:
        waited_s: how long it was waited for.
    """

    def __init__(self, address: BrokerAddress, waited_s: float) -> None:
        super().__init__(f"{address} does not answer as an MQTT 5 broker within {waited_s:g} s")
        self.waited_s = waited_s


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What a connection tells its link, on the event loop's thread.

    Attributes:
        received: topic and payload of a message.
        acknowledged: a packet's identifier, and why the broker refused it, or empty.
    """

    received: Callable[[str, bytes], None]
    acknowledged: Callable[[int, str], None]


class Connection:
    """One connection, from CONNECT to its end; the next one needs a new object.

    Attributes:
        window: how many packets the broker takes at a time (CONNACK, Receive Maximum).
        limit_bytes: the largest packet that it takes (CONNACK, Maximum Packet Size).
    """

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        callbacks: Callbacks,
        *,
        tls: ssl.SSLContext | None,
        will: Packet | None,
    ) -> None:
        """Prepare a connection; needs a running event loop."""
        self.window = WINDOW
        self.limit_bytes = LARGEST_PACKET_BYTES
        self._address = address
        self._client_id = client_id
        self._accepted = False
        self._callbacks = callbacks
        self._loop = asyncio.get_running_loop()
        self._sending = False
        self._log = AlertLog()
        self._client = aiomqtt.Client(
            address.host,
            address.port,
            username=address.username,
            password=address.password,
            identifier=client_id,
            logger=self._log,  # the link says what happened, once and with its remedy
            protocol=aiomqtt.ProtocolVersion.V5,
            will=None if will is None else _will(will),
            timeout=ANSWER_TIMEOUT_S,
            keepalive=KEEPALIVE_S,
            clean_start=True,
            max_inflight_messages=0,  # Outgoing keeps the window; paho would search all its packets at each PUBACK
            properties=_connect_properties(),
            tls_context=tls,
            socket_options=[
                (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
                (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS),
            ],
        )
        self._paho: Paho = self._client._client  # noqa: SLF001 - see the module's docstring
        self._aiomqtt_on_connect: Any = self._paho.on_connect
        self._paho.on_connect = self._on_connect
        self._paho.on_socket_register_write = self._on_register_write
        self._paho.on_message = self._on_message
        self._paho.on_publish = self._on_publish

    @asynccontextmanager
    async def opened(self, filters: Sequence[str]) -> AsyncIterator[None]:
        """Connect and subscribe; at the end disconnect cleanly, so that no will is sent.

        Raises:
            BrokerError: the connection cannot be made, or broke, or a subscription is refused.
        """
        try:
            async with self._client:
                await self._subscribe(filters)
                yield
        except aiomqtt.MqttError as error:
            raise self._explained(error) from error
        finally:
            await self._close()

    async def _subscribe(self, filters: Sequence[str]) -> None:
        if not filters:
            return
        granted = await self._client.subscribe([(name, SubscribeOptions(qos=1)) for name in filters])
        for name, reason in zip(filters, granted, strict=True):
            if isinstance(reason, ReasonCode) and reason.is_failure:
                why = f"{self._address} refuses the subscription to {name} ({reason})"
                raise BrokerError(f"{why}: allow it in the broker's ACL")

    async def round_trip(self, filters: Sequence[str]) -> None:
        """Subscribe again to what is subscribed already, without what the broker keeps, for the sake of the answer.

        Raises:
            BrokerError: the connection broke.
        """
        again = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        try:
            await self._client.subscribe([(name, again) for name in filters])
        except aiomqtt.MqttError as error:
            raise self._explained(error) from error

    async def broken(self) -> None:
        """Wait for the connection's end, which ``opened`` then explains.

        Raises:
            MqttError: always; aiomqtt's own queue stays empty, so nothing else ends the wait.
        """
        await anext(aiter(self._client.messages))

    def send(self, packet: Packet) -> int:
        """Hand a packet over for ``flush``; return the identifier that ``acknowledged`` will name."""
        properties = _publish_properties(packet.content_type, packet.expiry_s)
        self._sending = True
        try:
            return self._paho.publish(packet.topic, packet.payload, 1, packet.retain, properties).mid
        finally:
            self._sending = False

    def flush(self) -> None:
        """Write what was handed over, as far as the socket takes it now; the event loop goes on with the rest.

        aiomqtt would have the event loop tell that the socket takes something, which costs two of its turns a packet.
        """
        self._paho.loop_write()
        self._await_writable()

    def _on_register_write(self, _client: Paho, _data: Any, _socket: Any) -> None:
        """Paho has something to write: a packet of ``send``, which ``flush`` will see to, or one of its own.

        Its CONNECT waits for a turn of the event loop, so that a TLS alert which is here already is read first: the
        other side has closed then, and what is written to it takes the alert away.
        """
        if not self._sending:
            self._loop.call_soon_threadsafe(self._await_writable)

    def _await_writable(self) -> None:
        open_socket = self._paho.socket()
        if open_socket is not None and self._paho.want_write():
            self._loop.add_writer(open_socket.fileno(), self._paho.loop_write)

    def _on_connect(
        self, client: Paho, data: Any, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._accepted = not reason.is_failure
        self.window = min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW))
        self.limit_bytes = getattr(properties, "MaximumPacketSize", LARGEST_PACKET_BYTES)
        self._aiomqtt_on_connect(client, data, flags, reason, properties)

    def _on_message(self, _client: Paho, _data: Any, message: MQTTMessage) -> None:
        self._callbacks.received(message.topic, bytes(message.payload))

    def _on_publish(self, _client: Paho, _data: Any, mid: int, reason: ReasonCode, _properties: Properties) -> None:
        self._callbacks.acknowledged(mid, str(reason) if reason.is_failure else "")

    def _explained(self, error: aiomqtt.MqttError) -> BrokerError:
        code = error if isinstance(error, aiomqtt.MqttCodeError) else error.__cause__
        if isinstance(code, aiomqtt.MqttCodeError) and isinstance(code.rc, ReasonCode):
            words = reasons.refused if isinstance(code, MqttConnectError) else reasons.disconnected
            return BrokerError(words(self._address, self._client_id, code.rc.value, code.rc.getName()))
        why = code or error.__context__  # aiomqtt raises "from None", which hides what the socket said but keeps it
        if isinstance(why, TimeoutError) and not why.args:
            why = None  # asyncio's, which has no text
        why = self._log.alert or why
        if why is None and not self._accepted:
            return NoAnswer(self._address, ANSWER_TIMEOUT_S)
        if why is None:
            return BrokerError(reasons.silent(self._address))
        return BrokerError(reasons.no_connection(self._address, why, ANSWER_TIMEOUT_S))

    async def _close(self) -> None:
        """Close the socket where it is still open: aiomqtt leaves it so where no CONNACK came or a callback raised."""
        await asyncio.sleep(0)  # what aiomqtt has yet to register with the event loop goes first
        self._paho._sock_close()  # noqa: SLF001 - a DISCONNECT would come too late, or keep the will from being sent


def _will(packet: Packet) -> aiomqtt.Will:
    properties = _properties(PacketTypes.WILLMESSAGE, packet.content_type, packet.expiry_s)
    return aiomqtt.Will(packet.topic, packet.payload, 1, packet.retain, properties)


def _connect_properties() -> Properties:
    properties = _new_properties(PacketTypes.CONNECT)
    properties.MaximumPacketSize = RECEIVED_LIMIT_BYTES
    return properties


class _Packed(Properties):
    """Properties that are packed once."""

    def __init__(self, properties: Properties) -> None:
        super().__init__(properties.packetType)  # type: ignore[no-untyped-call]
        vars(self).update(vars(properties), packed=properties.pack())  # type: ignore[no-untyped-call]

    def pack(self) -> bytes:
        packed: bytes = vars(self)["packed"]
        return packed


@functools.lru_cache(maxsize=256)
def _publish_properties(content_type: str, expiry_s: int | None) -> Properties:
    """Made once for packets alike, since paho takes its time over them."""
    return _Packed(_properties(PacketTypes.PUBLISH, content_type, expiry_s))


def _properties(packet_type: int, content_type: str, expiry_s: int | None) -> Properties:
    properties = _new_properties(packet_type)
    properties.ContentType = str(content_type)
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    return properties


def _new_properties(packet_type: int) -> Properties:
    properties: Properties = Properties(packet_type)  # type: ignore[no-untyped-call]
    return properties
