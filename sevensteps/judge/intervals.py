"""Confidence intervals."""

from __future__ import annotations

import math
from statistics import NormalDist

from ..errors import UsageError
from ..records import Interval, Score


def wilson(correct: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion, defined also at 0 of n and n of n.

    Wilson, "Probable inference, the law of succession, and statistical inference" (1927); its coverage is close to
    what it says also for small n (Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", 2001).

    >>> interval = wilson(8, 10)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.49, 0.943)

    Raises:
        UsageError: no trials, or a count that is not among 0 to n.
    """
    if not 0 <= correct <= n or n == 0:
        raise UsageError(f"{correct} of {n} is no proportion.", hint="Give a count from 0 to n, and n of 1 or more.")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = correct / n
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(0.0 if correct == 0 else max(center - half, 0.0), 1.0 if correct == n else min(center + half, 1.0))


def score(split: str, correct: int, n: int) -> Score:
    """A count of right answers with its 95 % interval.

    Raises:
        UsageError: as `wilson`.
    """
    return Score(split, correct, n, wilson(correct, n))
