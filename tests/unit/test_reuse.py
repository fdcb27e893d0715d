"""How far the policy is from its rollouts, beside a literal transcription, and beside the divergence itself."""

from __future__ import annotations

import math

import pytest
import torch

from prepo_rlhf.algorithm.reuse import reuse_sums

LOW, HIGH = 0.2, 0.28


def test_sums_are_those_of_the_formulas() -> None:
    generator = torch.Generator().manual_seed(0)
    old, new = (-torch.rand(5, 7, generator=generator) * 2 for _ in range(2))
    advantages = torch.randn(5, 1, generator=generator).expand(5, 7)
    mask = (torch.rand(5, 7, generator=generator) < 0.7).long()
    k3 = clipped = tokens = 0.0
    for row in range(5):
        for token in range(7):
            if mask[row, token]:
                ratio, advantage = math.exp(new[row, token] - old[row, token]), advantages[row, token]
                k3 += ratio - 1 - math.log(ratio)
                clipped += ratio > 1 + HIGH if advantage > 0 else ratio < 1 - LOW
                tokens += 1
    sums = reuse_sums(new, old, advantages, mask, LOW, HIGH)
    assert sums.tolist() == pytest.approx([k3, clipped, tokens], rel=1e-6) and 0 < clipped < tokens


def test_the_policy_itself_is_at_no_distance() -> None:
    log_probs = torch.full((2, 3), -0.7)
    assert reuse_sums(log_probs, log_probs, torch.ones(2, 3), torch.ones(2, 3), LOW, HIGH).tolist() == [0, 0, 6]


def test_the_mean_over_samples_is_the_divergence() -> None:
    """Of two distributions over three tokens, each token as often as the old policy draws it."""
    old, new = torch.tensor([0.5, 0.25, 0.25]).log(), torch.tensor([0.2, 0.5, 0.3]).log()
    drawn = torch.tensor([[0, 0, 1, 2]])
    kl, _, tokens = reuse_sums(new[drawn], old[drawn], torch.ones(1, 4), torch.ones(1, 4), LOW, HIGH)
    assert (kl / tokens).item() == pytest.approx((old.exp() * (old - new)).sum().item(), rel=1e-6)


def test_what_is_outside_of_a_response_counts_nothing() -> None:
    """Whatever is there, such as the -inf of padding."""
    new, old = torch.tensor([[-1.0, -torch.inf]]), torch.tensor([[-1.0, 0.0]])
    assert reuse_sums(new, old, torch.ones(1, 2), torch.tensor([[1, 0]]), LOW, HIGH).tolist() == [0, 0, 1]
