"""Mean over the positions a 0/1 mask keeps."""

from __future__ import annotations

from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor, dim: int | None = None) -> Tensor:
    """Mean of `values` where `mask` is 1, over all positions or along `dim`; 0 where the mask keeps nothing.

    Args:
        values: any shape.
        mask: broadcastable to `values`; bool, integer or float, of zeros and ones.
    """
    return (values * mask).sum(dim=dim) / mask.sum(dim=dim).clamp(min=1)
