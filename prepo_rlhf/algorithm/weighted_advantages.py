"""The sequence weights of PREPO's objective, as a factor on the advantages.

Boundary: torch only; the weights are computed once a step over the whole batch (`entropy_weights`).
"""

from __future__ import annotations

from torch import Tensor


def weighted_advantages(advantages: Tensor, weights: Tensor) -> Tensor:
    """w_i A_it (PREPO, arXiv 2511.00794).

    The objective weights the whole clipped surrogate of a sequence: w_i min(s_it A_it, clip(s_it) A_it). Because
    w_i >= 0, and w min(x, y) = min(w x, w y), this is the clipped surrogate of the advantage w_i A_it; the same
    holds for the dual clip, whose bound is a multiple of the advantage, and whose case A < 0 stays the same.

    Args:
        advantages: [B, T].
        weights: [B], not negative; no gradient flows into them.

    Returns:
        [B, T], in the type of `advantages`.
    """
    return advantages * weights.detach().to(advantages.dtype).unsqueeze(-1)
