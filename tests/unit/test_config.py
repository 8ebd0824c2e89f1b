"""The config comes from four places, the last one winning, and says what is wrong with it in words for its user."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, assignment, load, merged, nested, validated, without_settings
from pipeline.errors import ConfigError
from stages.sources.address import SourceKind, parse_source

ConfigFile = Callable[[str], Path]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine that runs the tests."""
    for name in set(os.environ) - set(without_settings(os.environ)):
        monkeypatch.delenv(name)


@pytest.fixture
def config_file(tmp_path: Path) -> ConfigFile:
    """Writes a config file."""

    def write(text: str) -> Path:
        path = tmp_path / "tandem.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refused(settings: dict[str, Any]) -> str:
    """What a user is told of these settings."""
    with pytest.raises(ConfigError) as caught:
        validated(settings)
    return str(caught.value)


class TestLayers:
    def test_without_anything_the_defaults_hold(self) -> None:
        assert load() == Config()
        assert Config().service == "helmet"
        assert (Config().detector.model, Config().cloud.model) == ("little", "big")

    def test_each_layer_wins_over_those_below(self, config_file: ConfigFile, monkeypatch: pytest.MonkeyPatch) -> None:
        file = config_file("reader: {every: 2, window: 2, backlog: 2}\nseed: 2")
        monkeypatch.setenv("TANDEM_READER__WINDOW", "3")
        monkeypatch.setenv("TANDEM_READER__BACKLOG", "3")
        config = load(file, {"reader": {"backlog": 4}})
        assert (config.reader.every, config.reader.window, config.reader.backlog) == (2, 3, 4)
        assert config.reader.jpeg_quality == 85
        assert config.seed == 2

    def test_tandem_names_win_over_those_of_sedna(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TANDEM_MINER__NAME", "Threshold")
        monkeypatch.setenv("HEM_NAME", "IBT")
        assert load().miner.name == "Threshold"

    def test_streams_of_several_layers_add_up(self, config_file: ConfigFile, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TANDEM_STREAMS__YARD__SOURCE", "yard.mp4")
        config = load(config_file("streams:\n  gate:\n    source: gate.mp4\n    every: 5"))
        assert {name: stream.source for name, stream in config.streams.items()} == {
            "gate": "gate.mp4",
            "yard": "yard.mp4",
        }
        assert config.streams["gate"].every == 5

    def test_validated_does_not_look_at_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TANDEM_SEED", "7")
        monkeypatch.setenv("HEM_NAME", "Random")
        assert validated({}) == Config()

    def test_the_config_is_frozen(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            load().reader.every = 1  # type: ignore[misc]  # that is the point

    def test_merged_changes_neither_side(self) -> None:
        below, above = {"a": {"b": 1, "c": 1}, "d": 1}, {"a": {"b": 2}, "d": {"e": 2}}
        assert merged(below, above) == {"a": {"b": 2, "c": 1}, "d": {"e": 2}}
        assert below == {"a": {"b": 1, "c": 1}, "d": 1}
        assert above == {"a": {"b": 2}, "d": {"e": 2}}


class TestValues:
    @pytest.mark.parametrize(
        ("settings", "path", "value"),
        [
            ({"detector": {"input_shape": "480, 640"}}, "detector.input_shape", (480, 640)),
            ({"detector": {"input_shape": [480, 640]}}, "detector.input_shape", (480, 640)),
            ({"detector": {"classes": "person, helmet"}}, "detector.classes", ("person", "helmet")),
            ({"detector": {"classes": ["person", "helmet"]}}, "detector.classes", ("person", "helmet")),
            ({"outbox": {"budget": "2GiB"}}, "outbox.budget", 2 << 30),
            ({"outbox": {"budget": 1000}}, "outbox.budget", 1000),
            ({"outbox": {"expires": 90}}, "outbox.expires", 90.0),
            ({"outbox": {"expires": "90"}}, "outbox.expires", 90.0),
            ({"outbox": {"expires": "600 s"}}, "outbox.expires", 600.0),
            ({"outbox": {"expires": "10 min"}}, "outbox.expires", 600.0),
            ({"outbox": {"expires": "1.5h"}}, "outbox.expires", 5400.0),
            ({"reader": {"every": "5"}}, "reader.every", 5),
            ({"sink": {"compare": "false"}}, "sink.compare", False),
            ({"sink": {"out": "results"}}, "sink.out", Path("results")),
            ({"streams": {"gate": {"source": 0}}}, "streams.gate.source", "0"),
        ],
    )
    def test_values_are_read_as_people_write_them(self, settings: dict[str, Any], path: str, value: object) -> None:
        found: Any = validated(settings).model_dump()
        for part in path.split("."):
            found = found[part]
        assert found == value

    def test_a_miner_has_parameters_of_its_own(self) -> None:
        miner = validated({"miner": {"name": "IBT", "threshold_img": "0.9", "empty": "easy"}}).miner
        assert miner.name == "IBT"
        assert miner.parameters == {"threshold_img": "0.9", "empty": "easy"}
        assert Config().miner.parameters == {}


class TestFile:
    def test_an_empty_file_and_empty_sections_are_defaults(self, config_file: ConfigFile) -> None:
        assert load(config_file("")) == Config()
        assert load(config_file("reader:\nminer:\n# all is well\n")) == Config()

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(
            ConfigError, match=r"the config file cannot be read \(No such file or directory\)"
        ) as caught:
            load(tmp_path / "absent.yaml")
        assert caught.value.field == str(tmp_path / "absent.yaml")

    def test_a_folder_is_no_config(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"the config file cannot be read \(Is a directory\)"):
            load(tmp_path)

    def test_a_file_that_is_no_text_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ConfigError, match=r"model.onnx: the config file cannot be read \(it is no text\)"):
            load(tmp_path / "model.onnx")

    @pytest.mark.parametrize("text", ["reader: [", "reader:\n\tevery: 5", "a: b: c", "seed: !!python/name:os.system"])
    def test_broken_yaml_is_shown_with_its_line(self, config_file: ConfigFile, text: str) -> None:
        with pytest.raises(ConfigError, match=r"tandem.yaml: the config file is no YAML: (.|\n)*line \d"):
            load(config_file(text))

    @pytest.mark.parametrize(("text", "holds"), [("- a", "list"), ("helmet", "str"), ("5", "int")])
    def test_other_yaml_is_no_config(self, config_file: ConfigFile, text: str, holds: str) -> None:
        with pytest.raises(ConfigError, match=f"the config file holds {holds}, not sections with keys"):
            load(config_file(text))

    def test_a_typo_in_the_file_is_named(self, config_file: ConfigFile) -> None:
        with pytest.raises(ConfigError) as caught:
            load(config_file("reader:\n  evry: 5"))
        assert str(caught.value) == "reader.evry: there is no such setting; did you mean 'every'?"
        assert caught.value.field == "reader.evry"


class TestErrors:
    @pytest.mark.parametrize(
        ("settings", "told"),
        [
            ({"readr": {"every": 5}}, "readr: there is no such setting; did you mean 'reader'?"),
            ({"broker": {"urll": "x"}}, "broker.urll: there is no such setting; did you mean 'url'?"),
            ({"cloud": {"inputshape": "x"}}, "cloud.inputshape: there is no such setting; did you mean 'input_shape'?"),
            (
                {"streams": {"gate": {"source": "a", "evry": 2}}},
                "streams.gate.evry: there is no such setting; did you mean 'every'?",
            ),
            (
                {"streams": {"gate": {"zzz": 1}}},
                "streams.gate.zzz: there is no such setting; known are source, every, fps",
            ),
            (
                {"streams": {"reader": {"sorce": "a"}}},
                "streams.reader.sorce: there is no such setting; did you mean 'source'?",
            ),
            (
                {"broker": {"zzz": 1}},
                "broker.zzz: there is no such setting; known are url, username, password_file, ca_file",
            ),
            ({"streams": {"gate": {}}}, "streams.gate.source: is required, but not set"),
            ({"streams": {"workers": {"source": "a"}}}, "streams.workers: 'workers' is reserved: choose another name"),
            (
                {"cloud": {"worker": "state"}},
                "cloud.worker: 'state' is what a stream's topic ends with: choose another",
            ),
            ({"process": "stored"}, "process: 'stored' is what a stream's topic ends with: choose another name"),
            (
                {"streams": {"Gate": {"source": "a"}}},
                "streams.Gate: 'Gate' is no name: use 1 to 63 of a-z, 0-9 and '-'",
            ),
            ({"streams": {1: {"source": "a"}}}, "streams.1: should be a valid string (it is 1)"),
            ({"service": "Helmet"}, "service: 'Helmet' is no name: use 1 to 63 of a-z, 0-9 and '-'"),
            ({"reader": {"every": 0}}, "reader.every: should be greater than or equal to 1 (it is 0)"),
            ({"reader": {"every": "often"}}, "reader.every: should be a valid integer (it is 'often')"),
            ({"reader": {"pace": "slow"}}, "reader.pace: should be 'max' or 'real' (it is 'slow')"),
            ({"reader": {"jpeg_quality": 101}}, "reader.jpeg_quality: should be less than or equal to 100 (it is 101)"),
            ({"reader": 5}, "reader: is a section: put keys below it (it is 5)"),
            ({"streams": "gate.mp4"}, "streams: is a section: put keys below it (it is 'gate.mp4')"),
            ({"miner": {"name": 5}}, "miner.name: should be a valid string (it is 5)"),
            ({"detector": {"confidence": 1.5}}, "detector.confidence: should be less than or equal to 1 (it is 1.5)"),
            ({"detector": {"confidence": float("nan")}}, "detector.confidence: should be a finite number (it is nan)"),
            ({"outbox": {"expires": float("inf")}}, "outbox.expires: should be a finite number (it is inf)"),
            ({"outbox": {"expires": 0}}, "outbox.expires: should be greater than 0 (it is 0)"),
            (
                {"outbox": {"expires": "10 parsecs"}},
                "outbox.expires: should be seconds, or a number with its unit: s, min, h or days, e.g. 10 min",
            ),
            ({"outbox": {"expires": "1..5 h"}}, "outbox.expires: should be a valid number"),
            ({"outbox": {"expires_s": 600}}, "outbox.expires_s: there is no such setting; did you mean 'expires'?"),
            (
                {"outbox": {"budget": "lots"}},
                "outbox.budget: could not parse value and unit from byte string (it is 'lots')",
            ),
            (
                {"detector": {"input_shape": "480"}},
                'detector.input_shape: write height and width as "h,w", e.g. "416,736" (it is \'480\')',
            ),
            (
                {"detector": {"input_shape": "480,wide"}},
                'detector.input_shape: write height and width as "h,w", e.g. "416,736" (it is \'480,wide\')',
            ),
            ({"log_level": "loud"}, "log_level: should be 'debug', 'info', 'warning' or 'error' (it is 'loud')"),
            ({"reader": {7: 7}}, "reader.7: Keys should be strings (it is 7)"),
        ],
    )
    def test_what_is_wrong_is_named_with_what_would_be_right(self, settings: dict[str, Any], told: str) -> None:
        assert refused(settings).startswith(told)

    def test_all_that_is_wrong_is_told_at_once(self) -> None:
        told = refused({"reader": {"every": 0, "evry": 1}, "streams": {"gate": {"sorce": "a"}}, "log_level": "loud"})
        assert told.split("; ") == [
            "streams.gate.sorce: there is no such setting",
            "did you mean 'source'?",
            "reader.every: should be greater than or equal to 1 (it is 0)",
            "reader.evry: there is no such setting",
            "did you mean 'every'?",
            "log_level: should be 'debug', 'info', 'warning' or 'error' (it is 'loud')",
        ]

    def test_a_long_value_is_shortened(self) -> None:
        assert len(refused({"reader": {"every": "x" * 100_000}})) < 200

    @pytest.mark.parametrize("section", [name for name in Config.model_fields if name not in {"streams", "miner"}])
    def test_every_section_refuses_what_it_does_not_know(self, section: str) -> None:
        told = refused({section: {"zzzz": 1}})
        assert told.startswith((f"{section}.zzzz: there is no such setting; known are ", f"{section}: should be "))


class TestEnvironment:
    @pytest.mark.parametrize(
        ("name", "value", "path", "wanted"),
        [
            ("TANDEM_SEED", "7", "seed", 7),
            ("TANDEM_BROKER__URL", "mqtt://broker:1883", "broker.url", "mqtt://broker:1883"),
            ("TANDEM_broker__Url", "mqtt://broker:1883", "broker.url", "mqtt://broker:1883"),
            ("TANDEM_DETECTOR__INPUT_SHAPE", "416,736", "detector.input_shape", (416, 736)),
            ("TANDEM_DETECTOR__INPUT_SHAPE", "[416, 736]", "detector.input_shape", (416, 736)),
            ("TANDEM_DETECTOR__PROVIDERS", "A,B", "detector.providers", ("A", "B")),
            ("TANDEM_OUTBOX__BUDGET", "1MiB", "outbox.budget", 1 << 20),
            ("TANDEM_SINK__COMPARE", "false", "sink.compare", False),
            ("TANDEM_MINER__THRESHOLD_IMG", "0.9", "miner.threshold_img", "0.9"),
            ("TANDEM_STREAMS__NORTH-GATE__SOURCE", "rtsp://cam", "streams.north-gate.source", "rtsp://cam"),
            ("TANDEM_STREAMS", '{"gate": {"source": "a.mp4", "every": 2}}', "streams.gate.every", 2),
        ],
    )
    def test_a_variable_sets_what_it_names(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, path: str, wanted: object
    ) -> None:
        monkeypatch.setenv(name, value)
        found: Any = load().model_dump()
        for part in path.split("."):
            found = found[part]
        assert found == wanted

    def test_a_part_wins_over_its_section(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TANDEM_READER__EVERY", "3")
        monkeypatch.setenv("TANDEM_READER", '{"every": 2, "window": 2}')
        assert (load().reader.every, load().reader.window) == (3, 2)

    @pytest.mark.parametrize(
        ("name", "value", "told"),
        [
            ("TANDEM_BROKR__URL", "x", "TANDEM_BROKR__URL: there is no such setting; did you mean TANDEM_BROKER__URL?"),
            (
                "TANDEM_BROKER__URLL",
                "x",
                "TANDEM_BROKER__URLL: there is no such setting; did you mean TANDEM_BROKER__URL?",
            ),
            ("TANDEM_BROKER_URL", "x", "TANDEM_BROKER_URL: there is no such setting; did you mean TANDEM_BROKER?"),
            (
                "TANDEM_STREAMS__GATE__SORCE",
                "x",
                "TANDEM_STREAMS__GATE__SORCE: there is no such setting; did you mean TANDEM_STREAMS__GATE__SOURCE?",
            ),
            ("TANDEM_ZZZ", "x", "TANDEM_ZZZ: there is no such setting; known are TANDEM_SERVICE, TANDEM_PROCESS, "),
            ("TANDEM_", "x", "TANDEM_: there is no such setting; known are TANDEM_SERVICE, TANDEM_PROCESS, "),
            ("TANDEM_BROKER__ZZZ", "x", "TANDEM_BROKER__ZZZ: there is no such setting; known are TANDEM_BROKER__URL, "),
            ("TANDEM_BROKER", '{"urll": "x"}', "TANDEM_BROKER.urll: there is no such setting; did you mean 'url'?"),
            ("TANDEM_BROKER", "mqtt://b", "TANDEM_BROKER: is a section: put keys below it (it is 'mqtt://b')"),
            ("TANDEM_BROKER", '{"url"', "TANDEM_BROKER: it begins as JSON but is none: "),
            ("TANDEM_SEED", "lucky", "TANDEM_SEED: should be a valid integer (it is 'lucky')"),
            ("TANDEM_SEED__A", "1", "TANDEM_SEED__A: should be a valid integer (it is {'a': '1'})"),
            (
                "TANDEM_STREAMS__NORTH_GATE__SOURCE",
                "0",
                "TANDEM_STREAMS__NORTH_GATE__SOURCE: 'north_gate' is no name: use 1 to 63 of a-z, 0-9 and '-'",
            ),
            ("input_shape", "416", 'input_shape: write height and width as "h,w", e.g. "416,736" (it is \'416\')'),
        ],
    )
    def test_a_wrong_variable_is_named(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
        monkeypatch.setenv(name, value)
        with pytest.raises(ConfigError) as caught:
            load()
        assert str(caught.value).startswith(told)

    def test_a_wrong_variable_is_no_matter_where_the_command_line_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TANDEM_SEED", "lucky")
        assert load(overrides={"seed": 3}).seed == 3
        with pytest.raises(ConfigError, match=r"^seed: should be a valid integer"):
            load(overrides={"seed": "happy"})

    def test_what_kubernetes_sets_for_services_is_no_setting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        links = {
            "TANDEM_SERVICE_HOST": "10.0.0.1",
            "TANDEM_SERVICE_PORT": "1883",
            "TANDEM_PORT": "tcp://10.0.0.1:1883",
            "TANDEM_BROKER_SERVICE_HOST": "10.0.0.1",
            "TANDEM_BROKER_SERVICE_PORT_MQTT": "1883",
            "TANDEM_BROKER_PORT": "tcp://10.0.0.1:1883",
            "TANDEM_BROKER_PORT_1883_TCP": "tcp://10.0.0.1:1883",
            "TANDEM_BROKER_PORT_1883_TCP_PROTO": "tcp",
            "TANDEM_BROKER_PORT_1883_TCP_PORT": "1883",
            "TANDEM_BROKER_PORT_1883_TCP_ADDR": "10.0.0.1",
        }
        for name, value in links.items():
            monkeypatch.setenv(name, value)
        assert load() == Config()

    def test_a_port_that_a_person_sets_is_a_typo(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TANDEM_BROKER_PORT", "1883")
        with pytest.raises(ConfigError, match="TANDEM_BROKER_PORT: there is no such setting"):
            load()

    def test_other_variables_are_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("tandem_seed", "lucky")
        monkeypatch.setenv("MY_TANDEM_SEED", "lucky")
        assert load() == Config()

    def test_a_child_gets_no_settings(self) -> None:
        environ = {
            "PATH": "/bin",
            "tandem_seed": "1",
            "TANDEM_SEED": "1",
            "TANDEM_broker__url": "x",
            "HEM_NAME": "IBT",
            "HEM_PARAMETERS": "null",
            "video_url": "a.mp4",
        }
        assert without_settings(environ) == {"PATH": "/bin", "tandem_seed": "1"}


class TestSedna:
    def test_the_names_that_sedna_sets_are_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sedna = {
            "video_url": "file://data/video/video.mp4",
            "input_shape": "416,736",
            "MODEL_URL": "/models/little.onnx",
            "HEM_NAME": "IBT",
            "HEM_PARAMETERS": '[{"key": "threshold_img", "value": "0.9"}, {"key": "threshold_box", "value": "0.9"}]',
            "all_examples_inference_output": "/data/all",
            "hard_example_edge_inference_output": "/data/edge",
            "hard_example_cloud_inference_output": "/data/cloud",
        }
        for name, value in sedna.items():
            monkeypatch.setenv(name, value)
        config = load()
        assert {name: stream.source for name, stream in config.streams.items()} == {"camera": sedna["video_url"]}
        assert config.detector.input_shape == config.cloud.input_shape == (416, 736)
        assert config.detector.model == config.cloud.model == "/models/little.onnx"
        assert config.miner.name == "IBT"
        assert config.miner.parameters == {"threshold_img": "0.9", "threshold_box": "0.9"}
        assert config.sink.all_examples == Path("/data/all")
        assert config.sink.hard_edge == Path("/data/edge")
        assert config.sink.hard_cloud == Path("/data/cloud")
        assert set(without_settings(os.environ)).isdisjoint(sedna)

    @pytest.mark.parametrize("number", ["0", "1"])
    def test_a_camera_may_be_a_number(self, monkeypatch: pytest.MonkeyPatch, number: str) -> None:
        monkeypatch.setenv("video_url", number)
        address = parse_source(load().streams["camera"].source)
        assert (address.kind, address.location) == (SourceKind.CAMERA_INDEX, number)

    @pytest.mark.parametrize("nothing", ["", "null", "[]"])
    def test_a_miner_without_parameters(self, monkeypatch: pytest.MonkeyPatch, nothing: str) -> None:
        monkeypatch.setenv("HEM_PARAMETERS", nothing)
        assert load().miner.parameters == {}

    def test_parameters_without_a_miner_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HEM_PARAMETERS", '[{"key": "threshold_img", "value": "0.9"}]')
        with pytest.raises(ConfigError, match=r"^HEM_PARAMETERS: .*set HEM_NAME too, e.g. HEM_NAME=IBT$"):
            load()
        assert load(overrides={"miner": {"name": "IBT"}}).miner.parameters == {"threshold_img": "0.9"}

    @pytest.mark.parametrize("text", ["threshold_img=0.9", '{"threshold_img": "0.9"}', '["a"]', '[{"key": "a"}]', "5"])
    def test_broken_parameters_are_shown_with_the_right_form(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setenv("HEM_PARAMETERS", text)
        with pytest.raises(ConfigError) as caught:
            load()
        assert str(caught.value) == (
            f"HEM_PARAMETERS: {text!r} is no list of keys and values: "
            'write [{"key": "threshold_img", "value": "0.9"}]'
        )


class TestAssignment:
    @pytest.mark.parametrize(
        ("text", "settings"),
        [
            ("miner.threshold_img=0.9", {"miner": {"threshold_img": 0.9}}),
            ("seed=7", {"seed": 7}),
            ("sink.compare=no", {"sink": {"compare": False}}),
            ("detector.classes=[a, b]", {"detector": {"classes": ["a", "b"]}}),
            ("broker.url=mqtt://b:1883", {"broker": {"url": "mqtt://b:1883"}}),
            ("streams.gate.source=rtsp://cam/?a=b", {"streams": {"gate": {"source": "rtsp://cam/?a=b"}}}),
            (" reader . fps = 2.5 ", {"reader": {"fps": 2.5}}),
            ("reader.fps=", {"reader": {"fps": None}}),
        ],
    )
    def test_an_assignment_is_read(self, text: str, settings: dict[str, Any]) -> None:
        assert assignment(text) == settings

    @pytest.mark.parametrize("text", ["", "miner.threshold_img", "=0.9", " =0.9", "miner.=0.9", ".name=IBT", "a..b=1"])
    def test_what_sets_nothing_is_shown_with_the_right_form(self, text: str) -> None:
        with pytest.raises(ConfigError) as caught:
            assignment(text)
        assert str(caught.value) == (
            f"--set: {text!r} sets nothing: write it as section.key=value, e.g. miner.threshold_img=0.9"
        )

    def test_a_value_that_is_no_yaml_is_shown(self) -> None:
        with pytest.raises(ConfigError, match=re.escape("--set: miner.a has a value that is no YAML: '[1'")):
            assignment("miner.a=[1")

    def test_a_password_in_a_wrong_value_is_not_shown(self) -> None:
        with pytest.raises(ConfigError) as caught:
            load(overrides=assignment("reader.fps=rtsp://me:se/cret@cam/x"))
        assert "'rtsp://cam/x'" in str(caught.value)
        assert "cret" not in str(caught.value)

    def test_a_wrong_assignment_is_found_by_its_field(self) -> None:
        with pytest.raises(ConfigError, match=r"^reader.evry: there is no such setting; did you mean 'every'\?$"):
            load(overrides=assignment("reader.evry=5"))

    def test_nested_builds_what_merged_takes(self) -> None:
        assert nested("a.b.c", 1) == {"a": {"b": {"c": 1}}}
        assert nested("a", None) == {"a": None}


def test_a_name_that_is_none_is_shown_once() -> None:
    with pytest.raises(ConfigError) as caught:
        validated({"streams": {"Gate_1": {"source": "a.mp4"}}})
    assert str(caught.value).count("'Gate_1'") == 1
