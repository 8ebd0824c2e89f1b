"""The overlays' brokers as real Mosquittos with the very configs, and Tandem's commands with the very environments."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker.mosquitto import _accepts, find_mosquitto
from tests.brokers import running
from tests.conftest import ROOT
from tests.e2e.user import Out, Running, Tandem, balances, draw_clip, listening, until
from tests.manifests.rendered import config_files, environment, expanded, main, workloads
from tests.secured import free_ports

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
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
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


def filled_in(folder: Path, overlay: str, name: str) -> None:
    """Write NAME.conf as the init container, if there is one, makes it of the ConfigMap."""
    pod = workloads(overlay)[name]["spec"]["template"]["spec"]
    template, made = folder / "mosquitto.conf", folder / f"{name}.conf"
    if "initContainers" not in pod:
        config_files(overlay, workloads(overlay)[name], "/etc/mosquitto/conf", folder)
        template.rename(made)
        return
    config_files(overlay, workloads(overlay)[name], "/etc/mosquitto/template", folder)
    (init,) = pod["initContainers"]
    variables = environment(overlay, init)
    places = {"/etc/mosquitto/template/mosquitto.conf": template, "/etc/mosquitto/conf/mosquitto.conf": made}
    words = [*init["command"], *(expanded(overlay, word, variables) for word in init["args"])]
    for place, path in places.items():
        words = [word.replace(place, str(path)) for word in words]
    subprocess.run(words, check=True)
    template.unlink()


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


def from_cloud(payload: str) -> bool:
    """Whether a result is a worker's."""
    return bool(json.loads(payload)["source"] == "cloud")


def over(payload: str) -> bool:
    """Whether a state says that every frame has its end."""
    state = json.loads(payload)
    return state["status"] == "ended" and state["tally"]["pending"] == 0


def test_behind_a_cut_wan_the_edge_goes_on_and_no_frame_is_lost(tmp_path: Path) -> None:
    tandem, out, clip = Tandem(tmp_path), Out(tmp_path / "out"), draw_clip(tmp_path / "demo.mp4", FRAMES, fps=6)
    central, wide, local = free_ports(3)
    for name in ("broker", "edge-broker"):
        filled_in(tmp_path, "bridged", name)
    link = f"$SYS/broker/connection/{NODE}/state"
    bridge = {"address broker:1883": f"address 127.0.0.1:{wide}", f"remote_clientid {NODE}": f"remote_clientid {NODE}"}
    with (
        broker(tmp_path / "central", "bridged", "broker", central, {}),
        broker(tmp_path / "local", "bridged", "edge-broker", local, bridge),
        listening(
            central, "tandem/+/+/results", "tandem/+/+/state", f"$SYS/broker/connection/{NODE}/state"
        ) as listener,
        started(tandem, "bridged", "cloud", broker__url=f"mqtt://127.0.0.1:{central}", cloud__model="little") as cloud,
    ):
        with contextlib.ExitStack() as edge:
            with wan(central, wide):
                listener.until(lambda topic, payload: topic == link and payload == "1")
                edge.enter_context(edge_of(tandem, "bridged", clip, broker__url=f"mqtt://127.0.0.1:{local}"))
                listener.until(lambda topic, payload: topic.endswith("/results") and from_cloud(payload))
            assert len(out.seqs("all")) < FRAMES
            until(lambda: len(out.seqs("all")) == FRAMES)
            assert out.tally("demo")["pending"] > 0
            with wan(central, wide):
                _, state = listener.until(lambda topic, payload: topic == "tandem/helmet/demo/state" and over(payload))
                heard = listener.finish()
        assert cloud.is_running()
    tally = json.loads(state)["tally"]
    assert balances(out.tally("demo"))
    assert tally["cloud"] > 0
    assert tally["easy"] + tally["cloud"] == tally["admitted"] == FRAMES
    results = [json.loads(payload) for topic, payload in heard if topic == "tandem/helmet/demo/results"]
    assert {result["seq"] for result in results if result["final"]} == set(range(1, FRAMES + 1))
    # a loop would never end; what is sent twice is what was under way when the WAN was cut
    assert len(results) < FRAMES + tally["cloud"] + 20


def test_tls_users_and_acl_of_a_folder_serve_edge_and_workers(tmp_path: Path) -> None:
    tandem, clip = Tandem(tmp_path), draw_clip(tmp_path / "demo.mp4", 12)
    own, shared, http = free_ports(3)
    ports = ("--port", str(own), "--shared-port", str(shared), "--bind", "127.0.0.1")
    for words in (("init", "site", "--host", "broker", "--host", "localhost", "--stream", "demo", *ports),
                  ("add", "site", "worker", "pool", "--shared")):  # fmt: skip
        made = tandem("broker", *words)
        assert made.exit_code == 0, made
    overlay, site = "edge-cloud-tls", tmp_path / "site"
    with secured(tmp_path, overlay, http):
        probes_served(http)
        places = {"edge": ("edge", own), "cloud": ("pool", shared)}
        login = {
            name: {
                "broker__url": f"mqtts://localhost:{port}",
                "broker__ca_file": site / "clients" / user / "ca.crt",
                "broker__password_file": site / "clients" / user / "password",
            }
            for name, (user, port) in places.items()
        }
        with (
            started(tandem, overlay, "cloud", **login["cloud"], cloud__model="little") as cloud,
            edge_of(tandem, overlay, clip, **login["edge"], reader__pace="max") as edge,
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
    text = changed((folder / "main/main.conf").read_text(), {"/etc/mosquitto": folder})
    (folder / "main/main.conf").write_text(f"user root\n{text}")
    command = [find_mosquitto(), *(word.replace("/etc/mosquitto", str(folder)) for word in container["args"])]
    place = container["workingDir"].replace("/etc/mosquitto", str(folder))
    with subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()
