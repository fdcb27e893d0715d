"""Weights relative to the sequences of the same sign: what they are, and what they keep in balance."""

from __future__ import annotations

import math
from typing import Any

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from prepo_rlhf.algorithm.entropy_weights import relative_entropy_weights, weight_metrics

ENTROPIES = st.lists(st.floats(0.01, 8.0), min_size=1, max_size=6)
BATCHES = st.lists(st.tuples(ENTROPIES, st.sampled_from([-1.5, -0.2, 0.0, 0.7, 2.0])), min_size=1, max_size=14)


def doubles(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def weights_of(entropy: list[list[float]], advantages: Tensor | None, mean: str = "sequence", **options: Any) -> Tensor:
    means, lengths = doubles([sum(h) / len(h) for h in entropy]), torch.tensor([len(h) for h in entropy])
    return relative_entropy_weights(means, lengths, mean, advantages=advantages, **options)  # type: ignore[arg-type]


@st.composite
def graded_groups(draw: st.DrawFn, same_pass_rate: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Entropies, lengths and group-normalised advantages of groups of 2 to 6 rewards 0 or 1, each with both kinds."""
    n = draw(st.integers(2, 6))
    rights = draw(st.lists(st.integers(1, n - 1), min_size=1, max_size=5))
    rewards = [[float(i < (rights[0] if same_pass_rate else right)) for i in range(n)] for right in rights]
    size = n * len(rights)
    entropy = draw(st.lists(st.floats(0.01, 8.0), min_size=size, max_size=size))
    lengths = draw(st.lists(st.integers(1, 30), min_size=size, max_size=size))
    return doubles(entropy), torch.tensor(lengths), doubles(reference.group_normalised(rewards))


@pytest.mark.parametrize("mean", ["sequence", "token"])
@given(batch=BATCHES)
def test_equal_the_definition_with_mean_one_within_each_sign(mean: str, batch: list[tuple[list[float], float]]) -> None:
    entropies, advantages = [h for h, _ in batch], [a for _, a in batch]
    weights = weights_of(entropies, doubles(advantages), mean)
    torch.testing.assert_close(weights, doubles(reference.balanced_weights(entropies, advantages, mean)))
    counts = doubles([len(h) if mean == "token" else 1 for h in entropies])
    for members in (doubles(advantages) > 0, doubles(advantages) < 0):
        assert (weights * counts)[members].sum().item() == pytest.approx(counts[members].sum().item())


@pytest.mark.parametrize("sign", [1.0, -1.0, 0.0])
@pytest.mark.parametrize("mean", ["sequence", "token"])
def test_advantages_of_one_sign_are_the_batch(sign: float, mean: str) -> None:
    entropies = [[0.5, 1.5, 4.0], [2.0], [0.1, 0.2]]
    torch.testing.assert_close(weights_of(entropies, doubles([sign] * 3), mean), weights_of(entropies, None, mean))


@given(groups=graded_groups(same_pass_rate=False), factor=st.floats(0.1, 10.0))
def test_how_much_more_entropy_wrong_answers_carry_does_not_matter(
    groups: tuple[Tensor, Tensor, Tensor], factor: float
) -> None:
    entropy, lengths, advantages = groups
    louder = torch.where(advantages < 0, factor * entropy, entropy)
    weights = relative_entropy_weights(entropy, lengths, advantages=advantages)
    torch.testing.assert_close(relative_entropy_weights(louder, lengths, advantages=advantages), weights)


@given(groups=graded_groups(same_pass_rate=True))
def test_groups_of_one_pass_rate_stay_balanced_and_batch_weights_unbalance_them(
    groups: tuple[Tensor, Tensor, Tensor],
) -> None:
    entropy, lengths, advantages = groups
    right, wrong = advantages > 0, advantages < 0
    balanced = relative_entropy_weights(entropy, lengths, advantages=advantages)
    assert (balanced * advantages).sum().item() == pytest.approx(0, abs=1e-9)
    louder = torch.where(wrong, 3 * entropy / entropy[wrong].mean(), entropy / entropy[right].mean())
    unbalanced = relative_entropy_weights(louder, lengths)
    total = advantages[right].sum()
    torch.testing.assert_close(
        (unbalanced * advantages).sum(), total * (unbalanced[right].mean() - unbalanced[wrong].mean())
    )
    assert (unbalanced * advantages).sum() < 0


@pytest.mark.parametrize("mean", ["sequence", "token"])
@given(groups=graded_groups(same_pass_rate=False))
def test_only_the_covariance_within_a_sign_is_left_in_the_weighted_sum(
    mean: str, groups: tuple[Tensor, Tensor, Tensor]
) -> None:
    entropy, lengths, advantages = groups
    weights = relative_entropy_weights(entropy, lengths, mean, advantages=advantages)  # type: ignore[arg-type]
    counts = lengths.tolist() if mean == "token" else [1] * len(lengths)
    rows = list(zip(counts, weights.tolist(), advantages.tolist(), strict=True))
    expected = sum(c * a for c, _, a in rows)  # 0 for the sequence mean
    for sign in (1, -1):
        same = [(c, w, a) for c, w, a in rows if a * sign > 0]
        size = sum(c for c, _, _ in same)
        w_mean, a_mean = sum(c * w for c, w, _ in same) / size, sum(c * a for c, _, a in same) / size
        expected += sum(c * (w - w_mean) * (a - a_mean) for c, w, a in same)
    assert sum(c * w * a for c, w, a in rows) == pytest.approx(expected, abs=1e-9)


def test_sequences_without_advantage_keep_the_batch_and_do_not_move_the_others() -> None:
    weights = weights_of([[1.0], [3.0], [2.0], [6.0], [8.0]], doubles([1.0, 1.0, -1.0, -1.0, 0.0]))
    torch.testing.assert_close(weights, doubles([0.5, 1.5, 0.5, 1.5, 2.0]))


def test_deterministic_sequences_weigh_one_within_their_sign_alone() -> None:
    weights = weights_of([[0.0], [0.0], [1.0], [3.0], [0.0]], doubles([1.0, 1.0, -1.0, -1.0, 0.0]))
    assert weights.tolist() == [1.0, 1.0, 0.5, 1.5, 0.0]
    assert weights_of([[0.0]] * 3, doubles([1.0, -1.0, 0.0])).tolist() == [1.0, 1.0, 1.0]


def test_the_clip_comes_last() -> None:
    weights = weights_of([[1.0], [3.0], [10.0], [10.0]], doubles([1.0, 1.0, -1.0, -1.0]), clip=(0.8, 1.2))
    torch.testing.assert_close(weights, doubles([0.8, 1.2, 1.0, 1.0]))


def test_metrics_of_the_weights() -> None:
    weights, advantages = torch.tensor([0.5, 1.0, 1.5, 3.0]), torch.tensor([2.0, 0.0, -1.0, -1.0])
    assert weight_metrics(weights, advantages) == pytest.approx(
        {
            "prepo/weight_min": 0.5,
            "prepo/weight_mean": 1.5,
            "prepo/weight_max": 3.0,
            "prepo/weight_std": math.sqrt((1 + 0.25 + 0 + 2.25) / 4),
            "prepo/weight_positive_mean": 0.5,
            "prepo/weight_negative_mean": 2.25,
        }
    )
    assert "prepo/weight_positive_mean" not in weight_metrics(weights[1:], advantages[1:])
    assert "prepo/weight_negative_mean" not in weight_metrics(weights[:2], advantages[:2])
