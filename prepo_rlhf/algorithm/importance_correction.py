"""Correction for the gap between the policy that sampled (vLLM) and the one that trains (DeepSpeed).

The two compute slightly different log-probabilities for the same weights; the correction weights each token by
pi_train / pi_rollout and drops or clamps what lies outside a band, as OpenRLHF's `--algo.advantage.is_correction_*`.

Boundary: torch only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from prepo_rlhf.algorithm.masked import masked_mean

_CHOICES = {
    "level": ("off", "token", "seq"),
    "mode": ("mask", "clip"),
    "gating": ("ratio", "binary_kl", "tv"),
}
_PROBABILITY_MARGIN = 1e-6  # keeps the logarithms of the binary KL finite


@dataclass(frozen=True)
class ImportanceCorrection:
    """What to judge and what to do with it.

    Attributes:
        level: "off", or the unit that is judged: one "token" or a whole "seq".
        mode: "mask" drops a unit outside the band and weights the rest; "clip" clamps the weight into the band.
        gating: what is judged: the importance "ratio", or the "binary_kl" or total variation "tv" of the sampled token.
        threshold: (lowest, highest) accepted value; the lowest of a divergence is 0.

    Raises:
        ValueError: an unknown choice, or a combination without a meaning.
    """

    level: str = "off"
    mode: str = "mask"
    gating: str = "ratio"
    threshold: tuple[float, float] = (0.5, 5.0)

    def __post_init__(self) -> None:
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise ValueError(f"is_correction_{field} must be {'/'.join(choices)}, got {getattr(self, field)}")
        if self.mode == "clip" and (self.level == "seq" or self.gating != "ratio"):
            raise ValueError("is_correction_mode=clip needs is_correction_level=token and is_correction_gating=ratio")
        if self.level != "off" and self.gating != "ratio" and self.threshold[0] > 0:
            raise ValueError(f"is_correction_gating={self.gating} has an upper bound only: give a single threshold")

    def __call__(self, train: Tensor, rollout: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of the tokens and the share of units outside the band.

        Args:
            train: [B, T] log-probabilities under the training policy.
            rollout: [B, T] log-probabilities under the policy that sampled.
            mask: [B, T], 1 at response tokens.

        Returns:
            [B, T] weights without gradient, and the scalar share of tokens (or sequences) outside the band.
        """
        train, rollout = train.detach(), rollout.detach()
        low, high = self.threshold
        statistic = self._statistic(train, rollout, mask)
        outside = ~((statistic >= low) & (statistic <= high))
        if self.mode == "clip":
            coefficient = statistic.clamp(low, high)
        else:
            coefficient = (train - rollout).exp().masked_fill(outside, 0.0)
        share = outside.to(train.dtype)
        return coefficient, share.mean() if self.level == "seq" else masked_mean(share, mask)

    def _statistic(self, train: Tensor, rollout: Tensor, mask: Tensor) -> Tensor:
        """The judged value, [B, T] or [B, 1]: a sequence's is the geometric mean of ratios, the mean of divergences."""
        per_token = train - rollout if self.gating == "ratio" else self._divergence(train, rollout)
        if self.level == "seq":
            per_token = masked_mean(per_token, mask, dim=-1).unsqueeze(-1)
        return per_token.exp() if self.gating == "ratio" else per_token

    def _divergence(self, train: Tensor, rollout: Tensor) -> Tensor:
        """Divergence of the two-outcome distributions {sampled token, any other token}, rollout against train."""
        p, q = (x.exp().clamp(_PROBABILITY_MARGIN, 1 - _PROBABILITY_MARGIN) for x in (rollout, train))
        if self.gating == "tv":
            return (p - q).abs()
        return p * torch.log(p / q) + (1 - p) * torch.log((1 - p) / (1 - q))
