"""Which head a model has, told by the outputs of a real run (shapes in the file may be free) and by its metadata.

The rule, first match wins:

1. Three outputs (1, h, w, 3, 5+nc) with the same last side: Sedna's big.
2. A second input of two numbers (the picture's height and width), and boxes (N, 4), scores (N,), classes (N,), each
   perhaps with a 1 in front: Sedna's little.
3. One output (1, R, C) of rank 3; outputs of rank 5 beside it (old YOLOv5 exports repeat their raw maps) are ignored:

   a. C is 6 and R at most 1000: end-to-end (B, N, 6). But where the model has one class, or nobody says how many, and
      R is just the number of anchors that a YOLOv5 has at this input (3 for each cell of strides 8, 16, 32, and 64):
      YOLOv5 with one class. With 256x256 or more its R is above 1000 anyway.
   b. The number of class names says it: R = 4+nc and C is not 5+nc: YOLOv8; C = 5+nc and R is not 4+nc: YOLOv5.
   c. The number of anchors at this input says it: C anchors for YOLOv8 (one for each cell), R for YOLOv5.
   d. The larger side is the anchors: C above R, with R at least 5, is YOLOv8; R above C, with C at least 6, YOLOv5.

Whether the number of class names fits the head is checked by who knows the names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from pipeline.errors import ConfigError
from stages.runtime import Array
from stages.vision.heads.candidates import Candidates, Head
from stages.vision.heads.sedna import SEDNA_GREY, find_in_graph_nms, three_scales
from stages.vision.heads.yolo import end_to_end, yolov5, yolov8

YOLOV8: Final = "YOLOv8/11 (B, 4+nc, A)"
YOLOV5: Final = "YOLOv5 (B, A, 5+nc)"
END_TO_END: Final = "end-to-end (B, N, 6)"
SEDNA_BIG: Final = "Sedna big, three outputs (B, h, w, 3, 5+nc)"
SEDNA_LITTLE: Final = (
    "Sedna little, boxes (N, 4), scores (N), classes (N), with the picture's height and width as a second input"
)
KNOWN: Final = (YOLOV8, YOLOV5, END_TO_END, SEDNA_BIG, SEDNA_LITTLE)

MOST_END_TO_END: Final = 1000


def resolve_head(
    section: str,
    outputs: Mapping[str, Array],
    *,
    input_height: int,
    input_width: int,
    takes_picture_shape: bool,
    classes: int | None,
) -> Head:
    """The head that gave these outputs; the module's text has the rule.

    Args:
        section: the config section of the model, for errors.
        outputs: by name, of a run with one picture.
        input_height: of that run.
        input_width: of that run.
        takes_picture_shape: whether the model has a second input for the picture's height and width.
        classes: how many class names there are, where that is known.

    Raises:
        ConfigError: no head is known that looks so, or its scores are no probabilities.
    """
    shapes = [array.shape for array in outputs.values()]
    if _is_three_scales(shapes):
        return Head(SEDNA_BIG, shapes[0][-1] - 5, three_scales, grey=SEDNA_GREY)
    if takes_picture_shape and (in_graph := find_in_graph_nms(outputs)):
        return Head(SEDNA_LITTLE, None, in_graph, needs_nms=False, in_source_pixels=True, grey=SEDNA_GREY)
    places = [place for place, shape in enumerate(shapes) if len(shape) == 3 and shape[0] == 1]
    if len(places) == 1 and all(len(shape) in (3, 5) for shape in shapes):
        (place,) = places
        layout = _layout(shapes[place], _cells(input_height, input_width), classes)
        if layout is not None:
            output = list(outputs.values())[place]
            _check_probabilities(section, layout, output)
            return _HEADS[layout](place, output)
    seen = ", ".join(f"{name} {tuple(array.shape)} {array.dtype}" for name, array in outputs.items())
    raise ConfigError(
        f"{section}.model",
        f"its head is unknown: the outputs are {seen or 'none'} for an input of {input_height}x{input_width}. "
        f"Known are: {'; '.join(KNOWN)}. Export the model as one of these",
    )


def _is_three_scales(shapes: Sequence[tuple[int, ...]]) -> bool:
    return (
        len(shapes) == 3
        and all(len(shape) == 5 and shape[0] == 1 and shape[3] == 3 and shape[4] >= 6 for shape in shapes)
        and len({shape[4] for shape in shapes}) == 1
    )


def _layout(shape: tuple[int, ...], cells: frozenset[int], classes: int | None) -> str | None:
    _, rows, columns = shape
    if columns == 6 and rows <= MOST_END_TO_END:
        one_class_anchors = classes in (None, 1) and rows in {3 * count for count in cells}
        return YOLOV5 if one_class_anchors else END_TO_END
    may_be_v8, may_be_v5 = rows >= 5, columns >= 6
    for says_v8, says_v5 in (
        (classes is not None and rows == 4 + classes, classes is not None and columns == 5 + classes),
        (columns in cells, rows in {3 * count for count in cells}),
        (columns > rows, rows > columns),
    ):
        if says_v8 != says_v5:
            return YOLOV8 if says_v8 and may_be_v8 else YOLOV5 if says_v5 and may_be_v5 else None
    return None


def _cells(height: int, width: int) -> frozenset[int]:
    """How many cells the grids of strides 8 to 32, and of 8 to 64, have together."""
    counts = [-(-height // stride) * -(-width // stride) for stride in (8, 16, 32, 64)]
    return frozenset({sum(counts[:3]), sum(counts)})


def _check_probabilities(section: str, layout: str, output: Array) -> None:
    """Refuse logits, which clipping would turn into nonsense that looks like an answer."""
    scores = {YOLOV8: output[:, 4:], YOLOV5: output[..., 4:], END_TO_END: output[..., 4:5]}[layout]
    finite = scores[np.isfinite(scores)]
    if finite.size and not (finite.min() >= -0.01 and finite.max() <= 1.01):
        raise ConfigError(
            f"{section}.model",
            f"read as {layout}, its scores run from {finite.min():.3g} to {finite.max():.3g} on a grey picture, but "
            "must lie in 0..1: export it with the sigmoid in the model",
        )


def _one(decode: Callable[[Array, float], Candidates], place: int) -> Callable[[Sequence[Array], float], Candidates]:
    return lambda outputs, floor: decode(outputs[place], floor)


_HEADS: Final[Mapping[str, Callable[[int, Array], Head]]] = {
    YOLOV8: lambda place, output: Head(YOLOV8, output.shape[1] - 4, _one(yolov8, place)),
    YOLOV5: lambda place, output: Head(YOLOV5, output.shape[2] - 5, _one(yolov5, place)),
    END_TO_END: lambda place, _: Head(END_TO_END, None, _one(end_to_end, place), needs_nms=False),
}
