"""Unbiased pass@k of one problem, and the k that are reported."""

from __future__ import annotations

from math import comb


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Unbiased estimate of the chance that one of k samples is right: 1 - C(n - c, k) / C(n, k).

    Source: Chen et al. 2021, arXiv 2107.03374, equation 1. Raises ValueError if k or the number of correct samples
    exceeds the number of samples.
    """
    if not (1 <= k <= num_samples and 0 <= num_correct <= num_samples):
        raise ValueError(f"pass@{k} of {num_correct} right among {num_samples} samples is undefined")
    return 1.0 - comb(num_samples - num_correct, k) / comb(num_samples, k)


def powers_of_two(num_samples: int) -> list[int]:
    """The k that are reported for n samples: 1, 2, 4, ... and n itself."""
    return sorted({2**i for i in range(num_samples.bit_length()) if 2**i <= num_samples} | {num_samples})
