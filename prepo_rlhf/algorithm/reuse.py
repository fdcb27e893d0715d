"""How far a policy has moved away from rollouts that it might be trained on once more.

Boundary: torch only; which rollouts, and what follows from the distance, is for `trainer.policy_update`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reuse_sums(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, mask: Tensor, eps_low: float, eps_high: float
) -> Tensor:
    """Sums over tokens whose means say how far the policy is from the one that the rollouts are of.

    The divergence KL(old || policy) is estimated by k3 = r - 1 - log r with r = policy / old (Schulman, "Approximating
    KL divergence", 2020): unbiased for samples of the old policy, and never negative. A token is clipped where the
    surrogate of PPO (arXiv 1707.06347) has no gradient any more: r > 1 + eps_high with A > 0, or r < 1 - eps_low with
    A < 0.

    Args:
        log_probs: [B, T] of the policy as it is.
        old_log_probs: [B, T] of the policy before its first pass over them.
        advantages: [B, T].
        mask: [B, T], 1 at response tokens.

    Returns:
        [3] float64: the sum of k3 in nats, the number of clipped tokens, the number of tokens.
    """
    difference = (log_probs.double() - old_log_probs.double()).masked_fill(~mask.bool(), 0)
    ratio = difference.exp()
    clipped = ((advantages > 0) & (ratio > 1 + eps_high)) | ((advantages < 0) & (ratio < 1 - eps_low))
    return torch.stack([(ratio - 1 - difference).sum(), clipped.sum().double(), mask.sum().double()])
