"""The config: one typed model, from defaults, a file, the environment and the command line, the last one winning.

Nothing else in Tandem reads the environment. How a file and the environment are written is said in
``pipeline.settings``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, ValidationError

from pipeline.budget import BudgetSetting
from pipeline.config_error import Variables, explained
from pipeline.duration import Duration
from pipeline.errors import ConfigError
from pipeline.keep import Keep
from pipeline.model import process_name, stream_name
from pipeline.settings import (
    PREFIX,
    SEDNA,
    assignment,
    from_environment,
    from_file,
    merged,
    nested,
    nested_at,
    without_settings,
)

__all__ = [
    "PREFIX",
    "SEDNA",
    "Config",
    "assignment",
    "load",
    "merged",
    "nested",
    "settings_of",
    "validated",
    "without_settings",
]

Name = Annotated[str, AfterValidator(stream_name)]
ProcessName = Annotated[str, AfterValidator(process_name)]
Score = Annotated[float, Field(ge=0, le=1)]
Quality = Annotated[int, Field(ge=1, le=100)]
File = Annotated[Path, AfterValidator(Path.absolute)]
"""A file that must mean the same to a process that is given the config."""


def _shape(value: object) -> object:
    """Sedna writes shapes as ``"h,w"``."""
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",")]
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise ValueError('write height and width as "h,w", e.g. "416,736"')
    return parts


def _list(value: object) -> object:
    """A list may be written as ``a,b``."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Shape = Annotated[tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]], BeforeValidator(_shape)]
Names = Annotated[tuple[str, ...], BeforeValidator(_list)]


class Section(BaseModel):
    """A part of the config. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class BrokerConfig(Section):
    """Where the broker is."""

    url: str = Field("mqtt://127.0.0.1:1883", description="mqtt://host:port or mqtts://host:port")
    username: str | None = Field(None, description="the user's name, where the broker asks for one")
    password_file: File | None = Field(None, description="a file with the password alone in it")
    ca_file: File | None = Field(None, description="the CA's certificate for mqtts; the system's CAs if unset")
    cert_file: File | None = Field(None, description="our certificate for mqtts, where the broker asks for one")
    key_file: File | None = Field(None, description="its key, not encrypted")
    client_id: Literal["unique", "process"] = Field(
        "unique", description="another at each start, or the process's name, where an ACL goes by it (%c)"
    )


class StreamConfig(Section):
    """One camera or file."""

    source: str = Field(
        coerce_numbers_to_str=True,
        description="a file, file:// URL, folder of pictures, camera URL, or USB camera number",
    )
    every: int | None = Field(None, ge=1, description="as reader.every, for this stream")
    fps: float | None = Field(None, gt=0, description="as reader.fps, for this stream")
    budget: BudgetSetting | None = Field(None, description="as budget, for this stream alone")


class ReaderConfig(Section):
    """How sources are read."""

    every: int = Field(10, ge=1, description="take every Nth source frame")
    fps: float | None = Field(None, gt=0, description="take about so many frames a second instead")
    pace: Literal["max", "real"] = Field("max", description="read a file as fast as it goes, or at its own speed")
    window: int = Field(8, ge=1, description="frames under way without the sink's word")
    backlog: int = Field(64, ge=1, description="hard frames of a file that may wait for the cloud")
    jpeg_quality: Quality = Field(85, description="of the pictures that travel and that dataset/ keeps")


class ModelConfig(Section):
    """A detector."""

    model: str = Field(description="little, big (the shipped ones), or the path of an ONNX file")
    input_shape: Shape | None = Field(None, description='"h,w" for models with a free input size')
    confidence: Score = Field(0.3, description="the score from which on a box is reported")
    floor: Score = Field(0.05, description="the score from which on a miner sees a box")
    iou: Score = Field(0.6, description="boxes of a class that overlap more are one (NMS)")
    classes: Names | None = Field(None, description="class names, where the model has none")
    providers: Names = Field(("CPUExecutionProvider",), description="ONNX Runtime execution providers, best first")
    threads: int | None = Field(None, ge=1, description="threads of one inference; from the CPU limit if unset")


class DetectorConfig(ModelConfig):
    """The little model at the edge."""

    model: str = Field("little", description="little or big (the shipped ones), or the path of an ONNX file")


class MinerConfig(BaseModel):
    """The hard example miner and its parameters, which each miner checks itself."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field("LeastConfidence", description="one of the miners, e.g. LeastConfidence or IBT")
    mode: Literal["inference-then-mining", "mining-then-inference"] = Field(
        "inference-then-mining",
        description="or mining-then-inference: the edge's model leaves out what goes to the cloud",
    )

    @property
    def parameters(self) -> Mapping[str, object]:
        """All but name and mode."""
        return dict(self.model_extra or {})

    @property
    def first(self) -> bool:
        """Whether frames are mined before the edge's model sees them."""
        return self.mode == "mining-then-inference"


class AuditConfig(Section):
    """The easy frames that are sent as well, to see what easy frames hide."""

    share: Score = Field(0.01, description="the random share of the easy frames that is sent too; 0 for none")


class DuplicatesConfig(Section):
    """Hard frames that almost equal one that was sent."""

    suppress: bool = Field(False, description="do not send them again")
    grey: float = Field(8.0, ge=0, le=255, description="largest difference of luma in any block of the small picture")
    box_iou: Score = Field(0.7, description="by how much each two boxes of a class must overlap")
    within: Duration = Field(Duration(60), description="after so long in the source a frame is sent again")


