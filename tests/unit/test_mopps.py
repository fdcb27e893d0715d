"""MoPPS: posteriors by hand, how often who is chosen, resume."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from selector_replay import assert_resumes, candidates_of, outcome

from prepo_rlhf.selection.mopps import MoppsSelector


def test_posteriors_decay_towards_the_prior_at_each_visit() -> None:
    selector = MoppsSelector(seed=0)
    selector.observe([outcome(3, right=6), outcome(4, right=0)])
    selector.observe([outcome(3, right=2)])
    assert selector.state_dict()["posteriors"] == {
        3: (0.5 * (0.5 * 1 + 0.5 * 1 + 6) + 0.5 * 1 + 2, 0.5 * (0.5 * 1 + 0.5 * 1 + 2) + 0.5 * 1 + 6),
        4: (1.0, 9.0),
    }


def test_each_is_chosen_as_often_as_its_posterior_is_nearest_one_half() -> None:
    """Four prompts, one of them never seen, K = 2; the truth from torch's own Beta."""
    selector = MoppsSelector(seed=0)
    rights = {0: 8, 1: 4, 2: 1}
    selector.observe([outcome(i, right) for i, right in rights.items()])
    candidates, draws = candidates_of(range(4)), 4000
    counts = Counter(i for _ in range(draws) for i in selector.select(candidates, 2, 0.0))
    counts = [counts[i] / draws for i in range(4)]

    torch.manual_seed(0)
    a = torch.tensor([9.0, 5.0, 2.0, 1.0], dtype=torch.float64)
    b = torch.tensor([1.0, 5.0, 8.0, 1.0], dtype=torch.float64)
    nearest = (torch.distributions.Beta(a, b).sample((100_000,)) - 0.5).abs().argsort(dim=-1)[:, :2]
    expected = [(nearest == i).any(dim=-1).double().mean().item() for i in range(4)]
    assert counts == pytest.approx(expected, abs=0.03)
    assert expected[1] > 0.8 and expected[3] > expected[0]


def test_the_nearest_comes_first_and_k_may_be_all() -> None:
    selector = MoppsSelector(seed=0)
    selector.observe([outcome(i, right, trials=4000) for i, right in enumerate([3900, 2100, 3000, 500])])
    assert selector.select(candidates_of(range(4)), 4, 0.0) == [1, 2, 3, 0]
    with pytest.raises(ValueError, match="cannot select 5 of 4 candidates"):
        selector.select(candidates_of(range(4)), 5, 0.0)


def test_it_predicts_the_moments_of_its_posteriors() -> None:
    selector = MoppsSelector(seed=0)
    selector.observe([outcome(0, right=8), outcome(1, right=1)])
    for prediction, (a, b) in zip(selector.predict(candidates_of(range(3))), [(9, 1), (2, 8), (1, 1)], strict=True):
        truth = torch.distributions.Beta(float(a), float(b))
        assert prediction == pytest.approx((truth.mean.item(), truth.variance.item()))


def test_needs_no_scores_and_resumes() -> None:
    assert not MoppsSelector.needs_scores
    assert_resumes(MoppsSelector)
