"""Perplexity of a prompt under a policy: the score by which PREPO ranks candidates before any rollout."""

from __future__ import annotations

import torch
from torch import Tensor

from prepo_rlhf.algorithm.masked import masked_mean


def prompt_perplexity(log_probs: Tensor, mask: Tensor) -> Tensor:
    """P_i = exp(-(1/T) sum_t log pi(x_t | x_<t)) of each prompt (PREPO, arXiv 2511.00794).

    Args:
        log_probs: [B, T] float, natural log-probability of prompt tokens that have a predecessor.
        mask: [B, T], 1 where a token counts as a prompt token, 0 elsewhere.

    Returns:
        [B] float64 perplexities, accumulated in float64.

    Raises:
        ValueError: a prompt has no scored token.
    """
    kept = mask.bool()
    empty = (~kept.any(dim=-1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"prompts at rows {empty} have no scored token: a perplexity needs at least one")
    # Padding may hold -inf, and 0 * -inf is NaN: replace it before the mean.
    scored = log_probs.double().masked_fill(~kept, 0.0)
    return torch.exp(-masked_mean(scored, kept, dim=-1))
