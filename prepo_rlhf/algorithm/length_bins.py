"""Candidates cut into bins of like prompt length, so that a choice within each bin leaves the mix of lengths alone."""

from __future__ import annotations

import torch
from torch import Tensor


def length_bins(lengths: Tensor, k: int, num_bins: int) -> list[tuple[Tensor, int]]:
    """N bins of equal size by prompt length, short prompts first, and how many of K each one gives.

    Where |B| or K does not divide by N, the bins of shorter prompts get one more; so no bin has to give more than
    it holds. Prompts of equal length are cut in the order they come in. With one bin it is the whole batch. Not in
    the paper: low perplexity goes with long prompts, and this takes the length out of the comparison.

    Args:
        lengths: [|B|] prompt lengths in tokens.
        k: K, how many candidates are wanted of all bins together.
        num_bins: N.

    Returns:
        N pairs of [b] int64 indices into `lengths`, ascending, and the bin's share of K, at least 1.

    Raises:
        ValueError: N is not one of 1 .. K.
    """
    if not 1 <= num_bins <= k:
        raise ValueError(f"cannot take {k} candidates from {num_bins} bins: give 1 to {k} bins")
    bins = torch.argsort(lengths, stable=True).tensor_split(num_bins)
    share, remainder = divmod(k, num_bins)
    return [(members.sort().values, share + (number < remainder)) for number, members in enumerate(bins)]
