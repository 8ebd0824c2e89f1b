"""The outbox in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.image import Image
from pipeline.messages import Result, Store
from pipeline.model import Counts, Detections, FrameId, Verdict
from stages.outbox import MemoryOutbox, Waiting


def waiting(seq: int = 1) -> Waiting:
    result = Result(
        id=FrameId("gate", seq),
        revision=1,
        ending=None,
        reason="",
        source="edge",
        captured_ns=1,
        media_s=0.0,
        width=8,
        height=8,
        detections=Detections.empty(),
        verdict=Verdict(hard=True, miner="IBT", score=0.5, threshold=0.4, reason="because"),
        edge_model="little",
        cloud_model=None,
        worker=None,
        latency_ms=1.0,
        upload_bytes=0,
        steps_ms={},
    )
    return Waiting(Store(result, Image(pixels=np.zeros((8, 8, 3), np.uint8)), Counts()))


def test_entries_come_in_the_order_in_which_they_came() -> None:
    outbox = MemoryOutbox()
    for seq in (3, 1, 2):
        outbox.put(waiting(seq))
    outbox.put(replace(waiting(3), tries=1))
    assert [(entry.id.seq, entry.tries) for entry in outbox.entries()] == [(3, 1), (1, 0), (2, 0)]


def test_what_is_removed_is_gone_and_removing_it_again_is_no_error() -> None:
    outbox = MemoryOutbox()
    outbox.put(waiting(1))
    outbox.put(waiting(2))
    outbox.remove(FrameId("gate", 1))
    outbox.remove(FrameId("gate", 1))
    assert [entry.id.seq for entry in outbox.entries()] == [2]


def test_a_picture_waits_as_jpeg_alone() -> None:
    outbox = MemoryOutbox()
    put = waiting()
    outbox.put(put)
    (kept,) = outbox.entries()
    assert kept.store.image is not None
    assert put.store.image is not None
    assert kept.store.image._pixels is None
    assert kept.store.image.jpeg == put.store.image.jpeg
    assert kept.size_bytes == len(put.store.image.jpeg) > 0


def test_a_decided_one_may_come_without_picture() -> None:
    outbox = MemoryOutbox()
    bare = replace(waiting(), store=replace(waiting().store, image=None), decided=waiting().store.result)
    outbox.put(bare)
    (kept,) = outbox.entries()
    assert kept.store.image is None
    assert kept.size_bytes == 0
