"""Training signals of hand-made reward groups."""

from __future__ import annotations

import pytest

from prepo_rlhf.algorithm.learning_signal import training_signals


def test_shares_of_groups() -> None:
    assert training_signals([(1, 1, 1), (0, 0, 0), (0, 1, 0), (0.5, 0.5, 0.5)]) == {
        "signal/zero_advantage_ratio": 0.75,
        "signal/all_correct_ratio": 0.25,
        "signal/all_wrong_ratio": 0.25,
    }


def test_each_group_counts_once_whatever_its_size() -> None:
    assert training_signals([(1.0, 1.0), (0.0,), (1.0, 0.0, 1.0, 0.0)]) == {
        "signal/zero_advantage_ratio": 2 / 3,
        "signal/all_correct_ratio": 1 / 3,
        "signal/all_wrong_ratio": 1 / 3,
    }


def test_negative_rewards_are_wrong_but_unequal_ones_still_teach() -> None:
    signals = training_signals([(-1.0, 0.0)])
    assert signals["signal/all_wrong_ratio"] == 1.0 and signals["signal/zero_advantage_ratio"] == 0.0


@pytest.mark.parametrize("groups", [[], [(1.0, 0.0), ()]])
def test_refuses_empty_groups(groups: list[tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="no group of rewards, or one of them is empty"):
        training_signals(groups)
