"""Bootstrap intervals: coverage in simulated benchmarks, agreement with the plain bootstrap, and degenerate data."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prepo_rlhf.metrics.bootstrap import mean_interval, paired_difference

BENCHMARKS, SAMPLES = 1000, 16


def simulated(problems: int, a: float, b: float) -> np.ndarray:
    """Means over samples of problems whose pass rates are Beta(a, b): (benchmarks, problems)."""
    generator = np.random.default_rng(0)
    return generator.binomial(SAMPLES, generator.beta(a, b, (BENCHMARKS, problems))) / SAMPLES


@pytest.mark.parametrize(("problems", "a", "b"), [(100, 1, 1), (100, 0.5, 0.5), (100, 0.3, 1.5), (30, 0.3, 1.5)])
def test_covers_the_true_mean_at_its_nominal_rate(problems: int, a: float, b: float) -> None:
    intervals = np.array([mean_interval(values, resamples=1000) for values in simulated(problems, a, b)])
    covered = (intervals[:, 0] <= a / (a + b)) & (a / (a + b) <= intervals[:, 1])
    assert 0.93 <= covered.mean() <= 0.97


def test_covers_less_with_less_confidence() -> None:
    intervals = np.array([mean_interval(values, confidence=0.5, resamples=1000) for values in simulated(100, 1, 1)])
    assert 0.45 <= ((intervals[:, 0] <= 0.5) & (0.5 <= intervals[:, 1])).mean() <= 0.55


def test_paired_interval_covers_the_true_difference() -> None:
    """B passes every problem 0.1 more often than A. Pairing pays: problems differ far more than the systems do."""
    generator = np.random.default_rng(1)
    covered, widths, widths_of_a = [], [], []
    for _ in range(200):
        rates = 0.9 * generator.beta(0.5, 0.5, 100)
        a, b = (generator.binomial(SAMPLES, rates + gain) / SAMPLES for gain in (0, 0.1))
        paired = paired_difference(a, b)
        covered.append(paired.low <= 0.1 <= paired.high)
        widths.append(paired.high - paired.low)
        widths_of_a.append(np.subtract(*mean_interval(a, resamples=1000)[::-1]))
    assert 0.92 <= np.mean(covered) <= 0.98
    assert np.mean(widths) < np.mean(widths_of_a) / 2


def test_agrees_with_the_normal_interval_of_many_problems() -> None:
    values = simulated(1319, 1, 1)[0]
    error = 1.96 * values.std(ddof=1) / len(values) ** 0.5
    assert mean_interval(values) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.05 * error)


def test_a_benchmark_of_1319_problems_takes_less_than_a_second() -> None:
    values = simulated(1319, 1, 1)[0]
    start = time.perf_counter()
    mean_interval(values)
    assert time.perf_counter() - start < 1


def test_seed_decides() -> None:
    values = simulated(30, 1, 1)[0]
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3) != mean_interval(values, seed=4)
    assert paired_difference(values, values[::-1], seed=3) == paired_difference(values, values[::-1], seed=3)


@settings(max_examples=200)
@given(st.lists(st.integers(0, SAMPLES), min_size=1, max_size=40))
def test_is_finite_ordered_and_silent_whatever_the_values(counts: list[int]) -> None:
    values = [count / SAMPLES for count in counts]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = mean_interval(values, resamples=200)
    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12


@pytest.mark.parametrize("values", [[0.25], [0.0] * 30, [1.0] * 30, [0.1] * 7, [0.3, 0.1 + 0.2]])
def test_equal_values_give_a_point(values: list[float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mean_interval(values) == pytest.approx((values[0], values[0]))


def test_paired_difference_is_b_minus_a() -> None:
    a, b = [0.0, 0.5, 0.25, 1.0, 0.0], [0.5, 0.5, 0.75, 1.0, 0.25]
    paired = paired_difference(a, b)
    assert paired.difference == pytest.approx(0.25) and 0 <= paired.low < 0.25 < paired.high <= 0.5
    tie = 0.4**5  # only the two problems without a difference are drawn
    assert paired.probability_better == pytest.approx(1 - tie / 2, abs=2e-3)


@pytest.mark.parametrize(("gain", "better"), [(0.0, 0.5), (0.1, 1.0), (-0.1, 0.0)])
def test_the_same_difference_everywhere(gain: float, better: float) -> None:
    a = np.array([0.1, 0.2, 0.3, 0.7])
    paired = paired_difference(a, a + gain)
    assert (paired.difference, paired.low, paired.high) == pytest.approx((gain, gain, gain))
    assert paired.probability_better == better


def test_a_tie_but_for_rounding_counts_half() -> None:
    """0.6 - 0.4 and 0.3 - 0.1 differ in their last bits: half of the resamples hold one gain and one loss."""
    assert paired_difference([0.4, 0.3], [0.6, 0.1]).probability_better == pytest.approx(0.5, abs=0.03)


def test_exchanging_the_systems_exchanges_the_verdict() -> None:
    a, b = simulated(100, 1, 1)[:2]
    forward, backward = paired_difference(a, b), paired_difference(b, a)
    assert forward.probability_better + backward.probability_better == pytest.approx(1)
    assert (forward.difference, forward.low) == pytest.approx((-backward.difference, -backward.high), abs=2e-3)


def test_refuses_what_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="no problems"):
        mean_interval([])
    with pytest.raises(ValueError, match="3 and 1"):
        paired_difference([1.0, 0.0, 1.0], [1.0])
