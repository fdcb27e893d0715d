"""Unbiased pass@k against the exhaustive definition, and against the product form of its source."""

from __future__ import annotations

from itertools import combinations
from math import prod

import pytest

from prepo_rlhf.metrics.pass_at_k import pass_at_k, powers_of_two


@pytest.mark.parametrize("n", range(1, 9))
def test_equals_the_share_of_subsets_with_a_right_sample(n: int) -> None:
    for correct in range(n + 1):
        samples = [True] * correct + [False] * (n - correct)
        for k in range(1, n + 1):
            subsets = [any(subset) for subset in combinations(samples, k)]
            assert pass_at_k(n, correct, k) == pytest.approx(sum(subsets) / len(subsets))


@pytest.mark.parametrize("n", [16, 64, 256])
def test_equals_the_product_form(n: int) -> None:
    """Chen et al. 2021, figure 3: 1 - prod over i = n - c + 1, ..., n of (1 - k / i)."""
    for correct in range(n + 1):
        for k in powers_of_two(n):
            wrong = 0.0 if n - correct < k else prod(1 - k / i for i in range(n - correct + 1, n + 1))
            assert pass_at_k(n, correct, k) == pytest.approx(1 - wrong, abs=1e-9)


@pytest.mark.parametrize("arguments", [(4, 5, 1), (4, 2, 5), (4, 2, 0)])
def test_refuses_what_has_no_meaning(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError):
        pass_at_k(*arguments)


def test_k_are_powers_of_two_and_n() -> None:
    assert powers_of_two(1) == [1] and powers_of_two(8) == [1, 2, 4, 8] and powers_of_two(6) == [1, 2, 4, 6]
