"""The parts of making experience that need no actors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_tasks import gpu_config

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


@pytest.mark.parametrize("estimator", ["group_norm", "dr_grpo", "rloo"])
@pytest.mark.parametrize("equal", [0.0, 0.1, 0.3, 0.7, -0.9, 1.2])
def test_a_group_of_equal_rewards_has_no_advantage(estimator: str, equal: float) -> None:
    """And the next group, of both kinds, has the one that it should have, in float32."""
    from openrlhf.trainer.ppo_utils.experience import Experience

    n = 7 if estimator == "rloo" else 8
    config = gpu_config().replaced({"algo.advantage.estimator": estimator, "rollout.n_samples_per_prompt": n})
    maker: Any = object.__new__(ExperienceMaker)
    maker.strategy, maker.args, maker.advantage_estimator = SimpleNamespace(args=config), config, estimator
    maker.kl_ctl = SimpleNamespace(value=0.0)
    rewards = torch.tensor([equal] * n + [1.0] + [0.0] * (n - 1))
    experience = Experience(
        rewards=rewards, action_mask=torch.ones(2 * n, 3, dtype=torch.long), kl=torch.zeros(2 * n, 3),
        index=list(range(2 * n)), info={},
    )  # fmt: skip
    (made,) = maker.compute_advantages_and_returns([experience])
    assert made.advantages.dtype == torch.float32
    assert not made.advantages[:n].any()
    scale = (1 / n) ** 0.5 if estimator == "group_norm" else 1.0
    expected = 1.0 if estimator == "rloo" else (1 - 1 / n) / scale
    assert made.advantages[n].tolist() == pytest.approx([expected] * 3, rel=1e-6)
