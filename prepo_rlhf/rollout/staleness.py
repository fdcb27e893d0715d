"""Staleness of rollouts: how many training steps older than the policy the weights were that generated them.

Boundary: standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

Syncs = tuple[int, int]
"""How many weight syncs the engine had seen at a rollout's first token, and at its last."""


def staleness_metrics(syncs: Sequence[Syncs], now: int) -> dict[str, float]:
    """The rollouts' staleness: training steps between the weights of a rollout's first token and those it trains.

    There is one sync a training step, so the difference of their numbers counts steps.

    Args:
        syncs: of each rollout that is trained on.
        now: weight syncs until the policy that is about to be trained.

    Returns:
        rollout/staleness_mean and rollout/staleness_max, in training steps; and rollout/mixed_weights_ratio, the
        share of rollouts whose weights changed between their first token and their last.
    """
    ages = [now - first for first, _ in syncs]
    return {
        "rollout/staleness_mean": fmean(ages),
        "rollout/staleness_max": float(max(ages)),
        "rollout/mixed_weights_ratio": fmean(first != last for first, last in syncs),
    }
