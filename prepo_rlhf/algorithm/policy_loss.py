"""The objective of PREPO: the clipped surrogate with one constant weight a sequence.

Takes the arguments of OpenRLHF's `PolicyLoss` and returns the same five values, so that it can stand in for it.

Boundary: torch only; the weights are computed elsewhere, once a step over the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from prepo_rlhf.algorithm.importance_correction import ImportanceCorrection
from prepo_rlhf.algorithm.masked import masked_mean

_MAX_LOG_RATIO = 20.0  # exp(20) is far outside any clip range and still finite


def importance_ratio(log_ratio: Tensor, mask: Tensor, policy_loss_type: str) -> Tensor:
    """s_it from log pi/pi_old [B, T]: [B, T] a token ("ppo"), or [B, 1] a sequence's geometric mean ("gspo").

    GSPO: arXiv 2507.18071.
    """
    if policy_loss_type == "gspo":
        return masked_mean(log_ratio, mask, dim=-1).exp().unsqueeze(-1)
    return log_ratio.clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO).exp()


def clipped_surrogate(
    ratio: Tensor, advantages: Tensor, eps_low: float, eps_high: float, dual_clip: float | None
) -> tuple[Tensor, Tensor]:
    """min(s A, clip(s, 1 - eps_low, 1 + eps_high) A), and where the clipped side is the smaller one.

    With `dual_clip` c (arXiv 1912.09729) a negative advantage is also bounded from below, by c A.

    Args:
        ratio: [B, T] or [B, 1].
        advantages: [B, T].

    Returns:
        [B, T] surrogate, to be maximised, and [B, T] bool.
    """
    plain = ratio * advantages
    clipped = ratio.clamp(1 - eps_low, 1 + eps_high) * advantages
    surrogate = torch.min(plain, clipped)
    if dual_clip is not None:
        surrogate = torch.where(advantages < 0, torch.max(surrogate, dual_clip * advantages), surrogate)
    return surrogate, clipped < plain


def aggregate(
    loss: Tensor,
    mask: Tensor,
    token_level_loss: bool,
    dp_size: int = 1,
    batch_num_tokens: float | None = None,
    global_batch_size: float | None = None,
) -> Tensor:
    """Token losses [B, T] to a scalar: mean over tokens, or over sequences of each one's mean over tokens.

    The totals of the global batch, where given, take the place of this part's own, so that the sum over parts does
    not depend on how the batch was cut; `dp_size` undoes the averaging of gradients over data-parallel ranks.

    Args:
        mask: [B, T], 1 at response tokens; a sequence without any counts neither way.
        batch_num_tokens: M, response tokens of the global batch (token mean).
        global_batch_size: sequences of the global batch (sequence mean).
    """
    if token_level_loss:
        items, kept, total = loss, mask, batch_num_tokens
    else:
        items, kept, total = masked_mean(loss, mask, dim=-1), mask.sum(dim=-1) > 0, global_batch_size
    if total is None:
        return masked_mean(items, kept)
    return (items * kept).sum() / total * dp_size


class PolicyLoss(nn.Module):
    """-(1/M) sum_i w_i sum_t min(s_it A_it, clip(s_it, 1 - eps_low, 1 + eps_high) A_it) (PREPO, arXiv 2511.00794).

    Args:
        clip_eps_low, clip_eps_high: eps of the clip, below and above 1.
        dual_clip: bound c > 1 for negative advantages; None for none.
        token_level_loss: mean over tokens if True, over sequences if False; GSPO is always over sequences.
        policy_loss_type: "ppo" or "gspo".
        is_correction_level, is_correction_mode, is_correction_gating, is_correction_threshold: see
            `ImportanceCorrection`. GSPO knows only off and on: on takes the ratio against the rollout policy.

    Raises:
        ValueError: an unknown choice or a dual clip of 1 or less.
    """

    def __init__(
        self,
        clip_eps_low: float = 0.2,
        clip_eps_high: float = 0.2,
        dual_clip: float | None = None,
        token_level_loss: bool = True,
        policy_loss_type: str = "ppo",
        is_correction_level: str = "off",
        is_correction_mode: str = "mask",
        is_correction_gating: str = "ratio",
        is_correction_threshold: Sequence[float] = (0.5, 5.0),
    ) -> None:
        super().__init__()
        if policy_loss_type not in ("ppo", "gspo"):
            raise ValueError(f"policy_loss_type must be ppo/gspo, got {policy_loss_type}")
        if dual_clip is not None and dual_clip <= 1.0:
            raise ValueError(f"dual_clip must be above 1, got {dual_clip}")
        self.clip_eps_low = clip_eps_low
        self.clip_eps_high = clip_eps_high
        self.dual_clip = dual_clip
        self.policy_loss_type = policy_loss_type
        self.token_level_loss = token_level_loss and policy_loss_type != "gspo"
        low, high = is_correction_threshold
        self.correction = ImportanceCorrection(
            is_correction_level, is_correction_mode, is_correction_gating, (low, high)
        )

    def forward(
        self,
        log_probs: Tensor,
        old_log_probs: Tensor,
        advantages: Tensor,
        action_mask: Tensor | None = None,
        rollout_log_probs: Tensor | None = None,
        dp_size: int = 1,
        batch_num_tokens: float | None = None,
        global_batch_size: float | None = None,
        weights: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
        """The loss of one micro-batch and what it tells about the update.

        Args:
            log_probs, old_log_probs, advantages: [B, T]; log pi now, log pi at rollout time, A_it.
            action_mask: [B, T], 1 at response tokens; None keeps all.
            rollout_log_probs: [B, T] as the rollout engine computed them; needed when the correction is on.
            dp_size, batch_num_tokens, global_batch_size: see `aggregate`.
            weights: [B] relative-entropy weights w_i; None weighs all alike.

        Returns:
            loss; share of tokens whose clipped side is the smaller; mean log pi_old/pi; and, with the correction on
            (PPO), mean log pi_rollout/pi_old and the share filtered out, else None and None. All scalars.
        """
        mask = torch.ones_like(log_probs) if action_mask is None else action_mask
        correcting = self.correction.level != "off"
        gspo = self.policy_loss_type == "gspo"
        reference = rollout_log_probs if gspo and correcting else old_log_probs
        ratio = importance_ratio(log_probs - reference, mask, self.policy_loss_type)
        surrogate, is_clipped = clipped_surrogate(
            ratio, advantages, self.clip_eps_low, self.clip_eps_high, self.dual_clip
        )
        loss = -surrogate
        if weights is not None:
            loss = loss * weights.detach().to(loss.dtype).unsqueeze(-1)
        rollout_kl = filter_ratio = None
        if correcting and not gspo:
            coefficient, filter_ratio = self.correction(old_log_probs, rollout_log_probs, mask)
            loss = coefficient * loss
            rollout_kl = masked_mean(rollout_log_probs - old_log_probs, mask)
        loss = aggregate(loss, mask, self.token_level_loss, dp_size, batch_num_tokens, global_batch_size)
        clip_ratio = masked_mean(is_clipped.to(loss.dtype), mask)
        ppo_kl = masked_mean((old_log_probs - log_probs).detach(), mask)
        return loss, clip_ratio, ppo_kl, rollout_kl, filter_ratio
