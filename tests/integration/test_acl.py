"""Every act of every role, allowed and denied, tried against a real Mosquitto with the files that clients are given."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from broker import connection
from broker.secure.folder import BrokerFolder
from broker.secure.roles import Access, Role, User
from pipeline.app.secure_broker import let_in, lock_out
from pipeline.link import ContentType, Packet
from tests.secured import Client, address_of, make_folder, refusal, served

pytestmark = [pytest.mark.mosquitto, pytest.mark.usefixtures("mosquitto")]

USERS: Final = (
    User(name="gateway", role="edge", streams=("gate",)),
    User(name="yardside", role="edge", streams=("yard",), access="certificate"),
    User(name="w1", role="worker"),
    User(name="w2", role="worker", access="certificate"),
    User(name="pool", role="worker", access="shared"),
    User(name="guest", role="viewer"),
)
WORKERS: Final = ("w1", "w2", "p1", "p2")
SHARING: Final = {"p1", "p2"}
"""The secret of the pool."""

STREAM_KINDS: Final = (
    *("frames", "detected", "examples", "store", "progress", "resume", "results", "stored", "state", "results/cloud"),
    *(f"hard/{worker}" for worker in WORKERS),
)


def of(stream: str) -> set[str]:
    return {f"tandem/helmet/{stream}/{kind}" for kind in STREAM_KINDS}


def both(*kinds: str) -> set[str]:
    return {f"tandem/helmet/{stream}/{kind}" for stream in ("gate", "yard") for kind in kinds}


ANNOUNCEMENTS: Final = {f"tandem/helmet/workers/{worker}" for worker in WORKERS}
STAGES: Final = {f"tandem/helmet/stages/{name}" for name in ("gateway", "yardside", *WORKERS)}
NOBODYS: Final = {
    *("tandem/other/gate/results", "tandem/other/workers/w1", "tandem/helmet/attic/results", "tandem/helmet/gate"),
    *("tandem/helmet/workers/guest", "tandem/helmet/stages/guest", "tandem/helmet/workers/gateway", "elsewhere"),
    *("tandem/helmet/stages/pool", "tandem/helmet/workers/pool", "tandem/helmet/gate-2/results"),
}
TOPICS: Final = sorted(of("gate") | of("yard") | ANNOUNCEMENTS | STAGES | NOBODYS)

WRITES: Final = {
    "gateway": of("gate") | {"tandem/helmet/gate", "tandem/helmet/stages/gateway"},
    "yardside": of("yard") | {"tandem/helmet/stages/yardside"},
    "guest": set(),
    **{
        worker: both("results/cloud") | {f"tandem/helmet/workers/{worker}", f"tandem/helmet/stages/{worker}"}
        for worker in WORKERS
    },
}
READS: Final = {
    "gateway": of("gate") | {"tandem/helmet/gate"} | ANNOUNCEMENTS | STAGES,
    "yardside": of("yard") | ANNOUNCEMENTS | STAGES,
    "guest": both("results", "stored", "state") | ANNOUNCEMENTS | STAGES,
    **{worker: both(f"hard/{worker}") for worker in WORKERS},
}


@pytest.fixture(scope="module")
def folder(mosquitto: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerFolder]:
    folder = make_folder(tmp_path_factory.mktemp("acl") / "broker", *USERS)
    with served(folder):
        yield folder


def client(folder: BrokerFolder, name: str, *filters: str) -> Client:
    """A client by the files of its user. Where it shares them, its name is the client id that its config asks for."""
    if name in SHARING:
        return Client(address_of(folder, "pool"), name, filters)
    return Client(address_of(folder, name), f"{name}-{'reader' if filters else 'writer'}", filters)


@pytest.mark.parametrize("name", WRITES)
def test_what_may_be_written(folder: BrokerFolder, name: str) -> None:
    with client(folder, name) as writer:
        assert writer.publish(TOPICS) == WRITES[name]


@pytest.mark.parametrize("name", READS)
def test_what_may_be_read(folder: BrokerFolder, name: str) -> None:
    """The reader asks for everything, whoever may write a topic does, and a last word comes on one that it may read."""
    with client(folder, name, "#") as reader:
        # Of those that share a secret, a second one with the reader's client id would end its connection.
        for writer_name in WRITES.keys() - ({name} & SHARING):
            with client(folder, writer_name) as writer:
                assert writer.publish(sorted(WRITES[writer_name])) == WRITES[writer_name]
        last = min(READS[name])
        with client(folder, next(writer for writer, topics in WRITES.items() if last in topics)) as writer:
            assert writer.publish([last], b"the last word") == {last}
        assert reader.until(b"the last word") == READS[name]


def test_who_shares_a_secret_may_not_go_by_the_name_of_who_has_one_of_its_own(folder: BrokerFolder) -> None:
    with Client(address_of(folder, "pool"), "w1", ("#",)) as impostor, client(folder, "gateway") as edge:
        assert impostor.publish(TOPICS) == both("results/cloud")
        assert edge.publish(["tandem/helmet/gate/hard/w1"]) == {"tandem/helmet/gate/hard/w1"}
        assert edge.publish(["tandem/helmet/gate/hard/p1"], b"end")
        with client(folder, "p1", "#") as genuine:
            edge.publish(["tandem/helmet/gate/hard/p1"], b"end")
            genuine.until(b"end")
        assert impostor.heard == []


def test_a_will_is_a_publish_like_any_other(folder: BrokerFolder) -> None:
    with client(folder, "gateway", "#") as reader:
        for name, said in (("guest", b"denied"), ("w1", b"denied"), ("gateway", b"allowed")):
            will = Packet("tandem/helmet/gate/state", said, ContentType.JSON)
            with Client(address_of(folder, name), f"{name}-willing", will=will) as willing:
                willing.cut()
        reader.until(b"allowed")
        assert [said for _, said in reader.heard] == [b"allowed"]


@pytest.mark.parametrize("client_id", ["+", "#", "p1/#"])
def test_a_client_id_with_wildcards_opens_nothing(folder: BrokerFolder, client_id: str) -> None:
    with Client(address_of(folder, "pool"), client_id, ("#",)) as impostor:
        assert impostor.publish(TOPICS) <= both("results/cloud")
        with client(folder, "p1", "#") as genuine, client(folder, "gateway") as edge:
            edge.publish(["tandem/helmet/gate/hard/p1"], b"end")
            genuine.until(b"end")
        assert impostor.heard == []


def test_nobody_comes_in_without_a_secret_of_this_listener(
    folder: BrokerFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT_S", 0.5)
    plan = folder.plan()
    worker, pool = address_of(folder, "w1"), address_of(folder, "pool")
    ports = {access: plan.ports[access] for access in plan.listeners}
    for address, port in ((worker, pool.port), (pool, worker.port)):
        assert f"refuses the user '{address.username}'" in refusal(replace(address, port=port))
    for port in ports.values():
        nobody = replace(worker, port=port, username=None, password=None)
        assert "takes no anonymous clients" in refusal(nobody) or "asks for a certificate of ours" in refusal(nobody)


def test_a_user_comes_in_as_soon_as_it_is_added_and_may_do_nothing_once_it_is_removed(
    mosquitto: str, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "broker", *USERS[:4])
    announcement = "tandem/helmet/workers/w3"
    with served(folder):
        let_in(folder.path, Role.WORKER, "w3", Access.PASSWORD, ())
        added, certified = address_of(folder, "w3"), address_of(folder, "w2")
        with Client(added, "added") as worker:
            assert worker.publish([announcement]) == {announcement}
        kept = tmp_path / "kept"
        shutil.copytree(folder.path / "clients", kept)
        for name in ("w3", "w2"):
            lock_out(folder.path, name)
        moved = {"ca_file": kept / "w2/ca.crt"}
        assert "refuses the user 'w3'" in refusal(replace(added, **moved))
        moved |= {"cert_file": kept / "w2/client.crt", "key_file": kept / "w2/client.key"}
        with Client(replace(certified, **moved), "certified") as worker:
            assert worker.publish(TOPICS) == set()
