"""Learning signal of a batch: the shares of prompt groups whose rewards are all equal, and so teach nothing."""

from __future__ import annotations

from torch import Tensor


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
