"""What is wrong with a replay is found before anything was started, and said with its name."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline.app.beforehand import check_goes_on, checked
from pipeline.app.fingerprint import fingerprint
from pipeline.app.parts import sampling
from pipeline.app.places import Places
from pipeline.config import Config, validated
from pipeline.errors import ConfigError
from pipeline.messages import ReaderProgress, SourceStatus
from pipeline.model import Counts
from stages.ledger import SqliteLedger
from stages.sources.address import parse_source
from stages.sources.factory import make_source


def config(folder: Path, clip: bytes = b"a video", **settings: Any) -> Config:
    (folder / "gate.mp4").write_bytes(clip)
    return validated(
        {"streams": {"gate": {"source": str(folder / "gate.mp4")}}, "sink": {"out": folder / "out"}, **settings}
    )


def print_of(config: Config) -> str:
    """The fingerprint of the config's stream."""
    settings = config.streams["gate"]
    address = parse_source(settings.source)
    return fingerprint(config, "gate", address, make_source(address, sampling(config, settings)))


def begin(config: Config) -> str:
    """Let the ledger meet the config's stream; why it refuses it, if it does."""
    progress = ReaderProgress("gate", "r", print_of(config), "gate.mp4", False, SourceStatus.OPENING, "", Counts())
    with closing(SqliteLedger(Places.of(config).ledger, "a test")) as ledger:
        refused = ledger.open(progress).refused
        ledger.commit()
    return refused


def test_a_replay_with_other_settings_is_told_which_they_are_and_were(tmp_path: Path) -> None:
    before = config(tmp_path, audit={"share": 0.5}, miner={"name": "IBT", "threshold_img": 0.5})
    check_goes_on(before, Places.of(before))  # there is no ledger yet
    assert begin(before) == ""
    check_goes_on(before, Places.of(before))
    now = config(tmp_path, audit={"share": 0.5}, miner={"name": "IBT"}, reader={"every": 5})
    with pytest.raises(ConfigError) as caught:
        check_goes_on(now, Places.of(now))
    differ = "made with other settings (every: 10 then, 5 now; miner.threshold_img: 0.5 then, unset now)"
    assert f"{tmp_path}/out/ledger.sqlite has a stream 'gate' that was {differ}; choose another --out" in (
        str(caught.value)
    )
    with pytest.raises(ConfigError, match=r"^--root: .*; choose another --root, or start over with --fresh"):
        check_goes_on(now, Places.of(now), "--root")  # as of tandem sedna, which has no --out
    assert differ in begin(now), "where stages run by themselves, the sink says it"


def test_another_source_or_model_is_told_by_its_name_and_content(tmp_path: Path) -> None:
    tmp_path = tmp_path / ("of a long name" * 10)
    tmp_path.mkdir()
    assert begin(config(tmp_path)) == ""
    refused = begin(config(tmp_path, b"another one", detector={"model": "big"}))
    assert re.search(r"source: [^;]+gate\.mp4 \(sha256 \w{8}\.\.\.\) then, [^;]+gate\.mp4 \(sha256 ", refused)
    assert "detector.model: little (sha256 " in refused
    assert "cloud.model" not in refused


def test_a_ledger_of_an_earlier_tandem_goes_on_and_learns_its_settings(tmp_path: Path) -> None:
    before = config(tmp_path)
    begin(before)
    ledger = Places.of(before).ledger
    with closing(sqlite3.connect(ledger)) as connection, connection:
        digest = print_of(before).partition(" ")[0]
        connection.execute("UPDATE streams SET fingerprint = ?", (digest,))
    now = config(tmp_path, reader={"every": 5})
    with pytest.raises(ConfigError, match="from another source, model, miner or config"):
        check_goes_on(now, Places.of(now))
    check_goes_on(before, Places.of(before))
    assert begin(before) == ""
    with pytest.raises(ConfigError, match="every: 10 then, 5 now"):
        check_goes_on(now, Places.of(now))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"providers": "CUDAExecutionProvider2"}, "cloud.providers: CUDAExecutionProvider2 is not available"),
        ({"model": "MODEL"}, "cloud.model: .*text.onnx is no ONNX model"),
        ({"input_shape": "33,33"}, "cloud.input_shape"),
    ],
)
def test_a_model_that_cannot_be_used_is_found_before_the_start(
    tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    cloud = {name: value.replace("MODEL", str(tmp_path / "text.onnx")) for name, value in settings.items()}
    with pytest.raises(ConfigError, match=words):
        checked(config(tmp_path, cloud=cloud))


def test_a_ledger_that_is_not_in_out_is_told_by_the_setting_that_moves_it(tmp_path: Path) -> None:
    sink = {"out": tmp_path / "out", "all_examples": tmp_path / "all"}
    begin(config(tmp_path, sink=sink))
    now = config(tmp_path, sink=sink | {"out": tmp_path / "new"}, reader={"every": 5})
    with pytest.raises(ConfigError, match=r"^sink\.state_dir: .*; choose another sink\.state_dir, or start over"):
        check_goes_on(now, Places.of(now))
