"""Prompts with different numbers of rollouts: advantages, weights and gradients by the literal formulas."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import reference
import torch
from test_mini_batches import EPS, VOCABULARY, gradient_of_micro_batches, log_probs
from tiny_tasks import gpu_config
from torch import Tensor

import prepo_rlhf.ray  # noqa: F401  (makes the process ready for OpenRLHF)
from prepo_rlhf.algorithm.group_advantages import group_advantages
from prepo_rlhf.config import Config
from prepo_rlhf.ray.policy_actor import WEIGHT_KEY
from prepo_rlhf.rollout.predicted_groups import PREDICTION_KEY, Experience
from prepo_rlhf.selection import Prediction
from prepo_rlhf.trainer.experience_maker import ENTROPY_KEY, ExperienceMaker
from prepo_rlhf.trainer.mini_batches import TrainingPasses, split_experience_batch

GROUPS = [[1.0, 0.0, 0.0, 1.0], [1.0, 1.0], [0.0, 1.0, 0.0, 0.0], [0.1] * 2, [0.0, 0.25], [0.0, 0.0]]
PREDICTIONS = [Prediction(mean, mean * (1 - mean) / 5) for mean in (0.2, 0.9, 0.5, 0.3, 0.6, 0.1)]
SIZES = [len(group) for group in GROUPS]


def make_config(**changes: Any) -> Config:
    options = {
        "prepo.allocation": "pilot", "prepo.pilot_samples": 2, "rollout.n_samples_per_prompt": 4,
        "train.batch_size": 16, "train.micro_batch_size": 2, "train.max_tokens_per_gpu": 30,
    }  # fmt: skip
    return gpu_config().replaced(options | {name.replace("__", "."): value for name, value in changes.items()})


def make_rollouts(seed: int = 0) -> list[Experience]:
    """With what the policy's pass adds: old log-probs, entropy, and KL of 0."""
    generator = torch.Generator().manual_seed(seed)
    rollouts = []
    for group, prediction in zip(GROUPS, PREDICTIONS, strict=True):
        for reward in group:
            length = int(torch.randint(4, 12, (), generator=generator))
            mask = (torch.arange(length - 1) >= 2).long()[None]
            rollouts.append(
                Experience(
                    sequences=torch.randint(1, VOCABULARY, (1, length), generator=generator),
                    attention_mask=torch.ones(1, length, dtype=torch.long), action_mask=mask,
                    action_log_probs=-3 * torch.rand(1, length - 1, generator=generator, dtype=torch.float64),
                    kl=torch.zeros(1, length - 1), rewards=torch.tensor([reward]), truncated=torch.tensor([False]),
                    response_length=mask.sum(-1), total_length=torch.tensor([float(length)]),
                    index=[len(rollouts)],
                    info={
                        "reward": torch.tensor([reward]), ENTROPY_KEY: torch.rand(1, generator=generator),
                        PREDICTION_KEY: torch.tensor([prediction], dtype=torch.float64),
                    },
                )
            )  # fmt: skip
    return rollouts


def made_of(rollouts: list[Experience], config: Config) -> list[Experience]:
    """Micro-batches that mix the groups, with advantages and weights."""
    maker: Any = object.__new__(ExperienceMaker)
    maker.strategy, maker.args = SimpleNamespace(args=config), config
    maker.advantage_estimator, maker.kl_ctl = config.algo.advantage.estimator, SimpleNamespace(value=0.0)
    if maker.advantage_estimator != "posterior":
        for rollout in rollouts:
            rollout.info.pop(PREDICTION_KEY)
    order = [*range(1, len(rollouts), 2), *range(0, len(rollouts), 2)]
    batches = [[rollouts[i] for i in order[start : start + 4]] for start in range(0, len(order), 4)]
    made = maker.compute_advantages_and_returns([Experience.concat_experiences(some, 0) for some in batches], SIZES)
    maker._weight(made)
    return made


def literal_advantages(estimator: str) -> list[float]:
    result: list[float] = []
    for group, prediction in zip(GROUPS, PREDICTIONS, strict=True):
        equal, n = len(set(group)) == 1, len(group)
        if estimator == "posterior":
            result += reference.relative_to_posterior(group, *prediction, floor=0.1)
        elif estimator == "group_norm":
            result += [0.0] * n if equal else reference.group_normalised([group])
        elif estimator == "rloo":
            result += [r - (sum(group) - r) / (n - 1) for r in group]
        else:
            result += [r - sum(group) / n for r in group]
    return result


