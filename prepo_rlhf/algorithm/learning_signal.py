"""Learning signal of a batch: which sequences teach, and the shares of prompt groups whose rewards are all equal."""

from __future__ import annotations

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


def training_signals(rewards: Tensor, group_size: int) -> dict[str, float]:
    """Shares of prompt groups with equal rewards, all correct, all wrong (measures of PREPO, arXiv 2511.00794).

    Rewards follow the verifiable-reward convention: 1 (or more) is correct, 0 (or less) is wrong.

    Args:
        rewards: [N], the rollouts of one prompt next to each other.
        group_size: n, rollouts a prompt.

    Returns:
        signal/zero_advantage_ratio, signal/all_correct_ratio and signal/all_wrong_ratio, each in [0, 1].

    Raises:
        ValueError: `rewards` is empty or does not divide into groups.
    """
    if rewards.numel() == 0 or rewards.numel() % group_size:
        raise ValueError(f"{rewards.numel()} rewards do not make groups of {group_size}")
    lowest, highest = rewards.reshape(-1, group_size).aminmax(dim=-1)
    shares = {"zero_advantage": lowest == highest, "all_correct": lowest >= 1, "all_wrong": highest <= 0}
    return {f"signal/{name}_ratio": groups.double().mean().item() for name, groups in shares.items()}
