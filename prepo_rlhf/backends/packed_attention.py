"""Attention over packed sequences (concatenated without padding) by PyTorch alone: packing without flash-attn.

All parts of a transformer but attention work on single tokens, so for them packing saves the whole padding. Attention
has to know where each sequence ends: here it pads its inputs, once in each layer, and calls PyTorch's own kernel.
Registered by name in transformers, as its documentation intends.

A prefix that sequences share is computed once: where the positions of one begin at s > 0, its first s tokens are those
of the last one that begins at 0 (`ray.shared_prompts` lays rollouts out so). Keys and values are copied, here alone.

Boundary: torch and transformers' attention interface.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

NAME = "packed_sdpa"


def register() -> None:
    """Make the name known to transformers in this process."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, packed_sdpa)


def packed_sdpa(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    position_ids: Tensor | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each sequence of a packed row, as transformers asks for it.

    Args:
        query: [1, H, N, D]; key, value: [1, H or fewer, N, D].
        position_ids: [1, N], rising by 1 within each sequence; above 0 at its start if it shares a prefix.

    Returns:
        [1, N, H, D], and no attention weights.

    Raises:
        NotImplementedError: the model asks for something that only flash-attn does with packed sequences.
    """
    if position_ids is None or attention_mask is not None or len(query) != 1:
        raise NotImplementedError(f"{type(module).__name__} does not tell where packed sequences start")
    positions = position_ids[0]
    length = int(positions.max()) + 1
    if softcap is not None or (sliding_window or length) < length:
        raise NotImplementedError(
            f"{type(module).__name__} caps or windows its attention: packing such a model needs flash-attn"
        )
    starts = functional.pad(positions[1:] != positions[:-1] + 1, (1, 0), value=True)
    sequence = starts.cumsum(0) - 1
    where = sequence * length + positions
    shape = (int(sequence[-1]) + 1, length)
    padded_query, padded_key, padded_value = (
        _pad(states[0].transpose(0, 1), where, shape) for states in (query, key, value)
    )
    first = positions[starts]
    if first.any():
        padded_key, padded_value = (_share(states, first) for states in (padded_key, padded_value))
    # Padding is at the end, where causality keeps it from every real token.
    attended = functional.scaled_dot_product_attention(
        padded_query, padded_key, padded_value, dropout_p=dropout, is_causal=True, scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )  # fmt: skip
    return attended.transpose(1, 2).flatten(0, 1)[where].unsqueeze(0), None


def _pad(states: Tensor, where: Tensor, shape: tuple[int, int]) -> Tensor:
    """[N, H, D] -> [sequences, H, length, D], zeros where there is no token."""
    sequences, length = shape
    flat = states.new_zeros(sequences * length, *states.shape[1:]).index_copy(0, where, states)
    return flat.unflatten(0, (sequences, length)).transpose(1, 2)


def _share(states: Tensor, first: Tensor) -> Tensor:
    """Before its `first` [sequences] position, a sequence of states [sequences, H, length, D] takes those of the last
    sequence whose first position is 0."""
    numbers = torch.arange(len(first), device=first.device)
    owner = numbers.masked_fill(first > 0, 0).cummax(0).values
    shared = torch.arange(states.shape[2], device=first.device) < first[:, None]
    return torch.where(shared[:, None, :, None], states[owner], states)
