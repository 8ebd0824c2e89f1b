"""What is made from the config in more than one place."""

from __future__ import annotations

from typing import Final

from broker.address import BrokerAddress
from pipeline.app.little import check_little
from pipeline.budget import Budget
from pipeline.config import Config, StreamConfig
from pipeline.errors import ConfigError
from pipeline.stage import StageName
from stages.mining.learned import Learned
from stages.mining.miner import Miner
from stages.mining.registry import MINERS, check_first, make_miner
from stages.sources.sampling import AtRate, Every, Sampling

EDGE: Final = (StageName.READER, StageName.DETECTOR, StageName.MINER, StageName.UPLINK, StageName.SINK)
"""The edge group: what runs beside the cameras, in one process."""

NOTHING_TO_READ: Final = "there is nothing to read: name a source, e.g. streams.gate.source=rtsp://..."


def broker_address(config: Config) -> BrokerAddress:
    """The broker of the config, with its secrets read.

    Raises:
        ConfigError: the address is wrong, or the password file cannot be read.
    """
    broker = config.broker
    password = None
    if broker.password_file is not None:
        try:
            password = broker.password_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ConfigError("broker.password_file", f"{broker.password_file} cannot be read ({why})") from error
        if not password:
            raise ConfigError("broker.password_file", f"{broker.password_file} is empty: put the password into it")
    return BrokerAddress.parse(
        broker.url,
        broker.username,
        password,
        ca_file=broker.ca_file,
        cert_file=broker.cert_file,
        key_file=broker.key_file,
    )


def budgets(config: Config) -> dict[str, Budget]:
    """What each stream may send: its own budget, or its part of the service's."""
    own = {name: stream.budget for name, stream in config.streams.items() if stream.budget}
    others = [name for name in config.streams if name not in own]
    shared = config.budget.divided(len(others)) if config.budget else None
    return own | (dict.fromkeys(others, shared) if shared else {})


def no_audit(config: Config) -> str:
    """Why no easy frame is sent to see what easy frames hide; empty where some are."""
    if not MINERS[config.miner.name].audited:
        return f"{config.miner.name} sends nothing to the cloud, not even an audit"
    return "" if config.audit.share else "the cloud sees no easy frame, since audit.share is 0"


def miner_of(config: Config) -> Miner:
    """The miner of the config.

    Raises:
        ConfigError: the miner or a parameter is wrong, it was fitted to another little model than the config's, or it
            cannot judge before the edge's model has looked.
    """
    miner = make_miner(config.miner.name, config.miner.parameters, config.seed)
    if config.miner.first:
        check_first(miner)
    if isinstance(miner, Learned):
        check_little(miner, config.detector)
    return miner


def with_little(config: Config) -> StageName:
    """The stage that runs the edge's model: where frames are mined first, it comes after the miner's word."""
    return StageName.MINER if config.miner.first else StageName.DETECTOR


def sampling(config: Config, stream: StreamConfig) -> Sampling:
    """Which frames of a stream are taken; a stream's own word beats the reader's, a rate beats a count."""
    if stream.fps or (config.reader.fps and not stream.every):
        return AtRate(stream.fps or config.reader.fps or 0)
    return Every(stream.every or config.reader.every)
