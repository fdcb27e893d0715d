"""Discounted Beta posteriors, against counting by hand and the known moments."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prepo_rlhf.selection import PromptOutcome
from prepo_rlhf.selection.success_rates import discounted_update, num_right, sample_beta


def test_right_is_a_score_of_one_or_more() -> None:
    assert num_right(PromptOutcome(0, (1.0, 1.1, 0.1, 0.0, -1.0, 0.99))) == 2


@given(groups=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=9), decay=st.floats(0, 1))
def test_each_group_counts_by_its_age(groups: list[tuple[int, int]], decay: float) -> None:
    posterior = torch.ones(2, dtype=torch.float64)
    for group in groups:
        posterior = discounted_update(posterior, torch.tensor(group, dtype=torch.float64), decay)
    ages = range(len(groups) - 1, -1, -1)
    expected = [1 + sum(decay**age * group[i] for age, group in zip(ages, groups, strict=True)) for i in (0, 1)]
    assert posterior.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (9.0, 1.0), (3.5, 6.0)])
def test_samples_have_the_moments_of_a_beta(a: float, b: float) -> None:
    posterior = torch.tensor([[a, b]], dtype=torch.float64).expand(40_000, 2)
    samples = sample_beta(posterior, torch.Generator().manual_seed(0))
    truth = torch.distributions.Beta(a, b)
    assert samples.mean() == pytest.approx(float(truth.mean), abs=0.01)
    assert samples.std() == pytest.approx(float(truth.stddev), rel=0.03)


def test_samples_follow_their_generator_alone() -> None:
    posterior = torch.full((5, 2), 2.0, dtype=torch.float64)
    first = sample_beta(posterior, torch.Generator().manual_seed(3))
    before = torch.get_rng_state()
    assert torch.equal(first, sample_beta(posterior, torch.Generator().manual_seed(3)))
    assert torch.equal(before, torch.get_rng_state())
