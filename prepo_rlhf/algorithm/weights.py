"""Relative-entropy weight of each rollout.

Boundary: torch only; the caller brings the whole batch of the step, all data-parallel ranks together.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


@torch.no_grad()
def relative_entropy_weights(
    mean_entropy: Tensor,
    lengths: Tensor,
    mean: Literal["sequence", "token"] = "sequence",
    clip: tuple[float, float] | None = None,
) -> Tensor:
    """w_i = Hbar_i / Hbar, Hbar being the mean over the whole batch (PREPO, arXiv 2511.00794).

    Args:
        mean_entropy: [N] Hbar_i in nats, of every sequence of the step's batch.
        lengths: [N] response tokens |o_i|; used by the token mean only.
        mean: "sequence", the plain mean of Hbar_i; "token", the mean over all response tokens.
        clip: lowest and highest weight; None leaves the weights alone, as published.

    Returns:
        [N] weights >= 0, without gradient, computed in float64 and returned in the type of `mean_entropy`.
        All ones where Hbar is 0 (every sequence deterministic).

    Raises:
        ValueError: an entropy is not finite, or `mean` is unknown.
    """
    if not mean_entropy.isfinite().all():
        raise ValueError("a sequence's mean entropy is not finite")
    # Rounding can leave the entropy of a deterministic sequence a hair under zero.
    entropy = mean_entropy.double().clamp(min=0.0)
    if mean == "sequence":
        batch_mean = entropy.mean()
    elif mean == "token":
        batch_mean = (entropy * lengths).sum() / lengths.sum().clamp(min=1)
    else:
        raise ValueError(f"mean must be 'sequence' or 'token', got {mean!r}")
    weights = entropy / batch_mean if batch_mean > 0 else torch.ones_like(entropy)
    if clip is not None:
        weights = weights.clamp(*clip)
    return weights.to(mean_entropy.dtype)
