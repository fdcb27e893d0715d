"""A prompt that several sequences of a batch begin with is computed once (prefix sharing).

The rollouts of a group differ in their responses alone. What a causal model makes of the prompt is the same in all of
them, so the first keeps the whole prompt and the others keep its last token, which predicts their own first one.
Values and gradients are those of the whole batch: a shared token's gradient is the sum of what its readers send back.
Boundary: which tokens of a batch are needed; `backends.packed_attention` lets them find their prompt.
"""

from __future__ import annotations

import torch
from torch import Tensor


def needed_tokens(sequences: Tensor, attention_mask: Tensor, wanted: Tensor) -> Tensor:
    """[B, T] bool, the tokens that have to be computed: all but those before the first wanted one where they are those
    of the sequence above.

    Args:
        sequences, attention_mask: [B, T] tokens between padding, and where they are.
        wanted: [B, T] bool, the positions whose outputs are asked for; they are all needed.
    """
    present = attention_mask.bool()
    positions = present.cumsum(-1) - 1
    lengths = present.sum(-1)
    before = torch.where(wanted.any(-1), positions.masked_fill(~wanted, positions.shape[1]).amin(-1), lengths)
    before = torch.minimum(before, lengths - 1)  # something is left of each sequence
    from_left = sequences.gather(1, (~present).int().argsort(dim=-1, stable=True))
    own = torch.arange(sequences.shape[1], device=sequences.device) >= before[:, None]
    same = ((from_left[1:] == from_left[:-1]) | own[1:]).all(-1) & (before[1:] == before[:-1])
    shared = torch.cat([same.new_zeros(1), same])
    return present & ~(shared[:, None] & (positions < before[:, None]))
