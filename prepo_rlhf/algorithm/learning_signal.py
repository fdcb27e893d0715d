"""Learning signal of a batch: which sequences teach, and the shares of prompt groups whose rewards are all equal."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from torch import Tensor

from prepo_rlhf.algorithm.weighted_advantages import weighted_advantages


def teaches(advantages: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """Whether a sequence has a weighted advantage other than 0 at any token.

    The clipped surrogate is homogeneous in the advantage, so where it is 0 so are the loss and its gradient, in every
    pass over the sequence.

    Args:
        advantages: [B, T].
        mask: [B, T], 1 at response tokens.
        weights: [B] w_i of PREPO.

    Returns:
        [B] bool; true where an advantage is NaN, which must not be overlooked.
    """
    return ((weighted_advantages(advantages, weights) != 0) & mask.bool()).any(dim=-1)


def training_signals(groups: Sequence[Sequence[float]]) -> dict[str, float]:
    """Shares of prompt groups with equal rewards, all correct, all wrong (measures of PREPO, arXiv 2511.00794).

    Rewards follow the verifiable-reward convention: 1 (or more) is correct, 0 (or less) is wrong.

    Args:
        groups: the rewards of each prompt's rollouts, as many as it has.

    Returns:
        signal/zero_advantage_ratio, signal/all_correct_ratio and signal/all_wrong_ratio, each in [0, 1].

    Raises:
        ValueError: there is no group, or one of them is empty.
    """
    if not groups or not all(groups):
        raise ValueError("there is no group of rewards, or one of them is empty")
    spans = [(min(rewards), max(rewards)) for rewards in groups]
    return {
        "signal/zero_advantage_ratio": fmean(lowest == highest for lowest, highest in spans),
        "signal/all_correct_ratio": fmean(lowest >= 1 for lowest, _ in spans),
        "signal/all_wrong_ratio": fmean(highest <= 0 for _, highest in spans),
    }
