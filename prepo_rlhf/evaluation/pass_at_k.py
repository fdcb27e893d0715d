"""avg@n and unbiased pass@k from the samples of each problem. Pure Python: shared by training and benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from statistics import fmean


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Unbiased estimate of the chance that one of k samples is right: 1 - C(n - c, k) / C(n, k).

    Source: Chen et al. 2021, arXiv 2107.03374, equation 1.

    Raises:
        ValueError: k or the number of correct samples exceeds the number of samples.
    """
    if not (1 <= k <= num_samples and 0 <= num_correct <= num_samples):
        raise ValueError(f"pass@{k} of {num_correct} right among {num_samples} samples is undefined")
    return 1.0 - comb(num_samples - num_correct, k) / comb(num_samples, k)


def powers_of_two(num_samples: int) -> list[int]:
    """The k that are reported for n samples: 1, 2, 4, ... and n itself."""
    return sorted({2**i for i in range(num_samples.bit_length()) if 2**i <= num_samples} | {num_samples})


def summarise(scores: Sequence[Sequence[float]]) -> dict[str, float]:
    """avg@n and pass@k over problems.

    Args:
        scores: for each problem its samples' scores, as many for each; a score >= 1 counts as right.
    Returns:
        {"avg@n": mean score, "pass@k": ...} with k = 1, 2, 4, ..., n.
    """
    n = len(scores[0])
    correct = [sum(score >= 1 for score in samples) for samples in scores]
    summary = {f"avg@{n}": fmean(fmean(samples) for samples in scores)}
    return summary | {f"pass@{k}": fmean(pass_at_k(n, c, k) for c in correct) for k in powers_of_two(n)}