@pytest.mark.parametrize("balance", ["batch", "sign"])
@pytest.mark.parametrize("estimator", ["group_norm", "rloo", "dr_grpo", "posterior"])
def test_advantages_and_weights(estimator: str, balance: str) -> None:
    config = make_config(algo__advantage__estimator=estimator, prepo__weight_balance=balance)
    rollouts = make_rollouts()
    entropies = [[rollout.info[ENTROPY_KEY].double().item()] for rollout in rollouts]
    singles = {
        place: single
        for batch in made_of(rollouts, config)
        for place, single in zip(batch.index, split_experience_batch(batch), strict=True)
    }
    advantages = literal_advantages(estimator)
    # The advantages of a sequence, and so their sums, are the same at all its tokens.
    weights = (
        reference.weights(entropies, "sequence")
        if balance == "batch"
        else reference.balanced_weights(entropies, advantages, "sequence")
    )
    for place, expected in enumerate(advantages):
        single = singles[place]
        assert single.advantages.dtype == torch.float32
        given = single.advantages[single.action_mask.bool()]
        assert given.tolist() == pytest.approx([expected] * len(given), rel=1e-6, abs=1e-12)
        assert float(single.info[WEIGHT_KEY]) == pytest.approx(weights[place], rel=1e-5)
        assert PREDICTION_KEY not in single.info
    deviations = [torch.tensor(group).std().item() for group in GROUPS for _ in group]
    assert [float(singles[i].info["group_reward_std"]) for i in range(16)] == pytest.approx(deviations, abs=1e-7)


@pytest.mark.parametrize("estimator", ["group_norm", "rloo", "dr_grpo"])
@pytest.mark.parametrize("equal", [0.1, 0.3, -0.9])
def test_equal_rewards_have_no_advantage_in_groups_of_any_size(estimator: str, equal: float) -> None:
    for size in range(2, 17):
        rewards = torch.full((size,), equal).double()  # as rewards come: of float32
        assert not group_advantages(rewards, estimator).any()


def test_an_estimator_over_the_whole_batch_is_none_of_a_group() -> None:
    with pytest.raises(ValueError, match="reinforce_baseline has no advantages of a group by itself"):
        group_advantages(torch.tensor([0.0, 1.0]), "reinforce_baseline")


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("token_mean", [False, True])
def test_the_gradient_is_that_of_the_formula(ranks: int, dynamic: bool, token_mean: bool) -> None:
    """Of one update with all 16 rollouts, also where whole pilots without advantage are left out."""
    config = make_config(train__dynamic_batch_enable=dynamic, actor__num_nodes=1, actor__num_gpus_per_node=ranks)
    rollouts = make_rollouts()
    for rollout in rollouts:
        rollout.info[ENTROPY_KEY] = rollout.info[ENTROPY_KEY].double()
    entropies = [[rollout.info[ENTROPY_KEY].item()] for rollout in rollouts]
    # In float32, as the policy gets them.
    weights = torch.tensor(reference.weights(entropies, "sequence")).tolist()
    advantages = torch.tensor(literal_advantages("group_norm")).tolist()
    table = torch.randn(VOCABULARY, VOCABULARY, dtype=torch.float64, requires_grad=True)
    expected = literal_gradient(table, rollouts, advantages, weights, token_mean)
    passes = TrainingPasses(config, made_of(rollouts, config), ranks, seed=0, leave_out=True)
    (micro_batches,) = passes
    assert passes.used_ratio == 10 / 16
    (gradient,) = gradient_of_micro_batches(table, micro_batches, token_mean)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-8)


def literal_gradient(
    table: Tensor, rollouts: list[Experience], advantages: list[float], weights: list[float], token_mean: bool
) -> Tensor:
    new, old, lengths = [], [], []
    for rollout in rollouts:
        mask = rollout.action_mask[0].bool()
        new.append(log_probs(table, rollout.sequences)[0][mask])
        old.append(rollout.action_log_probs[0][mask])
        lengths.append(int(mask.sum()))
    of_tokens = [torch.full((length,), a, dtype=torch.float64) for a, length in zip(advantages, lengths, strict=True)]
    padded = [torch.nn.utils.rnn.pad_sequence(parts, batch_first=True) for parts in (new, old, of_tokens)]
    loss = reference.loss(*padded, lengths, weights, EPS, None, token_mean, gspo=False)
    return torch.autograd.grad(loss, table)[0]
