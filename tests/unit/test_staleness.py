"""How old the weights of rollouts are."""

from __future__ import annotations

from prepo_rlhf.rollout.staleness import staleness_metrics


def test_the_first_token_counts_and_a_change_of_weights_shows() -> None:
    assert staleness_metrics([(3, 3), (3, 4), (5, 5), (2, 4)], now=5) == {
        "rollout/staleness_mean": (2 + 2 + 0 + 3) / 4,
        "rollout/staleness_max": 3,
        "rollout/mixed_weights_ratio": 0.5,
    }


def test_rollouts_of_the_policy_in_training_have_none() -> None:
    assert set(staleness_metrics([(7, 7)] * 4, now=7).values()) == {0}
