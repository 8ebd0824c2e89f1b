"""A private Mosquitto: its start, its end, and what is said when it cannot be."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from broker import mosquitto as module
from broker.mosquitto import PrivateMosquitto, find_mosquitto
from pipeline.errors import ConfigError

pytestmark = [pytest.mark.mosquitto, pytest.mark.usefixtures("mosquitto")]


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionRefusedError:
        return False
    return True


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a double of Mosquitto's binary goes; it is found before any other."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "mosquitto"


def test_it_takes_connections_on_a_free_port_of_the_loopback_device() -> None:
    with PrivateMosquitto() as broker:
        assert 1024 <= broker.port < 32768, "no outgoing connection is given this port meanwhile"
        assert broker.url == f"mqtt://127.0.0.1:{broker.port}"
        assert answers(broker.port)
        assert {c.laddr.ip for c in psutil.Process(broker.pid).net_connections() if c.status == "LISTEN"} == {
            "127.0.0.1"
        }


def test_its_config_is_what_pictures_need() -> None:
    with PrivateMosquitto(max_packet_bytes=12345) as broker:
        config = (broker.directory / "mosquitto.conf").read_text().splitlines()
    assert "set_tcp_nodelay true" in config
    assert "max_packet_size 12345" in config
    assert "persistence false" in config
    assert any(line.startswith("max_queued_bytes ") for line in config)


def test_a_given_port_is_taken() -> None:
    port = module._free_port()
    with PrivateMosquitto(port) as broker:
        assert broker.port == port
        assert answers(port)


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"--port: port {port} is in use: .*name another port"):
            PrivateMosquitto(port).__enter__()


def test_a_chosen_port_that_is_taken_meanwhile_is_chosen_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        free = module._free_port()
        choices = iter([taken, free])
        monkeypatch.setattr(module, "_free_port", lambda: next(choices))
        seen = iter([True])
        is_free = module._is_free
        monkeypatch.setattr(module, "_is_free", lambda port: next(seen, None) or is_free(port))
        with PrivateMosquitto() as broker:
            assert broker.port == free


def test_two_at_a_time() -> None:
    with PrivateMosquitto() as one, PrivateMosquitto() as other:
        assert one.port != other.port
        assert answers(one.port)
        assert answers(other.port)


def test_nothing_is_left_behind() -> None:
    with PrivateMosquitto() as broker:
        pid, port, directory = broker.pid, broker.port, broker.directory
        watcher = broker._watcher
    assert not psutil.pid_exists(pid)
    assert not answers(port)
    assert not directory.exists()
    assert watcher is not None
    assert watcher.returncode is not None
    broker.close()


def test_restart_keeps_the_port() -> None:
    with PrivateMosquitto() as broker:
        port, pid = broker.port, broker.pid
        broker.restart()
        assert broker.port == port
        assert broker.pid != pid
        assert answers(port)


def test_restart_where_someone_else_took_the_port_says_so() -> None:
    broker = PrivateMosquitto()
    with broker:
        broker.stop()
        with (
            socket.create_server(("127.0.0.1", broker.port)),
            pytest.raises(ConfigError, match=f"port {broker.port} is in use"),
        ):
            broker.start()


def test_cpu_time_is_counted_over_restarts() -> None:
    with PrivateMosquitto() as broker:
        assert broker.cpu_s >= 0
        broker.stop()
        first = broker.cpu_s
        broker.start()
    assert 0 < first < broker.cpu_s < 5


def test_it_runs_in_a_session_of_its_own() -> None:
    with PrivateMosquitto() as broker:
        assert os.getsid(broker.pid) == broker.pid


def test_it_ends_when_its_owner_is_killed() -> None:
    code = (
        "from broker.mosquitto import PrivateMosquitto as P; import sys\n"
        "p = P(); p.start(); print(p.pid, p.directory, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid, directory = owner.stdout.readline().split()
    broker = psutil.Process(int(pid))
    owner.kill()
    owner.communicate()
    psutil.wait_procs([broker], timeout=60)
    shutil.rmtree(directory)
    assert not broker.is_running() or broker.status() == psutil.STATUS_ZOMBIE


def test_one_that_does_not_listen_to_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STOP_TIMEOUT_S", 0.1)
    with PrivateMosquitto() as broker:
        pid = broker.pid
        os.kill(pid, signal.SIGSTOP)
    assert not psutil.pid_exists(pid)


def test_a_missing_mosquitto_names_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "_PLACES", ())
    with pytest.raises(ConfigError, match="not installed: apt-get install mosquitto, or name a running one"):
        find_mosquitto()


def test_one_outside_of_the_path_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mosquitto: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "_PLACES", (str(Path(mosquitto).parent),))
    assert find_mosquitto() == mosquitto


@pytest.mark.parametrize(
    ("said", "shown"), [("mosquitto version 1.6.12", "is mosquitto version 1.6.12, but 2.0"), ("hello", "not a Mosq")]
)
def test_an_old_mosquitto_is_refused(fake: Path, said: str, shown: str) -> None:
    script(fake, f"echo {said}")
    with pytest.raises(ConfigError, match=f"{shown}.*apt-get install mosquitto"):
        PrivateMosquitto()


def test_one_that_does_not_start_is_quoted(fake: Path) -> None:
    script(fake, '[ "$1" = -h ] && echo mosquitto version 2.0.11 || { echo "Error: no entropy" >&2; exit 3; }')
    broker = PrivateMosquitto()
    with pytest.raises(ConfigError, match="does not start: Error: no entropy"):
        broker.__enter__()
    assert broker._process is None
    assert broker._home is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_works_for_people_who_are_not_root() -> None:
    code = (
        "import os, encodings.idna; from broker.mosquitto import PrivateMosquitto as P\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "with P() as p: print(os.stat(f'/proc/{p.pid}').st_uid)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("65534", 0), done.stderr


def test_a_port_that_mosquittos_user_may_not_have_is_told_in_one_line(
    fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        "1: Config loaded from /tmp/x.",
        "1: Opening ipv4 listen socket on port 22.",
        "1: Error: Permission denied",
    )
    says = "; ".join(f"echo '{line}' >&2" for line in lines)
    script(fake, f'[ "$1" = -h ] && echo mosquitto version 2.0.11 || {{ {says}; exit 1; }}')
    monkeypatch.setattr(module, "_is_free", lambda _: True)
    with pytest.raises(ConfigError) as caught, PrivateMosquitto(22):
        pass
    assert str(caught.value) == "--port: Mosquitto's user may not have port 22: use one from 1024 on"
    with (
        pytest.raises(ConfigError, match=r"mosquitto does not start: Error: Permission denied$"),
        PrivateMosquitto(4022),
    ):
        pass
