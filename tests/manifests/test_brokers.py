"""The overlays' brokers as real Mosquittos with the very configs, and Tandem's commands with the very environments."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from broker.address import BrokerAddress
from broker.mosquitto import _accepts, find_mosquitto
from tests.brokers import running
from tests.conftest import ROOT
from tests.e2e.user import Out, Running, Tandem, balances, draw_clip, listening, until
from tests.manifests.rendered import config_files, environment, filled_in, init_command, main, workloads
from tests.secured import Client, free_ports

pytestmark = [pytest.mark.mosquitto, pytest.mark.usefixtures("mosquitto", "clients")]

FRAMES = 36
NODE = "edge-1"


@pytest.fixture(scope="session")
def clients() -> None:
    """Mosquitto's clients."""
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("needs Mosquitto's clients: apt-get install mosquitto-clients")


def changed(text: str, changes: Mapping[str, object]) -> str:
    """A pod's addresses and places become the test's."""
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, str(new))
    return text


def probes_served(port: int) -> None:
    """Wait for the page that the liveness probe asks for."""
    until(lambda: _accepts(port))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60) as answer:
        assert answer.read() == b"alive"


@contextmanager
def broker(folder: Path, overlay: str, name: str, mqtt: int, changes: Mapping[str, object]) -> Iterator[None]:
    """The broker of a workload without TLS, listening at ``mqtt``; its probes' pages are tried."""
    (http,) = free_ports(1)
    (folder / "health").mkdir(parents=True)
    config_files(overlay, workloads(overlay)[name], "/etc/mosquitto/health", folder / "health")
    places = {"listener 1883": f"listener {mqtt} 127.0.0.1", "listener 8080": f"listener {http} 127.0.0.1"}
    places |= {"/data/": f"{folder}/", "/etc/mosquitto/health": str(folder / "health")}
    config = changed((folder.parent / f"{name}.conf").read_text(), changes | places)
    with running(folder, *config.splitlines()):
        probes_served(http)
        until(lambda: _accepts(mqtt))
        yield


@pytest.mark.parametrize("overlay", ["bridged", "bridged-tls"])
def test_a_node_that_has_not_heard_of_the_broker_s_service_tries_again(tmp_path: Path, overlay: str) -> None:
    item = workloads(overlay)["edge-broker"]
    places = {"/etc/mosquitto/template": tmp_path / "template", "/etc/mosquitto/conf": tmp_path / "conf"}
    for place in places.values():
        place.mkdir()
    config_files(overlay, item, "/etc/mosquitto/template", tmp_path / "template")
    init = item["spec"]["template"]["spec"]["initContainers"][-1]
    assert subprocess.run(init_command(overlay, init, places, heard=False), check=False).returncode == 1
    assert subprocess.run(init_command(overlay, init, places), check=False).returncode == 0


@contextmanager
def wan(port: int, listen: int) -> Iterator[None]:
    """The way from one broker to the other; it is cut when this ends."""
    command = [sys.executable, "-m", "tests.integration.tcp_proxy", str(port), str(listen)]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert int(process.stdout.readline()) == listen
            yield
        finally:
            process.kill()


def started(tandem: Tandem, overlay: str, name: str, **settings: object) -> Running:
    """The command of a workload, with its config and environment, but for what is in ``settings``."""
    item = workloads(overlay)[name]
    (tandem.folder / name).mkdir()
    config_files(overlay, item, "/etc/tandem", tandem.folder / name)
    args = [word.replace("/etc/tandem", name) for word in main(item)["args"]]
    options = [word for key, value in settings.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]
    return tandem.start(*args, *options, "--http", "0", env=environment(overlay, main(item)))


def edge_of(tandem: Tandem, overlay: str, clip: Path, **settings: object) -> Running:
    """The edge group, at a clip of the test's; about half of its frames are hard."""
    quick = {"streams__demo__source": clip, "miner__name": "IBT", "miner__threshold_img": "0.7", "sink__out": "out"}
    return started(tandem, overlay, "edge", **quick, **settings)


