"""``tandem broker`` as an administrator uses it: what it makes, refuses, adds, removes and renews."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from broker.secure import passwords
from broker.secure.authority import CERTIFICATE_VALID, valid_until
from broker.secure.folder import RENEW_BEFORE, BrokerFolder
from broker.secure.roles import Access, User
from broker.secure.serve import prepare
from pipeline.cli_broker import app
from pipeline.config import load
from pipeline.errors import ConfigError
from tests.secured import Client, address_of, free_ports, make_folder, refusal, served

pytestmark = [pytest.mark.mosquitto, pytest.mark.usefixtures("mosquitto")]

EDGE = User(name="edge", role="edge", streams=("gate",))
WORKER = User(name="w1", role="worker")
CERTIFIED = User(name="w2", role="worker", access="certificate")
NOW = datetime.now(UTC)


def tandem_broker(*args: str | Path) -> str:
    """What the command prints; it raises what ``tandem`` would print as an error."""
    result = CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def secrets_in(folder: Path) -> list[str]:
    """The passwords and keys that clients are given."""
    texts = [file.read_text() for file in folder.rglob("*") if file.name in {"password", "client.key", "ca.key"}]
    options = (folder / "clients/viewer/mosquitto_sub").read_text().splitlines()
    texts += [line.removeprefix("-P ") for line in options if line.startswith("-P ")]
    return [line.strip() for text in texts for line in text.splitlines() if line and "-----" not in line]


def test_an_add_that_was_cut_short_leaves_no_second_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "b", EDGE)
    with monkeypatch.context() as killed:
        killed.setattr(BrokerFolder, "_write_plan", lambda self, plan: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            folder.add(WORKER)
    folder.add(WORKER)
    lines = (folder.path / "broker/passwords").read_text().splitlines()
    assert [line.partition(":")[0] for line in lines] == ["edge", "w1"]


def test_remove_says_that_a_certificate_outlives_its_user(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "b", EDGE, WORKER, CERTIFIED)
    words = "its certificate is valid still: if its key was stolen, let nobody in by this name again"
    assert words not in tandem_broker("remove", folder.path, WORKER.name)
    assert words in tandem_broker("remove", folder.path, CERTIFIED.name)


def test_init_says_what_it_made_and_what_comes_next_but_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = tandem_broker("init", "b", "--stream", "gate", "--stream", "yard", "--host", "broker.example")
    for line in (
        "  tandem broker run b",
        "  tandem run cloud --config b/clients/worker/tandem.yaml",
        "  cd b/clients/viewer && XDG_CONFIG_HOME=. mosquitto_sub -t 'tandem/helmet/+/results'",
    ):
        assert line in said.splitlines()
    made = secrets_in(tmp_path / "b")
    assert len(made) >= 4
    assert not [secret for secret in made if secret in said]
    edge = load(tmp_path / "b/clients/edge/tandem.yaml")
    assert (edge.process, edge.broker.url, edge.broker.username) == ("edge", "mqtts://broker.example:8883", "edge")
    assert edge.broker.password_file == tmp_path / "b/clients/edge/password"
    assert [user.streams for user in BrokerFolder(tmp_path / "b").plan().users] == [("gate", "yard"), (), ()]


def test_only_its_owner_reads_a_secret(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = make_folder(tmp_path / "b", EDGE, WORKER, CERTIFIED, User(name="viewer", role="viewer"))
    finally:
        os.umask(before)
    open_to_all = {str(file.relative_to(folder.path)) for file in folder.path.rglob("*") if _mode(file) & 0o077}
    public = {"ca.crt", "client.crt", "server.crt", "tandem.yaml", "mosquitto.conf", "plan.json"}
    assert {Path(name).name for name in open_to_all} == public
    assert {_mode(folder.path / name) for name in ("ca", "broker", "clients", "clients/w1")} == {0o700}
    assert not [file for name in open_to_all for file in secrets_in(folder.path) if file in _text(folder.path / name)]


def _mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def _text(file: Path) -> str:
    return file.read_text() if file.is_file() else ""


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "b", WORKER)
    before = {file: file.read_bytes() for file in folder.path.rglob("*") if file.is_file()}
    for command in (("init", folder.path), ("add", folder.path, "worker", "w1"), ("add", folder.path, "viewer", "w1")):
        with pytest.raises(ConfigError, match="already") as caught:
            tandem_broker(*command)
        assert caught.value.field == ("NAME" if command[0] == "add" else str(folder.path))
    assert {file: file.read_bytes() for file in folder.path.rglob("*") if file.is_file()} == before


def test_nothing_is_left_of_what_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_user: str, _password: str) -> str:
        raise ConfigError("mosquitto_passwd", "it is not installed")

    monkeypatch.setattr("broker.secure.folder.hashed", missing)
    with pytest.raises(ConfigError, match="mosquitto_passwd"):
        make_folder(tmp_path / "b", WORKER)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("add", "b", "edge", "e2"), "an edge has streams of its own, and nobody else has: name them with --stream"),
        (("add", "b", "worker", "W2"), "name: 'W2' is no name"),
        (("add", "b", "viewer", "v2", "--shared"), "only workers may share a secret"),
        (("add", "b", "worker", "w2", "--shared", "--certificate"), "a certificate is one user's own"),
        (("add", "elsewhere", "worker", "w2"), "no folder that `tandem broker init` made"),
        (("run", "elsewhere"), "no folder that `tandem broker init` made"),
        (("remove", "b", "w9"), "there is no user 'w9': known are w1"),
    ],
)
def test_a_wrong_call_is_told_what_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "b", WORKER)
    with pytest.raises(ConfigError, match=said):
        tandem_broker(*command)


def test_no_password_is_on_a_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    run = subprocess.run

    def watched(command: list[str], **options: object) -> object:
        called.append(command)
        assert _mode(Path(command[-1])) == 0o600
        return run(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(passwords.subprocess, "run", watched)
    line = passwords.hashed("w1", "correct-horse")
    assert line.startswith("w1:$7$")
    assert called
    assert "correct-horse" not in " ".join(called[0]) + line


def test_a_tool_that_does_not_hash_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "mosquitto_passwd"
    tool.write_text("#!/bin/sh\nexit 0\n")
    tool.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ConfigError, match="does not hash: it says nothing"):
        passwords.hashed("w1", "correct-horse")


def test_a_certificate_is_renewed_in_time_and_by_the_same_ca(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "b", WORKER)
    server = folder.path / "broker/server.crt"
    before = server.read_bytes()
    assert not folder.renew(NOW)
    late = valid_until(before) - RENEW_BEFORE + timedelta(days=1)
    assert folder.renew(late)
    assert valid_until(server.read_bytes()) - late > CERTIFICATE_VALID - timedelta(days=1)
    (folder.path / "ca/ca.key").unlink()
    assert not folder.renew(late)
    with pytest.raises(ConfigError, match=r"certificate ends on .*put it back for this start"):
        folder.renew(late + CERTIFICATE_VALID)


def test_a_worker_comes_in_over_a_certificate_that_run_renewed(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "b", WORKER)
    folder._write_server(folder.plan(), folder._authority(), NOW - CERTIFICATE_VALID)
    with served(folder), Client(address_of(folder, "w1"), "w1"):
        pass


def test_run_ends_with_0_on_sigterm_and_needs_neither_root_nor_its_parent_folders(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    folder = make_folder(tmp_path / "closed/b", WORKER)
    with served(folder) as process:
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        assert command[1:3] == [b"-c", b"mosquitto.conf"]
        if os.geteuid() == 0:
            assert Path(f"/proc/{process.pid}").stat().st_uid != 0
    assert process.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_people_who_are_not_root_make_and_run_one() -> None:
    (port,) = free_ports(1)
    code = (
        "import os, sys, encodings.idna, pipeline.app.secure_broker; from pipeline.cli import main\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "sys.argv = ['tandem', 'broker', *sys.argv[1:]]; main()"
    )
    # Not below tmp_path, whose parents only root may enter.
    with tempfile.TemporaryDirectory() as home:
        shutil.chown(home, 65534, 65534)
        command = [sys.executable, "-c", code, "init", "b", "--port", str(port)]
        made = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        folder = BrokerFolder(Path(home) / "b")
        with served(folder, [sys.executable, "-c", code, "run", str(folder.path)]) as broker:
            uid = Path(f"/proc/{broker.pid}").stat().st_uid
    assert (uid, broker.returncode) == (65534, 0)


def test_a_port_in_use_and_an_address_of_others_are_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "b", WORKER)
    port = folder.plan().ports[Access.PASSWORD]
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ConfigError, match=f"--port: port {port} is in use"):
        prepare(folder)
    elsewhere = make_folder(tmp_path / "c", WORKER, bind="192.0.2.1")
    with pytest.raises(ConfigError, match=r"--bind: '192\.0\.2\.1' is no address of this machine"):
        prepare(elsewhere)


def test_a_new_way_to_log_in_needs_a_new_start_and_says_so(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "b", WORKER)
    anew = f"start the broker anew: it does not listen on port {folder.plan().ports[Access.CERTIFICATE]} yet"
    with served(folder):
        assert "start" not in tandem_broker("add", folder.path, "worker", "w3")
        assert anew in tandem_broker("add", folder.path, "worker", "w2", "--certificate")
    with served(folder), Client(address_of(folder, "w2"), "w2"), Client(address_of(folder, "w3"), "w3"):
        pass
    assert "start" not in tandem_broker("add", folder.path, "worker", "w4", "--shared")
    assert [user.name for user in folder.plan().users] == ["w1", "w3", "w2", "w4"]


def test_the_last_one_of_a_way_to_log_in_is_locked_out_at_once(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "b", WORKER)
    tandem_broker("add", folder.path, "worker", "pool", "--shared")
    address = replace(address_of(folder, "pool"), ca_file=folder.path / "ca/ca.crt")
    with served(folder):
        with Client(address, "pool-1"):
            pass
        said = tandem_broker("remove", folder.path, "pool")
        assert f"nobody needs port {folder.plan().ports[Access.SHARED]} any more" in said
        assert "start the broker anew" not in said
        assert "refuses the user 'pool'" in refusal(address)


def test_a_password_that_is_not_ours_is_refused_in_words_of_its_own(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "b", WORKER)
    (folder.client("w1") / "password").write_text("guessed\n")
    with served(folder):
        said = refusal(address_of(folder, "w1"))
    assert "refuses the user 'w1'" in said
    assert "guessed" not in said
