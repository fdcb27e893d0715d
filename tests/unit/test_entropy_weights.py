"""Entropy of sequences and relative weights."""

from __future__ import annotations

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st

from prepo_rlhf.algorithm.entropy_weights import relative_entropy_weights, sequence_mean_entropy

BATCHES = st.lists(st.lists(st.floats(0.01, 8.0), min_size=1, max_size=9), min_size=1, max_size=12)


def summarise(batch: list[list[float]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean entropies [N] float64 and lengths [N]."""
    means = torch.tensor([sum(h) / len(h) for h in batch], dtype=torch.float64)
    return means, torch.tensor([len(h) for h in batch])


def test_sequence_mean_counts_response_tokens_only() -> None:
    entropies = torch.tensor([[1.0, 2.0, 9.0], [5.0, 5.0, 5.0]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert sequence_mean_entropy(entropies, mask).tolist() == [1.5, 0.0]


@pytest.mark.parametrize("mean", ["sequence", "token"])
@given(batch=BATCHES)
def test_weights_equal_the_formula(mean: str, batch: list[list[float]]) -> None:
    weights = relative_entropy_weights(*summarise(batch), mean=mean)
    torch.testing.assert_close(weights, torch.tensor(reference.weights(batch, mean), dtype=torch.float64))


@given(batch=BATCHES)
def test_average_weight_is_one(batch: list[list[float]]) -> None:
    entropy, lengths = summarise(batch)
    assert relative_entropy_weights(entropy, lengths, "sequence").mean().item() == pytest.approx(1, abs=1e-12)
    per_token = (relative_entropy_weights(entropy, lengths, "token") * lengths).sum() / lengths.sum()
    assert per_token.item() == pytest.approx(1, abs=1e-12)


def test_deterministic_batch_weighs_one_and_rounding_never_makes_a_weight_negative() -> None:
    lengths = torch.tensor([3, 4])
    assert relative_entropy_weights(torch.zeros(2), lengths).tolist() == [1.0, 1.0]
    assert relative_entropy_weights(torch.tensor([-1e-9, 1.0]), lengths).tolist() == [0.0, 2.0]


def test_clip_detach_and_type() -> None:
    entropy = torch.tensor([0.1, 1.0, 4.9], requires_grad=True)
    lengths = torch.tensor([1, 1, 1])
    weights = relative_entropy_weights(entropy, lengths, clip=(0.5, 2.0))
    torch.testing.assert_close(weights, torch.tensor([0.5, 0.5, 2.0]))
    assert not weights.requires_grad and weights.dtype == torch.float32


def test_refuses_bad_input() -> None:
    with pytest.raises(ValueError, match="finite"):
        relative_entropy_weights(torch.tensor([1.0, float("nan")]), torch.tensor([1, 1]))
    with pytest.raises(ValueError, match="median"):
        relative_entropy_weights(torch.ones(2), torch.ones(2), mean="median")  # type: ignore[arg-type]