@dataclass(frozen=True, slots=True)
class Site:
    """The brokers of an overlay with bridges.

    Attributes:
        central: where bridges log in.
        wide: the way to it, which may be cut.
        local: of the edge's own broker.
        worker: how a worker logs in at the central one.
        seen_by: how somebody looks on there.
    """

    central: int
    wide: int
    local: int
    worker: Mapping[str, object]
    seen_by: BrokerAddress


@contextmanager
def bridged(folder: Path) -> Iterator[Site]:
    """Both brokers of ``bridged``."""
    central, wide, local = free_ports(3)
    for name in ("broker", "edge-broker"):
        filled_in(folder, "bridged", name)
    bridge = {"address broker:1883": f"address 127.0.0.1:{wide}", f"remote_clientid {NODE}": f"remote_clientid {NODE}"}
    url = f"mqtt://127.0.0.1:{central}"
    with (
        broker(folder / "central", "bridged", "broker", central, {}),
        broker(folder / "local", "bridged", "edge-broker", local, bridge),
    ):
        yield Site(central, wide, local, {"broker__url": url}, BrokerAddress.parse(url))


@contextmanager
def bridged_tls(folder: Path) -> Iterator[Site]:
    """Both brokers of ``bridged-tls``, and the users that the README adds."""
    central, shared, wide, local, own, http = free_ports(6)
    clients = made_site(folder, own, shared, central)
    filled_in(folder, "bridged-tls", "edge-broker")
    assert (folder / "edge-broker-conf/hosts").read_text().endswith("\nbroker broker\n")
    bridge = {"address broker:8884": f"address localhost:{wide}", "/etc/login": clients / "gateway"}
    viewer = BrokerAddress.parse(
        f"mqtts://localhost:{own}", "viewer", viewer_password(clients), ca_file=clients / "viewer/ca.crt"
    )
    with (
        secured(folder, "bridged-tls", http),
        broker(folder / "local", "bridged-tls", "edge-broker", local, bridge),
    ):
        yield Site(central, wide, local, logged_in(clients / "pool", shared), viewer)


@pytest.mark.parametrize("brokers", [bridged, bridged_tls])
def test_behind_a_cut_wan_the_edge_goes_on_and_no_frame_is_lost(
    tmp_path: Path, brokers: Callable[[Path], AbstractContextManager[Site]]
) -> None:
    overlay = brokers.__name__.replace("_", "-")
    tandem, out, clip = Tandem(tmp_path), Out(tmp_path / "out"), draw_clip(tmp_path / "demo.mp4", FRAMES, fps=6)
    with (
        brokers(tmp_path) as site,
        Client(site.seen_by, "seen", ("tandem/+/+/results", "tandem/+/+/state")) as seen,
        listening(site.local, f"$SYS/broker/connection/{NODE}/state") as bridge,
        started(tandem, overlay, "cloud", **site.worker, cloud__model="little") as cloud,
    ):
        with contextlib.ExitStack() as edge:
            with wan(site.central, site.wide):
                bridge.until(lambda _, payload: payload == "1")
                edge.enter_context(edge_of(tandem, overlay, clip, broker__url=f"mqtt://127.0.0.1:{site.local}"))
                until(lambda: any(result["source"] == "cloud" for result in told(seen, "results")))
            assert len(out.seqs("all")) < FRAMES
            until(lambda: len(out.seqs("all")) == FRAMES)
            assert out.tally("demo")["pending"] > 0
            with wan(site.central, site.wide):
                until(lambda: any(over(state) for state in told(seen, "state")))
        assert cloud.is_running()
    results, tally = told(seen, "results"), told(seen, "state")[-1]["tally"]
    assert balances(out.tally("demo"))
    assert tally["cloud"] > 0
    assert tally["easy"] + tally["cloud"] == tally["admitted"] == FRAMES
    assert {result["seq"] for result in results if result["final"]} == set(range(1, FRAMES + 1))
    # a loop would never end; what is sent twice is what was under way when the WAN was cut
    assert len(results) < FRAMES + tally["cloud"] + 20


