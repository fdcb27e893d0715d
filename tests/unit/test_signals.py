"""Training signals of hand-made reward groups."""

from __future__ import annotations

import pytest
import torch

from prepo_rlhf.algorithm.learning_signal import training_signals


def test_shares_of_groups() -> None:
    rewards = torch.tensor([[1, 1, 1], [0, 0, 0], [0, 1, 0], [0.5, 0.5, 0.5]]).flatten()
    assert training_signals(rewards, 3) == {
        "signal/zero_advantage_ratio": 0.75,
        "signal/all_correct_ratio": 0.25,
        "signal/all_wrong_ratio": 0.25,
    }


def test_groups_are_contiguous() -> None:
    assert training_signals(torch.tensor([1.0, 1.0, 0.0, 0.0]), 2)["signal/zero_advantage_ratio"] == 1.0
    assert training_signals(torch.tensor([1.0, 0.0, 1.0, 0.0]), 2)["signal/zero_advantage_ratio"] == 0.0


def test_negative_rewards_are_wrong_but_unequal_ones_still_teach() -> None:
    signals = training_signals(torch.tensor([-1.0, 0.0]), 2)
    assert signals["signal/all_wrong_ratio"] == 1.0 and signals["signal/zero_advantage_ratio"] == 0.0


@pytest.mark.parametrize("count", [0, 3])
def test_refuses_incomplete_groups(count: int) -> None:
    with pytest.raises(ValueError, match="groups of 2"):
        training_signals(torch.ones(count), 2)
