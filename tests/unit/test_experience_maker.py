"""The parts of making experience that need no actors, and what rollouts bring for them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import reference
import torch
from tiny_candidates import make_candidate
from tiny_tasks import gpu_config

import prepo_rlhf.ray  # noqa: F401  (makes the process ready for OpenRLHF)
from prepo_rlhf.algorithm.learning_signal import teaches
from prepo_rlhf.rewards.contract import RewardError
from prepo_rlhf.rollout.predicted_groups import Experience, add_prediction
from prepo_rlhf.selection import Prediction
from prepo_rlhf.trainer.experience_maker import ExperienceMaker, RemoteExperienceMaker
from prepo_rlhf.trainer.mini_batches import split_experience_batch


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


def rollouts_of(rewards: list[float], prediction: Prediction, row: int = 7) -> list[Experience]:
    """A prompt's, as the collector makes them, with KL of 0."""
    candidate = replace(make_candidate(row), prediction=prediction)
    group = [
        Experience(
            sequences=torch.ones(1, 4, dtype=torch.long), attention_mask=torch.ones(1, 4, dtype=torch.long),
            action_mask=torch.ones(1, 3, dtype=torch.long), kl=torch.zeros(1, 3), rewards=torch.tensor([reward]),
            truncated=torch.tensor([place == 0]), response_length=torch.tensor([3]), total_length=torch.tensor([4.0]),
            info={"reward": torch.tensor([reward])},
        )
        for place, reward in enumerate(rewards)
    ]  # fmt: skip
    add_prediction(group, candidate)
    return group


def made_of(groups: list[list[Experience]], **options: Any) -> dict[int, Experience]:
    """The experience of each rollout by its place, through micro-batches that mix the groups."""
    n = len(groups[0])
    chosen = {"algo.advantage.estimator": "posterior", "rollout.n_samples_per_prompt": n}
    config = gpu_config().replaced(chosen | options)
    maker: Any = object.__new__(ExperienceMaker)
    maker.strategy, maker.args, maker.advantage_estimator = SimpleNamespace(args=config), config, "posterior"
    maker.kl_ctl = SimpleNamespace(value=0.0)
    rollouts = [rollout for group in groups for rollout in group]
    for place, rollout in enumerate(rollouts):
        rollout.index = [place]
    order = [*range(1, len(rollouts), 2), *range(0, len(rollouts), 2)]
    mixed = [[rollouts[i] for i in order[start : start + 3]] for start in range(0, len(order), 3)]
    batches = [Experience.concat_experiences(some, 0) for some in mixed]
    made = maker.compute_advantages_and_returns(batches)
    places = [place for batch in made for place in batch.index]
    return dict(zip(places, (single for batch in made for single in split_experience_batch(batch)), strict=True))


def test_posterior_advantages_are_those_of_each_prompts_own_prediction() -> None:
    """In micro-batches of several prompts; and a group of equal rewards is trained on."""
    predictions = Prediction(0.2, 0.02), Prediction(0.9, 0.01), Prediction(0.5, 1 / 12)
    rewards = [[1.0, 0.0, 0.0, 0.25], [1.0] * 4, [0.0] * 4]
    made = made_of([rollouts_of(*given) for given in zip(rewards, predictions, strict=True)])
    expected = [
        reference.relative_to_posterior(group, *prediction, floor=0.1)
        for group, prediction in zip(rewards, predictions, strict=True)
    ]
    for place, value in enumerate(value for group in expected for value in group):
        single = made[place]
        assert single.advantages.dtype == torch.float32
        assert single.advantages.tolist() == pytest.approx([value] * 3, rel=1e-6)
        assert set(single.info) == {"reward", "return", "group_reward_std"}  # none of it is the prediction
        assert bool(teaches(single.advantages[None], single.action_mask[None], torch.ones(1)))
        assert single.info["group_reward_std"] == pytest.approx(torch.tensor(rewards[place // 4]).std().item())
    assert set(made) == set(range(12))


def test_posterior_takes_one_rollout_a_prompt() -> None:
    made = made_of([rollouts_of([reward], Prediction(0.2, 0.032)) for reward in (1.0, 0.0)])  # m = 4
    b = (1 + 0.8) / 5, 0.8 / 5
    expected = [(1 - b[0]) / (b[0] * (1 - b[0])) ** 0.5, -b[1] / (b[1] * (1 - b[1])) ** 0.5]
    assert [made[place].advantages[0].item() for place in (0, 1)] == pytest.approx(expected)


def test_posterior_comes_after_the_penalty_for_what_was_truncated() -> None:
    """Of each group the first rollout."""
    prediction = Prediction(0.2, 0.02)
    made = made_of([rollouts_of([1.0, 0.0, 1.0], prediction)], **{"reward.stop_properly_penalty_coef": 0.5})
    expected = reference.relative_to_posterior([0.5, 0.0, 1.0], *prediction, floor=0.1)
    assert [made[place].advantages[0].item() for place in range(3)] == pytest.approx(expected)
    assert made[0].info["reward"] == 0.5


@pytest.mark.parametrize("reward", [1.5, -0.1])
def test_posterior_refuses_other_rewards_by_their_row(reward: float) -> None:
    told = rf"posterior: takes rewards from 0 to 1, and one of row 7 \(the prompt 'prompt 7'\) is {reward}: bring"
    with pytest.raises(RewardError, match=told):
        rollouts_of([0.0, reward], Prediction(0.5, 0.1))