def told(client: Client, kind: str) -> list[dict[str, Any]]:
    """What was said of the stream on such a topic."""
    return [json.loads(payload) for topic, payload in list(client.heard) if topic == f"tandem/helmet/demo/{kind}"]


def over(state: Mapping[str, Any]) -> bool:
    """Whether a state says that every frame has its end."""
    return bool(state["status"] == "ended" and state["tally"]["pending"] == 0)


def made_site(folder: Path, own: int, shared: int, certificate: int) -> Path:
    """The broker's folder ``site`` as the README makes it, but for ports; the folder of its clients."""
    tandem = Tandem(folder)
    ports = {"--port": own, "--shared-port": shared, "--certificate-port": certificate}
    options = [str(word) for option in ports.items() for word in option]
    for words in (
        (
            "init",
            "site",
            "--host",
            "broker",
            "--host",
            "localhost",
            "--stream",
            "demo",
            "--bind",
            "127.0.0.1",
            *options,
        ),
        ("add", "site", "worker", "pool", "--shared"),
        ("add", "site", "edge", "gateway", "--stream", "demo", "--certificate"),
    ):
        made = tandem("broker", *words)
        assert made.exit_code == 0, made
    return folder / "site/clients"


def logged_in(client: Path, port: int) -> dict[str, object]:
    """Settings of who logs in with a password."""
    return {
        "broker__url": f"mqtts://localhost:{port}",
        "broker__ca_file": client / "ca.crt",
        "broker__password_file": client / "password",
    }


def viewer_password(clients: Path) -> str:
    """What ``mosquitto_sub`` is told."""
    return (clients / "viewer/password").read_text().strip()


def test_tls_users_and_acl_of_a_folder_serve_edge_and_workers(tmp_path: Path) -> None:
    tandem, clip = Tandem(tmp_path), draw_clip(tmp_path / "demo.mp4", 12)
    own, shared, certificate, http = free_ports(4)
    clients, overlay = made_site(tmp_path, own, shared, certificate), "edge-cloud-tls"
    with (
        secured(tmp_path, overlay, http),
        started(tandem, overlay, "cloud", **logged_in(clients / "pool", shared), cloud__model="little") as cloud,
        edge_of(tandem, overlay, clip, **logged_in(clients / "edge", own), reader__pace="max") as edge,
    ):
        out = Out(tmp_path / "out")
        until(lambda: out.seqs("hard_cloud"))
        until(lambda: out.tally("demo")["cloud"] > 0)
        assert "publish_refused" not in edge.stderr + cloud.stderr
        workers = {row["worker"] for row in out.rows()} - {None, ""}
        assert workers == {environment(overlay, main(workloads(overlay)["cloud"]))["TANDEM_PROCESS"]}


@contextmanager
def secured(folder: Path, overlay: str, http: int) -> Iterator[None]:
    """The broker with the folder ``site`` as its Secret, each file where its pod has it."""
    container = main(workloads(overlay)["broker"])
    for name in ("main", "health"):
        (folder / name).mkdir()
        config_files(overlay, workloads(overlay)["broker"], f"/etc/mosquitto/{name}", folder / name)
    shutil.copytree(folder / "site/broker", folder / "conf")
    probes = changed((folder / "main/probes.conf").read_text(), {"8080": http, "/etc/mosquitto": folder})
    (folder / "conf/probes.conf").write_text(probes)
    (folder / "kept").mkdir()
    places = {"/etc/mosquitto": folder, "/data/": f"{folder}/kept/"}
    text = changed((folder / "main/main.conf").read_text(), places)
    (folder / "main/main.conf").write_text(f"user root\n{text}")
    command = [find_mosquitto(), *(word.replace("/etc/mosquitto", str(folder)) for word in container["args"])]
    place = container["workingDir"].replace("/etc/mosquitto", str(folder))
    with subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            probes_served(http)
            yield
        finally:
            process.kill()
