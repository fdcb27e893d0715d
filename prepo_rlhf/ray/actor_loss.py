"""The policy's loss: OpenRLHF's clipped surrogate, each sequence weighted by its relative entropy (PREPO).

-(1/M) sum_i w_i sum_t min(s_it A_it, clip(s_it, 1 - eps_low, 1 + eps_high) A_it), M the response tokens of the batch.
Boundary: one micro-batch; its weights were computed over the whole step and came with the experience.
"""

from __future__ import annotations

from typing import Any

from openrlhf.models import PolicyLoss
from torch import Tensor

from prepo_rlhf.algorithm.weighted_advantages import weighted_advantages
from prepo_rlhf.config import Config


def needs_advantage(config: Config) -> bool:
    """Whether nothing but the surrogate has a gradient, so that without an advantage there is none."""
    kl = config.algo.kl.use_loss and config.algo.kl.init_coef > 0
    return not (kl or config.actor.entropy_coef or config.actor.aux_loss_coef)


class WeightedPolicyLoss(PolicyLoss):
    """OpenRLHF's loss with everything that its options ask for (GSPO, dual clip, importance correction), weighted."""

    def forward(
        self,
        log_probs: Tensor,
        old_log_probs: Tensor,
        advantages: Tensor,
        *args: Any,
        weights: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """OpenRLHF's five values: the loss, the clipped share, and mean log-ratios.

        Args:
            log_probs, old_log_probs, advantages: [B, T]; log pi now, log pi at rollout time, A_it.
            weights: [B] w_i; None weighs all sequences alike.
        """
        if weights is not None:
            advantages = weighted_advantages(advantages, weights)
        return super().forward(log_probs, old_log_probs, advantages, *args, **kwargs)
