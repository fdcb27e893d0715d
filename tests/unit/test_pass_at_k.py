"""Unbiased pass@k against the exhaustive definition."""

from __future__ import annotations

from itertools import combinations

import pytest

from prepo_rlhf.evaluation.pass_at_k import pass_at_k, powers_of_two, summarise


@pytest.mark.parametrize("n", range(1, 8))
def test_equals_the_share_of_subsets_with_a_right_sample(n: int) -> None:
    for correct in range(n + 1):
        samples = [True] * correct + [False] * (n - correct)
        for k in range(1, n + 1):
            subsets = [any(subset) for subset in combinations(samples, k)]
            assert pass_at_k(n, correct, k) == pytest.approx(sum(subsets) / len(subsets))


@pytest.mark.parametrize("arguments", [(4, 5, 1), (4, 2, 5), (4, 2, 0)])
def test_refuses_what_has_no_meaning(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError):
        pass_at_k(*arguments)


def test_summary_of_problems() -> None:
    summary = summarise([[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0.5]])
    assert summary == pytest.approx({"avg@4": 5.5 / 12, "pass@1": 5 / 12, "pass@2": 0.5, "pass@4": 2 / 3})


def test_k_are_powers_of_two_and_n() -> None:
    assert powers_of_two(1) == [1] and powers_of_two(8) == [1, 2, 4, 8] and powers_of_two(6) == [1, 2, 4, 6]
