"""From a file to a detector, with every mistake found before the start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.errors import ConfigError, DropMessage
from stages.runtime import ModelSession
from stages.session import CPU, OnnxSession
from stages.vision.class_names import fitting_names, known_names
from stages.vision.detect import FLOOR, IOU, MOST_DETECTIONS, OnnxDetector
from stages.vision.heads.candidates import Head
from stages.vision.heads.resolve import resolve_head
from stages.vision.inputs import InputPlan, plan_inputs
from stages.vision.letterbox import GREY


def load_detector(
    section: str,
    path: Path,
    *,
    input_shape: tuple[int, int] | None = None,
    class_names: Sequence[str] | None = None,
    floor: float = FLOOR,
    iou: float = IOU,
    max_detections: int = MOST_DETECTIONS,
    providers: Sequence[str] = (CPU,),
    threads: int = 1,
) -> OnnxDetector:
    """Load an ONNX detector, and run it once to see what its outputs are.

    Args:
        section: the config section that asks for it, ``detector`` or ``cloud``; errors name fields of it.
        path: the ONNX file, from which the model has its name.
        input_shape: height and width, for models that take any.
        class_names: in the order of the training; before those in the model's metadata.
        floor: the score below which nothing is reported.
        iou: boxes of one class that overlap more than this are one, from 0 to 1.
        max_detections: so many of the best are reported.
        providers: ONNX Runtime's execution providers, best first.
        threads: the threads of one inference; ``stages.cpus.threads_each`` knows how many are good.

    Raises:
        ConfigError: the file, the model or one of these settings is wrong; it names the field and the remedy.
    """
    session = OnnxSession(section, path, providers=providers, threads=threads)
    plan = plan_inputs(section, session, input_shape)
    names = known_names(class_names, session.metadata)
    head = _find_head(section, session, plan, None if names is None else len(names))
    return OnnxDetector(
        session,
        plan,
        head,
        fitting_names(section, names, head.classes),
        model=path.stem,
        floor=floor,
        iou=iou,
        max_detections=max_detections,
    )


def _find_head(section: str, session: ModelSession, plan: InputPlan, classes: int | None) -> Head:
    task = session.metadata.get("task", "detect")
    if task != "detect":
        raise ConfigError(f"{section}.model", f"it was trained to {task!r}: use a model that was trained to 'detect'")
    size = f"{plan.height}x{plan.width}"
    shape = (1, plan.height, plan.width, 3) if plan.channels_last else (1, 3, plan.height, plan.width)
    grey = np.full(shape, GREY / 255, np.float32)
    try:
        outputs = session.run(plan.feeds(grey, plan.height, plan.width))
    except DropMessage as error:
        raise ConfigError(
            f"{section}.input_shape", f"the model does not run on a picture of {size}: choose another size ({error})"
        ) from error
    return resolve_head(
        section,
        {info.name: np.asarray(array) for info, array in zip(session.outputs, outputs, strict=True)},
        input_height=plan.height,
        input_width=plan.width,
        takes_picture_shape=plan.picture_shape is not None,
        classes=classes,
    )
