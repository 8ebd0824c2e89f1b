"""The broker's part of the config: where its files are, and that nobody sees a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.app.parts import broker_address
from pipeline.config import load, validated
from pipeline.errors import ConfigError


def test_credentials_are_beside_the_config_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush\n")
    file = tmp_path / "tandem.yaml"
    file.write_text("broker: {url: 'mqtts://host', username: w1, password_file: secret, ca_file: /etc/ca.crt}\n")
    config = load(file)
    assert (config.broker.password_file, config.broker.ca_file) == (tmp_path / "secret", Path("/etc/ca.crt"))
    assert broker_address(config).password == "hush"  # noqa: S105 - of nobody


def test_credentials_named_elsewhere_are_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/tandem.yaml").write_text("broker: {url: 'mqtts://host'}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TANDEM_BROKER__CERT_FILE", "client.crt")
    config = load(Path("conf/tandem.yaml"), {"broker": {"ca_file": "ca.crt"}})
    assert config.broker.ca_file == tmp_path / "ca.crt"
    assert config.broker.cert_file == tmp_path / "client.crt"


@pytest.mark.parametrize(("content", "said"), [(b"\n", "is empty"), (b"\xff\xfe", "it is no text")])
def test_a_password_file_without_a_password_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "secret").write_bytes(content)
    broker = {"username": "w1", "password_file": str(tmp_path / "secret")}
    with pytest.raises(ConfigError, match=rf"broker\.password_file: .*secret.*{said}"):
        broker_address(validated({"broker": broker}))


@pytest.mark.parametrize(
    "settings",
    [
        {"broker": "mqtt://edge:hush@host"},
        {"streams": {"gate": "rtsp://admin:hush@camera/gate"}},
        {"streams": {"gate": {"source": "x", "every": "rtsp://admin:hush@camera"}}},
        {"broker": {"password": "hush"}},
    ],
)
def test_a_wrong_config_is_told_without_its_passwords(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        validated(settings)
    assert "hush" not in str(caught.value)
