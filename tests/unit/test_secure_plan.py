"""What can be asked of a broker, and the config that comes of it."""

from __future__ import annotations

from typing import Any

import pytest

from broker.mosquitto import MAX_PACKET_BYTES
from broker.secure.plan import Plan, checked
from broker.secure.roles import Access, User
from pipeline.errors import ConfigError

PORTS = {Access.PASSWORD: 8883, Access.CERTIFICATE: 8884, Access.SHARED: 8885}
WORKER = User(name="w1", role="worker")


def plan(*users: User, **settings: Any) -> Plan:
    return checked(
        Plan, **{"service": "helmet", "hosts": ("localhost",), "reached_as": "localhost", "ports": PORTS} | settings,
        users=users,
    )  # fmt: skip


def test_there_is_a_listener_for_each_way_to_log_in_that_somebody_uses() -> None:
    assert plan().listeners == {Access.PASSWORD: 8883}
    certified = User(name="w2", role="worker", access="certificate")
    assert plan(WORKER, certified).listeners == {Access.PASSWORD: 8883, Access.CERTIFICATE: 8884}
    pool = User(name="pool", role="worker", access="shared")
    assert plan(pool).listeners == {Access.PASSWORD: 8883, Access.SHARED: 8885}


def test_every_listener_has_tls_and_takes_nobody_unknown() -> None:
    certified = User(name="w2", role="worker", access="certificate")
    pool = User(name="pool", role="worker", access="shared")
    head, *listeners = plan(WORKER, certified, pool, bind="10.0.0.7").config().split("\nlistener ")
    assert [text.split()[:2] for text in listeners] == [[str(port), "10.0.0.7"] for port in (8883, 8884, 8885)]
    for text in listeners:
        lines = text.splitlines()
        for line in ("certfile server.crt", "keyfile server.key", "tls_version tlsv1.2", "allow_anonymous false"):
            assert line in lines
        assert sum(line.startswith("acl_file ") for line in lines) == 1
        assert ("require_certificate true" in lines) != any(line.startswith("password_file ") for line in lines)
    assert "use_identity_as_username true" in listeners[1].splitlines()
    assert "acl_file acl-shared" in listeners[2].splitlines()
    for line in ("per_listener_settings true", "set_tcp_nodelay true", f"max_packet_size {MAX_PACKET_BYTES}"):
        assert line in head.splitlines()


def test_an_ipv6_address_is_written_as_urls_have_it() -> None:
    assert plan(hosts=("::1",), reached_as="::1").url(Access.SHARED) == "mqtts://[::1]:8885"


@pytest.mark.parametrize(
    ("users", "settings", "said"),
    [
        ((WORKER, WORKER), {}, "there are several users 'w1'"),
        ((), {"ports": PORTS | {Access.SHARED: 8883}}, "each way to log in needs a port of its own"),
        ((), {"ports": PORTS | {Access.SHARED: 65536}}, "less than or equal to 65535"),
        ((), {"service": "Helmet"}, "service: 'Helmet' is no name"),
    ],
)
def test_what_cannot_be_is_refused(users: tuple[User, ...], settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(*users, **settings)


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"name": "gateway", "role": "edge"}, "an edge has streams of its own"),
        ({"name": "v", "role": "viewer", "streams": ("gate",)}, "nobody else has"),
        ({"name": "gateway", "role": "edge", "streams": ("workers",)}, "'workers' is reserved"),
        ({"name": "gateway", "role": "edge", "streams": ("gate",), "access": "shared"}, "only workers may share"),
        ({"name": "w+", "role": "worker"}, "'w.' is no name"),
        ({"name": "state", "role": "worker"}, "'state' is what a stream's topic ends with"),
        ({"name": "w\ntopic readwrite #", "role": "worker"}, "is no name"),
    ],
)
def test_a_user_that_cannot_be_is_refused(user: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        checked(User, **user)