class OutboxConfig(Section):
    """The hard examples that wait for their end."""

    budget: ByteSize = Field(ByteSize(1 << 30), description="over it the least hard expire first, e.g. 1GiB")
    expires: Duration = Field(Duration(600), description="so long a hard frame waits for the cloud, restarts or not")
    tries: int = Field(3, ge=1, description="so often a frame may end a worker before it counts as failed")


class CloudConfig(ModelConfig):
    """The big model in the cloud."""

    model: str = Field("big", description="little or big (the shipped ones), or the path of an ONNX file")
    worker: ProcessName | None = Field(None, description="this worker's name; from host and process if unset")
    slots: int = Field(4, ge=1, description="frames it wants to hold, shared among its uplinks")
    queue: int = Field(16, ge=1, description="frames it holds at most; beyond them it answers busy")


class SinkConfig(Section):
    """What is kept, and where."""

    out: Path = Field(Path("tandem-out"), description="the folder of all outputs")
    all_examples: Path | None = Field(None, description="instead of out/all")
    hard_edge: Path | None = Field(None, description="instead of out/hard_edge")
    hard_cloud: Path | None = Field(None, description="instead of out/hard_cloud")
    state_dir: Path | None = Field(
        None, description="ledger, outbox and dataset; .tandem beside the outputs if those are set"
    )
    keep: Keep | None = Field(
        None, description='up to where pictures are kept: "20 GiB", "7 days", or both; all if unset'
    )
    jpeg_quality: Quality = Field(85, description="of the pictures with boxes drawn")
    explain: bool = Field(False, description="write on the pictures with boxes what was decided, and why")
    compare: bool = Field(True, description="make the side-by-side video after a replay")


class HttpConfig(Section):
    """What is served to Prometheus and to probes."""

    port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="serve /metrics, /healthz and /readyz there; 0 takes a free port; off if unset",
    )
    host: str = Field("127.0.0.1", description="the address to listen on; 0.0.0.0 for all, as a pod's probes need it")
    stuck_s: float = Field(60, gt=0, description="a stage that is at one message for longer is not alive")


class Config(Section):
    """Everything that can be set."""

    service: Name = Field("helmet", description="the joint inference service, a namespace of topics")
    process: ProcessName | None = Field(None, description="this process's name; from its stages, host and id if unset")
    streams: dict[Name, StreamConfig] = Field(default_factory=dict, description="the cameras and files, by name")
    broker: BrokerConfig = BrokerConfig()
    reader: ReaderConfig = ReaderConfig()
    detector: DetectorConfig = DetectorConfig()
    miner: MinerConfig = MinerConfig()
    audit: AuditConfig = AuditConfig()
    duplicates: DuplicatesConfig = DuplicatesConfig()
    budget: BudgetSetting | None = Field(
        None,
        description='what may be sent: "200 kbit/s", "20 %", "20 % of the bytes" or "5 frames/min"; a rate is shared '
        "by the streams without a budget of their own",
    )
    outbox: OutboxConfig = OutboxConfig()
    cloud: CloudConfig = CloudConfig()
    sink: SinkConfig = SinkConfig()
    http: HttpConfig = HttpConfig()
    seed: int = Field(0, description="of all randomness that shapes results")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug, info, warning or error")


def load(file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Config:
    """Put the config together: defaults, then ``file`` (YAML), then the environment, then ``overrides``.

    Raises:
        ConfigError: it names the field or variable that is wrong and what would be right.
    """
    settings = settings_of(file)
    variables: dict[tuple[str, ...], str] = {}
    for path, value, name in from_environment(os.environ):
        settings = merged(settings, nested_at(path, value))
        variables[path] = name
    overrides = overrides or {}
    settings = merged(settings, overrides)
    if "HEM_PARAMETERS" in variables.values() and not _has(settings, ("miner", "name")):
        raise ConfigError(
            "HEM_PARAMETERS", "whose parameters these are is not said: set HEM_NAME too, e.g. HEM_NAME=IBT"
        )
    return validated(
        settings,
        {path: name for path, name in variables.items() if not _has(overrides, path)},
    )


def settings_of(file: Path | None) -> dict[str, Any]:
    """What a config file sets, not checked yet; its relative ``broker.*_file`` are made absolute, beside it.

    Raises:
        ConfigError: it cannot be read, or is no YAML.
    """
    return _beside(file, from_file(file)) if file else {}


def _beside(file: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings from ``file`` whose relative ``broker.*_file`` are beside it: credentials travel with their config."""
    broker = settings.get("broker")
    if not isinstance(broker, Mapping):
        return dict(settings)
    beside = {
        key: str(file.absolute().parent / value) if key.endswith("_file") and isinstance(value, str) else value
        for key, value in broker.items()
    }
    return {**settings, "broker": beside}


def validated(settings: Mapping[str, Any], variables: Variables | None = None) -> Config:
    """The config with these settings alone, whatever the environment says.

    Args:
        settings: nested settings.
        variables: who set them, for errors.

    Raises:
        ConfigError: it names the field or variable that is wrong and what would be right.
    """
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise explained(error, Config, variables or {}) from error


def _has(settings: Any, path: Sequence[str]) -> bool:
    for part in path:
        if not isinstance(settings, Mapping) or part not in settings:
            return False
        settings = settings[part]
    return True
