"""What the edge misses and what the cloud corrects, estimated from hard frames and from an audit of easy ones.

Hard and easy frames are two strata. Of the hard ones the cloud sees all, but for those that expire or fail; of the
easy ones a random share (``audit.share``). Within a stratum, those that it has seen are a simple random sample without
replacement, whatever their number has come to, so that their mean is unbiased, and so is the sum of the strata's means
weighted by their sizes (the post-stratified estimator: Cochran, Sampling Techniques, 3rd ed., 1977, chapter 5A). That
of hard frames is none where the least hard of them expire, since the outbox is full: then it errs towards more.

Intervals are Wilson's, since what is to be found is rare, where plus-minus two standard errors cover far too seldom:

- Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927);
- for one to three findings the lower bound is the exact one of Poisson's distribution, as in Brown, Cai and DasGupta,
  Interval estimation for a binomial proportion, Statistical Science 16 (2001), section 4.1.1: Wilson's is too high;
- the sample counts as larger by the finite population correction, (N - 1) / (N - n), as an effective sample size
  (Franco et al., Comparative study of confidence intervals for proportions in complex sample surveys, Journal of Survey
  Statistics and Methodology 7, 2019): where all were seen, nothing is left to guess;
- the strata's bounds are joined by MOVER: Zou, Huang and Zhang, A note on confidence interval estimation for a linear
  function of binomial proportions, Computational Statistics & Data Analysis 53 (2009); and for the ratio of two by
  Donner and Zou, Closed-form confidence intervals for functions of the normal mean and standard deviation, Statistical
  Methods in Medical Research 21 (2012).

Where less than about two findings are to be expected, counts are too coarse for any interval to cover 95 % of cases
exactly; this one then covers more.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

from pipeline.gain import Estimate, Found, Gain

_Z: Final = NormalDist().inv_cdf(0.975)

_FEW: Final = {1: 0.051293, 2: 0.355362, 3: 0.817691}
"""The Poisson mean with which so many findings or more have a chance of 5 %."""


def gain_of(hard: Found, easy: Found) -> Gain:
    """The gain of a stream from its sums. What has nothing to go by is None: no frame, or no audited one yet."""
    missed = [_stratum(found.missed, found) for found in (hard, easy)]
    corrected = [_stratum(found.corrected, found) for found in (hard, easy)]
    frames = hard.frames + easy.frames
    return Gain(hard, easy, _sum(missed, frames), _sum(corrected, frames), _recall(*corrected))


def proportion(found: int, seen: int, frames: int) -> Estimate:
    """The share of ``frames`` of which ``found`` were found among ``seen`` that were drawn at random.

    Raises:
        ValueError: not 0 <= found <= seen <= frames, or nothing was seen.
    """
    if not 0 <= found <= seen <= frames or seen == 0:
        raise ValueError(f"{found} of {seen} of {frames} frames is no sample")
    share = found / seen
    if seen == frames:
        return Estimate(share, share, share)
    left = (frames - seen) / (frames - 1)
    low, high = _wilson(share, seen / left)
    missing = seen - found
    if found in _FEW:
        low = min(low, share - (share - _FEW[found] / seen) * math.sqrt(left))
    if missing in _FEW:
        high = max(high, share + (1 - _FEW[missing] / seen - share) * math.sqrt(left))
    return Estimate(share, 0.0 if found == 0 else max(0.0, low), 1.0 if missing == 0 else min(1.0, high))


def _wilson(share: float, size: float) -> tuple[float, float]:
    centre = share + _Z**2 / (2 * size)
    half = _Z * math.sqrt(share * (1 - share) / size + (_Z / (2 * size)) ** 2)
    return (centre - half) / (1 + _Z**2 / size), (centre + half) / (1 + _Z**2 / size)


def _stratum(count: int, found: Found) -> Estimate | None:
    """A stratum's number of frames, in place of its share."""
    if not found.frames:
        return Estimate(0.0, 0.0, 0.0)
    if not found.answered:
        return None
    share = proportion(count, found.answered, found.frames)
    return Estimate(share.share * found.frames, share.low * found.frames, share.high * found.frames)


def _sum(strata: list[Estimate | None], frames: int) -> Estimate | None:
    known = [stratum for stratum in strata if stratum is not None]
    if not frames or len(known) < len(strata):
        return None
    total = sum(stratum.share for stratum in known)
    below = math.hypot(*(stratum.share - stratum.low for stratum in known))
    above = math.hypot(*(stratum.high - stratum.share for stratum in known))
    return _rounded(total / frames, max(0.0, total - below) / frames, min(frames, total + above) / frames)


def _recall(hard: Estimate | None, easy: Estimate | None) -> Estimate | None:
    """The hard part of the sum of both: 1 / (1 + easy / hard)."""
    if hard is None or easy is None or hard.share + easy.share == 0:
        return None
    if hard.share == 0:
        return _rounded(0.0, 0.0, hard.high / (hard.high + easy.low) if hard.high else 0.0)
    least, most = _ratio(easy, hard)
    return _rounded(hard.share / (hard.share + easy.share), 1 / (1 + most), 1 / (1 + least))


def _ratio(over: Estimate, under: Estimate) -> tuple[float, float]:
    """The bounds of ``over / under``; ``inf`` where ``under`` may be nothing."""
    product = over.share * under.share

    def bound(top: float, bottom: float, sign: int) -> float:
        rest = product**2 - top * bottom * (2 * over.share - top) * (2 * under.share - bottom)
        divisor = bottom * (2 * under.share - bottom)
        return (product + sign * math.sqrt(max(0.0, rest))) / divisor if divisor > 0 else (math.inf, 0.0)[sign < 0]

    return max(0.0, bound(over.low, under.high, -1)), bound(over.high, under.low, 1)


def _rounded(share: float, low: float, high: float) -> Estimate:
    return Estimate(round(share, 6), round(low, 6), round(high, 6))
