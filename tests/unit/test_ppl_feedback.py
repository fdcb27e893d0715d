"""Perplexity with feedback: bins, posteriors by hand, how often which bin is drawn, resume."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from selector_replay import assert_resumes, candidates_of, outcome
from tiny_candidates import make_candidate

from prepo_rlhf.selection import Candidate
from prepo_rlhf.selection.ppl_feedback import PplFeedbackSelector


def ranked(n: int) -> list[Candidate]:
    """Candidates in ascending perplexity."""
    return [make_candidate(i, perplexity=1.0 + i) for i in range(n)]


def informed(evidence: dict[int, tuple[int, int]]) -> PplFeedbackSelector:
    """One that has seen, of prompts 0 .. 9 in bins 0 0 1 1 ..., so many (right, groups)."""
    selector = PplFeedbackSelector(seed=0)
    selector.select(ranked(10), 10, 0.0)
    selector.observe([outcome(index, right) for index, right in evidence.items()])
    return selector


def test_groups_count_by_their_variance_for_the_bin_they_came_from() -> None:
    selector = informed({0: 4, 1: 2, 5: 8, 9: 0})  # 100 % informative, 75 %, not at all, not at all
    expected = torch.ones(5, 2, dtype=torch.float64)
    expected[0] += torch.tensor([1.75, 0.25])
    expected[2, 1] += 1
    expected[4, 1] += 1
    assert torch.equal(selector.state_dict()["posteriors"], expected)
    selector.observe([outcome(2, 4)])
    expected = 1 + 0.9 * (expected - 1)
    expected[1, 0] += 1
    assert torch.allclose(selector.state_dict()["posteriors"], expected)


def test_outcomes_may_come_after_later_selections_and_count_once() -> None:
    selector = PplFeedbackSelector(seed=0)
    selector.select(ranked(10), 10, 0.0)
    selector.select([make_candidate(c.row + 100, perplexity=c.perplexity) for c in reversed(ranked(10))], 10, 0.0)
    selector.observe([outcome(0, 4), outcome(77, 4)])  # the second was never selected
    selector.observe([outcome(0, 4)])
    assert selector.state_dict()["posteriors"][:, 0].tolist() == pytest.approx([1.9, 1, 1, 1, 1])
    selector.observe([outcome(109, 4)])
    assert selector.state_dict()["posteriors"][:, 0].tolist() == pytest.approx([1.81, 1, 1, 1, 2])


def test_bins_are_drawn_by_thompson_sampling_and_candidates_uniformly() -> None:
    selector = informed({0: 4, 1: 4, 2: 4, 3: 1, 6: 8, 7: 0})
    posteriors, draws = selector.state_dict()["posteriors"], 3000
    counts = Counter(selector.select(ranked(20), 1, 0.0)[0] for _ in range(draws))
    torch.manual_seed(0)
    best = torch.distributions.Beta(posteriors[:, 0], posteriors[:, 1]).sample((100_000,)).argmax(dim=-1)
    for i in range(20):
        expected = (best == i // 4).double().mean().item() / 4
        assert counts[i] / draws == pytest.approx(expected, abs=0.02)


def test_the_best_bin_is_emptied_first() -> None:
    selector = PplFeedbackSelector(seed=0)
    for _ in range(300):  # prompts in the middle are half right, the others always wrong
        chosen = selector.select(ranked(50), 20, 0.0)
        selector.observe([outcome(i, 4 if 20 <= i < 30 else 0) for i in chosen])
    assert set(range(20, 30)) <= set(chosen)
    means = selector.metrics()
    assert list(means) == [f"prepo/feedback_informative_{i}" for i in range(5)]
    assert means["prepo/feedback_informative_2"] > 0.9 > 0.3 > means["prepo/feedback_informative_0"]


@given(ppl=st.lists(st.sampled_from([1.0, 2.0, 3.0, 9.0]), min_size=1, max_size=23), data=st.data())
def test_k_distinct_candidates_whatever_the_bins_and_ties(ppl: list[float], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(ppl)))
    candidates = [replace(c, perplexity=p) for c, p in zip(ranked(len(ppl)), ppl, strict=True)]
    chosen = PplFeedbackSelector(seed=0).select(candidates, k, 0.5)
    assert len(set(chosen)) == k and set(chosen) <= set(range(len(ppl)))


def test_refusals() -> None:
    assert PplFeedbackSelector.needs_scores
    with pytest.raises(ValueError, match="cannot select 5 of 4 candidates"):
        PplFeedbackSelector(seed=0).select(ranked(4), 5, 0.0)
    with pytest.raises(ValueError, match="no perplexity"):
        PplFeedbackSelector(seed=0).select([make_candidate(0)], 1, 0.0)
    with pytest.raises(ValueError, match="NaN"):
        PplFeedbackSelector(seed=0).select([replace(candidates_of([0])[0], perplexity=float("nan"))], 1, 0.0)


def test_resumes() -> None:
    assert_resumes(PplFeedbackSelector)
