"""How many rollouts a method saves: statistics over accuracy curves of paired seeds.

Boundary: arrays in, numbers out. A curve is a row of accuracies at common numbers of rollouts; row s of two methods has
the same seed, so the same order of prompts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

RESAMPLES = 2000
CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A value and its 95% interval over seeds: NaN to NaN where there is only one."""

    value: float
    low: float
    high: float


def rollouts_to(x: np.ndarray, curve: np.ndarray, target: float) -> float:
    """Rollouts at which an accuracy curve reaches `target` for good; inf where it does not.

    The curve is first made monotone by isotonic regression, which takes out the noise that would let it cross early,
    and is straight between its points.
    """
    smooth = optimize.isotonic_regression(curve).x
    reached = np.flatnonzero(smooth >= target)
    if not reached.size:
        return float("inf")
    after = reached[0]
    if after == 0:
        return float(x[0])
    before = after - 1
    share = (target - smooth[before]) / (smooth[after] - smooth[before])
    return float(x[before] + share * (x[after] - x[before]))


def saving(
    spent: tuple[np.ndarray, np.ndarray], baseline: np.ndarray, method: np.ndarray, share: float, seed: int = 0
) -> Estimate:
    """Rollouts of the baseline / rollouts of the method to reach `share` of the baseline's gain; above 1 saves.

    Of the mean curves over seeds, which are less noisy than their own crossings; the interval is of resamples of
    seeds (both methods' together, percentiles). 0 where the method never gets there.

    Args:
        spent: [P] numbers of rollouts, or of tokens, from 0; of the baseline, and of the method.
        baseline, method: [S, P] accuracies.
        share: of the way from the baseline's first accuracy to its last.
    """
    ratio = _ratio(spent, baseline.mean(0), method.mean(0), share)
    if len(baseline) < 2:
        return Estimate(ratio, np.nan, np.nan)
    picks = np.random.default_rng(seed).integers(0, len(baseline), (RESAMPLES, len(baseline)))
    ratios = [_ratio(spent, baseline[pick].mean(0), method[pick].mean(0), share) for pick in picks]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return Estimate(ratio, float(low), float(high))


def _ratio(spent: tuple[np.ndarray, np.ndarray], baseline: np.ndarray, method: np.ndarray, share: float) -> float:
    smooth = optimize.isotonic_regression(baseline).x
    target = smooth[0] + share * (smooth[-1] - smooth[0])
    return rollouts_to(spent[0], baseline, target) / rollouts_to(spent[1], method, target)


def paired_difference(baseline: np.ndarray, method: np.ndarray) -> Estimate:
    """Mean difference of two values a seed, [S] each, with Student's interval."""
    differences = method - baseline
    mean = float(differences.mean())
    if len(differences) < 2:
        return Estimate(mean, np.nan, np.nan)
    half = stats.sem(differences) * stats.t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1)
    return Estimate(mean, float(mean - half), float(mean + half))
