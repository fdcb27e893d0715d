"""Uncertainty of a mean over problems, and of the difference of two, by resampling problems with replacement.

A problem's value is its mean score over samples, so the interval covers both the choice of problems and the sampling
of responses. The method is BCa: on simulated benchmarks of 30 problems with Beta-distributed pass rates its 95%
intervals held the true mean in 94 to 95% of cases, percentile intervals in 92.5 to 94%. tests/unit/test_bootstrap.py
repeats that simulation for BCa.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
BATCH = 250  # resamples held in memory at once
ROUNDING = 12  # decimals; smaller differences come from the order of additions


class PairedDifference(NamedTuple):
    """How much better B is than A on the same problems.

    `difference` is mean(B) - mean(A) and [`low`, `high`] its 95% interval; `probability_better` is the share of
    resamples in which B's mean is higher, equal ones counted half.
    """

    difference: float
    low: float
    high: float
    probability_better: float


def mean_interval(
    values: Sequence[float], seed: int = 0, confidence: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Bootstrap interval (low, high) of the mean of `values`, one value a problem; ValueError if there are none.

    If all values are equal, or there is only one, resampling tells nothing about the uncertainty and both ends are that
    value. Source: bias-corrected and accelerated intervals, Efron 1987, "Better Bootstrap Confidence Intervals".
    """
    low, high, _ = _resample(values, seed, confidence, resamples)
    return low, high


def paired_difference(a: Sequence[float], b: Sequence[float], seed: int = 0) -> PairedDifference:
    """Compare two systems on the same problems: a resample draws problems, each with both systems' values.

    `a` and `b` have one value a problem, in the same order of problems; ValueError if they have none, or not as many.
    """
    if len(a) != len(b):
        raise ValueError(f"a paired comparison needs as many values on both sides, not {len(a)} and {len(b)}")
    differences = np.subtract(b, a, dtype=float)
    low, high, means = _resample(differences, seed, 0.95, RESAMPLES)
    better = (1 + np.sign(means.round(ROUNDING)).mean()) / 2
    return PairedDifference(float(differences.mean()), low, high, float(better))


def _resample(
    values: Sequence[float] | np.ndarray, seed: int, confidence: float, resamples: int
) -> tuple[float, float, np.ndarray]:
    """(low, high, means of the resamples)."""
    data = np.asarray(values, dtype=float)
    if data.size == 0:
        raise ValueError("the mean of no problems is undefined")
    if np.ptp(data) < 10**-ROUNDING:
        mean = float(data.mean())
        return mean, mean, np.array([mean])
    from scipy import stats  # half a second of a job's start, before there is anything to resample

    result = stats.bootstrap(
        (data,), np.mean, n_resamples=resamples, batch=BATCH, confidence_level=confidence, method="BCa", rng=seed
    )
    interval = result.confidence_interval
    return float(interval.low), float(interval.high), result.bootstrap_distribution
