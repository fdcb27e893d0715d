"""The statistics of the selectors' benchmark on curves whose savings are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from overview import NAMES, PANELS, savings_of
from savings import paired_difference, rollouts_to, saving

X = np.arange(0, 1601, 100.0)


def curves(speed: float, seeds: int = 6, noise: float = 0.0) -> np.ndarray:
    """Accuracy that rises from 0.2 to 0.6 at a `speed`; every seed has its own noise."""
    rng = np.random.default_rng(1)
    exact = 0.2 + 0.4 * np.minimum(1, speed * X / 1600)
    return exact + rng.normal(0, 1, (seeds, len(X))) * noise


def test_the_crossing_lies_between_the_points_around_it() -> None:
    assert rollouts_to(X, 0.2 + 0.4 * X / 1600, 0.33) == pytest.approx(0.13 / 0.4 * 1600)
    assert rollouts_to(X, 0.2 + 0.4 * X / 1600, 0.1) == 0
    assert rollouts_to(X, 0.2 + 0.4 * X / 1600, 0.7) == float("inf")


def test_a_peak_of_noise_is_no_crossing() -> None:
    curve = 0.2 + 0.4 * X / 1600
    with_peak = curve + np.where(X == 300, 0.3, 0)
    assert rollouts_to(X, with_peak, 0.5) == pytest.approx(rollouts_to(X, curve, 0.5), rel=0.15)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("speed", [0.9, 1.0, 2.0])
def test_a_method_of_another_speed_saves_as_much(share: float, speed: float) -> None:
    estimate = saving((X, X), curves(1.0), curves(speed), share)
    expected = 0 if share > speed else speed  # 0 where it never gets there
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((expected,) * 3)


def test_the_interval_widens_with_noise_and_holds_the_truth() -> None:
    noisy = saving((X, X), curves(1.0, noise=0.03), curves(1.5, noise=0.03)[::-1], 0.5)
    assert noisy.low < 1.5 < noisy.high and noisy.high - noisy.low > 0.01


def test_paired_differences_leave_out_what_seeds_share() -> None:
    offsets = np.array([0.1, 0.5, 0.9])
    assert paired_difference(offsets, offsets + 0.02).value == pytest.approx(0.02)
    estimate = paired_difference(offsets, offsets + [0.01, 0.02, 0.03])
    half = 4.3027 * 0.01 / 3**0.5  # the 97.5% quantile of Student's t with two degrees of freedom
    assert (estimate.low, estimate.high) == pytest.approx((0.02 - half, 0.02 + half), abs=1e-5)


def test_a_lone_seed_has_no_interval() -> None:
    alone = saving((X, X), curves(1.0, seeds=1), curves(2.0, seeds=1), 0.5)
    difference = paired_difference(np.array([0.1]), np.array([0.3]))
    assert (alone.value, difference.value) == pytest.approx((2, 0.2))
    assert np.isnan([alone.low, alone.high, difference.low, difference.high]).all()


@pytest.mark.parametrize("setting", PANELS)
def test_the_picture_shows_the_savings_of_the_table(setting: str) -> None:
    folder = Path(__file__).parents[2] / "docs/results/selectors"
    table = (folder / f"{setting}_60.md").read_text().split("80%, rollouts")[1].split("\n\n")[0].splitlines()
    column = {cells[1].strip(): cells[3].strip() for cells in (line.split("|") for line in table) if len(cells) > 3}
    for method, (value, low, high) in savings_of(folder, setting, 60).items():
        assert column[method] == (f"{value:.2f} [{low:.2f}, {high:.2f}]" if value else "not reached")
    assert set(NAMES) <= set(column)
