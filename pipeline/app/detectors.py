"""A warm detector from the config."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import ModelConfig
from pipeline.errors import ConfigError
from stages.cpus import threads_each
from stages.models import model_path
from stages.session import CPU, check_providers
from stages.vision.detect import OnnxDetector
from stages.vision.load import load_detector


def make_detector(section: str, model: ModelConfig, sessions: int) -> OnnxDetector:
    """Load and warm the model of a config section; ``sessions`` models share this process's CPUs.

    Raises:
        ConfigError: the model cannot be used; it names the field and the remedy.
    """
    detector = _loaded(section, model, model.providers, model.threads or threads_each(sessions))
    detector.warm_up()
    return detector


def check_detector(section: str, model: ModelConfig) -> tuple[str, ...]:
    """See that the model of a config section can be used; it is loaded on the CPU, and let go. Its class names.

    Raises:
        ConfigError: as ``make_detector``.
    """
    check_providers(section, model.providers)
    return _loaded(section, model, (CPU,), 1).names


def _loaded(section: str, model: ModelConfig, providers: Sequence[str], threads: int) -> OnnxDetector:
    path = model_path(model.model)
    try:
        return load_detector(
            section,
            path,
            input_shape=model.input_shape,
            class_names=model.classes,
            floor=model.floor,
            iou=model.iou,
            providers=providers,
            threads=threads,
        )
    except ConfigError as error:
        if error.field != f"{section}.model" or path.name in str(error):
            raise
        words = str(error).removeprefix(f"{error.field}: ")
        raise ConfigError(error.field, f"{path.name}: {words}") from error
