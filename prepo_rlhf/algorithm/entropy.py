"""Entropy of the policy at each token and its mean over a response.

Boundary: torch only; logits arrive already divided by the sampling temperature.
"""

from __future__ import annotations

import torch
from torch import Tensor

from prepo_rlhf.algorithm.masked import masked_mean

# Tokens whose float32 distribution is held at once: 1024 tokens of a 150k vocabulary are 0.6 GB.
_ROWS_AT_ONCE = 1024


@torch.no_grad()
def token_entropy(logits: Tensor) -> Tensor:
    """H_t = -sum_v p_v ln p_v over the whole vocabulary, in nats (PREPO, arXiv 2511.00794).

    No gradient flows: the entropy only ever enters a constant weight.

    Args:
        logits: [..., V], any float type, divided by the sampling temperature; -inf bars a token.

    Returns:
        [...] float32.
    """
    rows = logits.reshape(-1, logits.shape[-1]).split(_ROWS_AT_ONCE)
    entropies = [torch.special.entr(chunk.float().softmax(dim=-1)).sum(dim=-1) for chunk in rows]
    return torch.cat(entropies).view(logits.shape[:-1])


def sequence_mean_entropy(entropies: Tensor, mask: Tensor) -> Tensor:
    """Hbar_i = (1/|o_i|) sum_t H_t of each response (PREPO, arXiv 2511.00794).

    Args:
        entropies: [B, T] token entropies in nats.
        mask: [B, T], 1 at response tokens.

    Returns:
        [B]; 0 for a response without tokens.
    """
    return masked_mean(entropies, mask, dim=-1)
