"""What models get right and wrong, and on which pictures the little one is better."""

from __future__ import annotations

import numpy as np

from pipeline.app.evaluate.answers import Answers, Wrong, answers
from pipeline.app.evaluate.boxes import Boxes
from pipeline.app.evaluate.edge_better import edge_better
from pipeline.app.evaluate.metric import NONE, scored

HEAD = (0.0, 0.0, 20.0, 20.0)


def boxes(*rows: tuple[int, int, tuple[float, float, float, float], float]) -> Boxes:
    """Of rows of picture, label, corners and score."""
    return Boxes(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64).reshape(-1, 4),
        np.array([row[3] for row in rows], np.float64),
    )


def test_wrong_boxes_are_of_the_kinds_of_tide() -> None:
    truth = boxes((0, 0, HEAD, 1), (1, 0, HEAD, 1), (2, 1, HEAD, 1))
    seen = boxes(
        (0, 0, HEAD, 0.9),
        (0, 0, (1, 0, 21, 20), 0.8),  # again
        (0, 0, (12, 0, 32, 20), 0.7),  # beside it
        (0, 1, HEAD, 0.6),  # of another class
        (0, 1, (12, 0, 32, 20), 0.5),  # that too
        (0, 0, (50, 50, 60, 60), 0.75),  # nothing
        (0, 0, (70, 50, 80, 60), 0.4),  # nothing, and not sure
        (1, 0, HEAD, 0.2),  # right, but not reported
        (2, 1, HEAD, 0.3),
    )
    of = scored(truth, seen, 3, 2)
    assert of.objects.tolist() == [0, *[NONE] * 6, 1, 2]
    found = answers(truth, seen, of.objects, 0.3, 3)
    assert found.found.tolist() == [True, False, True]
    assert found.wrong_in(np.array([True, False, False])) == {
        Wrong.CLASS: 1,
        Wrong.LOCATION: 1,
        Wrong.BOTH: 1,
        Wrong.DUPLICATE: 1,
        Wrong.BACKGROUND: 2,
    }
    assert found.wrong[1:].sum() == 0
    assert found.unlabelled.tolist() == [1, 0, 0]


def test_the_pictures_on_which_the_edge_is_better_are_compared_with_the_others() -> None:
    truth = boxes((0, 0, HEAD, 1), (0, 0, HEAD, 1), (1, 0, (0, 0, 10, 10), 1), (2, 0, HEAD, 1), (3, 0, HEAD, 1))
    wrong = np.zeros((4, len(Wrong)), np.int64)
    edge = Answers(np.array([1, 0, 1, 0, 1], np.bool_), wrong, wrong[:, 0])
    cloud = Answers(np.array([1, 1, 0, 1, 0], np.bool_), wrong + 1, np.array([0, 3, 0, 4]))
    better = edge_better(np.array([0.1, -0.2, 0.3, -0.5]), truth, edge, cloud)
    assert (better.order.tolist(), better.change.tolist(), better.half) == ([3, 1], [-0.5, -0.2], 1)
    report = better.json()
    assert (report["share"], report["change_in_map50"]) == (0.5, -0.7)
    here, elsewhere = report["here"], report["elsewhere"]
    assert (here["found_by_edge_only"], here["found_by_cloud_only"], here["sure_but_unlabelled"]) == (2, 0, 7)
    assert (here["objects"], here["side_px"]) == (1.0, 15.0)
    assert (elsewhere["found_by_edge_only"], elsewhere["found_by_cloud_only"], elsewhere["objects"]) == (0, 2, 1.5)
    assert here["wrong"] == {"edge": dict.fromkeys(map(str, Wrong), 0), "cloud": dict.fromkeys(map(str, Wrong), 2)}


def test_where_no_picture_loses_there_is_nothing_to_tell() -> None:
    nothing = Answers(np.zeros(0, np.bool_), np.zeros((2, len(Wrong)), np.int64), np.zeros(2, np.int64))
    report = edge_better(np.array([0.1, 0.0]), boxes(), nothing, nothing).json()
    assert (report["share"], report["half_of_it_in"], report["here"]["side_px"]) == (0.0, 0, None)
