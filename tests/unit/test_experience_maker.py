"""The parts of making experience that need no actors."""

from __future__ import annotations

import pytest
import torch

import prepo_rlhf.ray  # noqa: F401  (makes the process ready for OpenRLHF)
from prepo_rlhf.trainer.experience_maker import ExperienceMaker, RemoteExperienceMaker


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_returns_are_openrlhfs(gamma: float) -> None:
    torch.manual_seed(0)
    rewards = torch.randn(3, 40)
    mask = torch.ones(3, 40, dtype=torch.long)
    mask[0, 30:], mask[1, :7], mask[2, 10:13] = 0, 0, 0  # padding, a prompt, and what a tool said
    maker = object.__new__(ExperienceMaker)
    expected = RemoteExperienceMaker.get_cumulative_returns(maker, rewards, mask, gamma)
    assert expected.std() > 0
    torch.testing.assert_close(maker.get_cumulative_returns(rewards, mask, gamma), expected, rtol=1e-6, atol=1e-6)
