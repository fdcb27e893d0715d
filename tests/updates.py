"""Training steps without a control loop: rollouts made by hand, experiences of a fleet's policy, and the update."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoTokenizer


def make_rollouts(count: int, seed: int = 0) -> list[Any]:
    """Random sequences of different lengths with rewards, as the engines would return them; of every two groups of 4
    the second is all wrong."""
    from openrlhf.trainer.ppo_utils.experience import Experience

    generator = torch.Generator().manual_seed(seed)
    rollouts = []
    for i in range(count):
        prompt, response = (int(torch.randint(low, 24, (), generator=generator)) for low in (4, 2))
        tokens = torch.randint(3, 500, (1, prompt + response), generator=generator)
        action_mask = torch.zeros(1, prompt + response - 1, dtype=torch.long)
        action_mask[:, prompt - 1 :] = 1
        reward = torch.tensor([float(i % 3 == 0 and i // 4 % 2 == 0)])
        rollouts.append(
            Experience(
                sequences=tokens, attention_mask=torch.ones_like(tokens), action_mask=action_mask, prompts=["p"],
                labels=["l"], rewards=reward, scores=reward, response_length=torch.tensor([response]),
                truncated=torch.tensor([False]), total_length=torch.tensor([float(prompt + response)]),
                info={"reward": reward},
            )
        )  # fmt: skip
    return rollouts


def make_experiences(
    fleet: Any, entropy_mean: str = "sequence", weight_balance: str = "batch", group_sizes: list[int] | None = None
) -> list[Any]:
    """`group_sizes`: of the 16 rollouts, if not all groups have 4."""
    from openrlhf.trainer.ppo_utils.kl_controller import FixedKLController

    from prepo_rlhf.trainer.experience_maker import ExperienceMaker

    weights = {"prepo.entropy_mean": entropy_mean, "prepo.weight_balance": weight_balance}
    allocation = {"prepo.allocation": "pilot" if group_sizes else "fixed"}
    fleet.strategy.args = fleet.strategy.args.replaced(weights | allocation)
    tokenizer = AutoTokenizer.from_pretrained(fleet.strategy.args.actor.model_name_or_path)
    maker = ExperienceMaker(fleet.policy, None, None, None, FixedKLController(0.0), fleet.strategy, tokenizer)
    return maker.make_experience_batch(make_rollouts(16), group_sizes)


def train_on(fleet: Any, experiences: list[Any], leave_out: bool = True, seed: int = 0) -> dict[str, float]:
    """The measures of the update, which may be told to train on what has no gradient as well."""
    from prepo_rlhf.trainer.policy_update import PolicyUpdate

    update = PolicyUpdate(fleet.strategy.args, fleet.policy)
    assert update._leaves_out
    update._leaves_out = leave_out
    return update(experiences, seed, kl_coef=0.0)
