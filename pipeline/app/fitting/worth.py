"""What each picture adds to mAP50 if the big model answers for it."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.app.evaluate.joint import Class, Joint

SENT: Final = 0.3
"""Where detections rank is looked up in a set of which this part is sent."""

_FEW: Final = np.finfo(np.float64).tiny

Floats = npt.NDArray[np.float64]


def gains(joint: Joint) -> Floats:
    """(pictures,) what each adds to mAP50 if it is sent, times their number; their mean is about the whole gap.

    It is the first-order change of average precision, the sum over right detections of the precision at their rank,
    divided by the objects (without COCO's envelope and steps of recall): what a right or wrong detection more is worth
    at its score, among those of a set of which ``SENT`` is sent, each counted by how likely it is there. A picture has
    that of the big model's detections less that of the little one's. Summed over pictures it is near the gap, and to
    send the largest first is near what a search for the best order finds. Qiu et al. (SEC 2024, arXiv:2410.18919) take
    as reward the same difference, of each picture's detections in the context of many others.
    """
    known = [each for each in joint.classes if each.objects.any()]
    total = sum((_of_class(each, joint.pictures) for each in known), np.zeros(joint.pictures))
    return total * (joint.pictures / max(1, len(known)))


def _of_class(found: Class, pictures: int) -> Floats:
    weights = np.where(found.cloud, SENT, 1 - SENT)
    right = weights * found.right
    counted = np.maximum(np.cumsum(weights), _FEW)
    precision = np.cumsum(right) / counted
    # One more at a rank moves all below it: a right one brings them 1 - precision, a wrong one takes their precision.
    one_right = precision + _from_here(right * (1 - precision) / counted)
    one_wrong = -_from_here(right * precision / counted)
    worth = np.where(found.right, one_right, one_wrong) / found.objects.sum()
    return np.bincount(found.pictures, np.where(found.cloud, worth, -worth), pictures).astype(np.float64)


def _from_here(values: Floats) -> Floats:
    """(N,) the sums of each and all after it."""
    return np.cumsum(values[::-1])[::-1]
