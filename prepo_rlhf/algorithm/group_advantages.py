"""Advantages of one prompt's group: rewards relative to each other, whatever the size of the group.

What OpenRLHF computes for groups that all have the same size; where sizes differ a group is taken by itself.
Boundary: torch only.
"""

from __future__ import annotations

from torch import Tensor


def group_advantages(rewards: Tensor, estimator: str) -> Tensor:
    """A_i of a group of n rollouts, with r their mean reward and s the standard deviation of a sample:

        group_norm (GRPO)    (r_i - r) / (s + 1e-9)
        dr_grpo              r_i - r
        rloo                 r_i minus the mean of the other n - 1

    Args:
        rewards: [n], n >= 2; in float64 equal rewards have advantages of exactly 0.

    Returns:
        [n].

    Raises:
        ValueError: an estimator that does not compare the rollouts of a group, or not only those.
    """
    if estimator == "group_norm":
        return (rewards - rewards.mean()) / (rewards.std() + 1e-9)
    if estimator == "dr_grpo":
        return rewards - rewards.mean()
    if estimator == "rloo":
        return rewards - (rewards.sum() - rewards) / (len(rewards) - 1)
    raise ValueError(f"{estimator} has no advantages of a group by itself")
