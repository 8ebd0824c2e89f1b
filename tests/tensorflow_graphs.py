"""Frozen TensorFlow graphs, made by a Python that has TensorFlow: ``python tensorflow_graphs.py FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

tf1 = tf.compat.v1


def little() -> None:
    """As Sedna's little: a picture, NHWC, and its shape; NMS in the graph; boxes yxyx in source pixels.

    The first box scores the mean of red, the second, which overlaps it, nine tenths of that, the third that of green.
    """
    images = tf1.placeholder(tf.float32, [1, 64, 96, 3], name="images")
    shapes = tf1.placeholder(tf.float32, [2], name="shapes")
    red, green, _ = tf.unstack(tf.reduce_mean(images, [0, 1, 2]), 3)
    parts = tf.constant([[0.25, 0.25, 0.5, 0.5], [0.25, 0.25, 0.5, 0.48], [0.5, 0.5, 1.0, 0.75]])
    boxes, scores = parts * tf.tile(shapes, [2]), tf.stack([red, 0.9 * red, green])
    kept = tf.image.non_max_suppression(boxes, scores, 20, 0.5)
    tf.gather(boxes, kept, name="boxes")
    tf.gather(scores, kept, name="scores")
    tf.gather(tf.constant([2, 2, 0]), kept, name="classes")


def not_in_onnx() -> None:
    """An operation that ONNX has not."""
    fed = tf1.placeholder(tf.float32, [1, 4], name="images")
    tf.raw_ops.Betainc(a=fed, b=fed, x=fed, name="boxes")


def not_frozen() -> None:
    """A variable, whose values are elsewhere."""
    tf.identity(tf1.get_variable("weights", [2]), name="boxes")


def _graph(build: Callable[[], None]) -> Any:
    graph = tf.Graph()
    with graph.as_default():
        build()
    return graph.as_graph_def()


if __name__ == "__main__":
    for make in (little, not_in_onnx, not_frozen):
        (Path(sys.argv[1]) / f"{make.__name__}.pb").write_bytes(_graph(make).SerializeToString())
