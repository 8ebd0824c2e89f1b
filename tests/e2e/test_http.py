"""``tandem run --http``, asked as Prometheus and Kubernetes ask."""

from __future__ import annotations

import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from broker.mosquitto import PrivateMosquitto, _free_port
from pipeline.app.metrics import METRICS
from tests.e2e.refused import refused
from tests.e2e.test_run_and_check import EDGE, settings
from tests.e2e.user import STREAM, Tandem, draw_clip, listening, publish, until


def get(port: int, path: str) -> tuple[int, str]:
    """The status and the body of a page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def families(port: int) -> list[Metric]:
    """What is exposed now."""
    return list(text_string_to_metric_families(get(port, "/metrics")[1]))


def tally_of(found: Iterable[Metric]) -> dict[str, float]:
    """The ledger's counts of the stream."""
    tally = {}
    for family in found:
        what = family.name.removeprefix("tandem_frames_")
        for sample in family.samples:
            if what != family.name and sample.labels["stream"] == STREAM:
                tally[sample.labels.get("ending", what)] = sample.value
    return tally


@pytest.mark.mosquitto
@pytest.mark.usefixtures("mosquitto_sub")
def test_probes_follow_the_broker_and_metrics_the_ledger(clip: Path, tandem: Tandem) -> None:
    broker_port = _free_port()
    audit = {"share": 1.0}  # what is estimated from it is exposed only where an easy frame was audited
    options = (*settings(tandem, clip, broker_port, audit=audit), "--http", "0")
    with tandem.start("run", *EDGE, *options) as edge, tandem.start("run", "cloud", *options) as cloud:
        ports = edge.http_port(), cloud.http_port()

        def are_ready(status: int, words: str) -> bool:
            """Whether both answer so; both are alive all the while."""
            for port in ports:
                assert get(port, "/healthz") == (200, "ok\n")
            return all(found == status and words in text for found, text in (get(port, "/readyz") for port in ports))

        until(lambda: are_ready(503, "the broker is not reached: mqtt://127.0.0.1"))
        with PrivateMosquitto(broker_port), listening(broker_port, "tandem/+/+/state") as listener:
            ended = listener.state(lambda state: state["status"] == "ended" and state["tally"]["pending"] == 0)
            until(lambda: are_ready(200, "ok"))
            for kind in (f"{STREAM}/results/cloud", f"{STREAM}/hard/{_worker(ports[1])}"):
                publish(broker_port, f"tandem/helmet/{kind}", "junk")
            exposed = [families(port) for port in ports]
            until(lambda: all(_has(port, "tandem_messages_dropped") for port in ports))
            exposed += [families(port) for port in ports]
        until(lambda: are_ready(503, "the broker is not reached: "))
        for running in (edge, cloud):
            running.signal(signal.SIGTERM)
            assert running.ended().exit_code == 0
    assert tally_of(exposed[0]) == ended["tally"]
    assert ended["tally"]["cloud"] > 0
    names = {family.name for found in exposed for family in found if family.name.startswith("tandem_")}
    expected = {metric.name.removesuffix("_total") for metric in METRICS}
    assert names == expected, "the README's table has what is really exposed"


@pytest.mark.mosquitto
def test_a_replay_has_none_though_the_config_names_a_port(tandem: Tandem) -> None:
    draw_clip(tandem.folder / "short.mp4", frames=6)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = tandem("replay", "short.mp4", "--set", f"http.port={taken.getsockname()[1]}")
    assert ran.exit_code == 0, ran


def test_a_port_in_use_ends_it_at_once(tandem: Tandem) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = tandem("run", "cloud", "--http", port)
    assert ran.exit_code == 2
    assert ran.error == (
        f"http.port: nobody can listen on 127.0.0.1:{port} (Address already in use): "
        "choose another port with --http, or stop what has this one"
    )


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("no-port", "http.port: should be a valid integer (it is 'no-port')"),
        ("0.0.0.0:66000", "http.port: should be less than or equal to 65535 (it is '66000')"),
        ("no.such.host.invalid:0", "http.host: 'no.such.host.invalid' is no address of this machine"),
    ],
)
def test_an_address_that_is_none_is_refused(tmp_path: Path, option: str, error: str) -> None:
    ran = refused(tmp_path, "run", "cloud", "--http", option)
    assert ran.exit_code == 2
    assert ran.error.startswith(error)


@pytest.mark.parametrize("option", ["127.0.0.2:0", "[::1]:0"])
def test_a_host_may_be_given(tandem: Tandem, option: str) -> None:
    host = option.removesuffix(":0").strip("[]")
    if ":" in host and not _has_ipv6():
        pytest.skip("needs IPv6 on the loopback interface")
    with tandem.start("run", "miner", "--http", option) as running:
        with socket.create_connection((host, running.http_port()), timeout=60) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert connection.makefile("rb").readline() == b"HTTP/1.0 200 OK\r\n"
        running.signal(signal.SIGTERM)
        assert running.ended().exit_code == 0


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def _has(port: int, name: str) -> bool:
    return name in {family.name for family in families(port)}


def _worker(port: int) -> str:
    """The name of the worker, which is that of its process."""
    (build,) = (family for family in families(port) if family.name == "tandem_build_info")
    return build.samples[0].labels["process"]
