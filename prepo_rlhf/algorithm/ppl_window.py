"""The perplexity schedule: which window of the ranked candidates fits the progress of training."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

# Position of the window, 0 at the lowest perplexities and 1 at the highest, by training progress rho. The paper's is
# linear (PREPO, arXiv 2511.00794); the root leaves the low end sooner, the square later, and all end at the high end.
PACINGS: dict[str, Callable[[float], float]] = {
    "linear": lambda rho: rho,
    "sqrt": math.sqrt,
    "quadratic": lambda rho: rho**2,
}


def progress(step: int, total_steps: int) -> float:
    """Training progress rho: 0 at step 0, 1 at the last step `total_steps - 1`; 0 when there is only one step.

    Raises:
        ValueError: `step` is not one of 0 .. total_steps - 1.
    """
    if not 0 <= step < total_steps:
        raise ValueError(f"step {step} is outside 0 .. {total_steps - 1}")
    return step / (total_steps - 1) if total_steps > 1 else 0.0


def window_start(progress: float, num_candidates: int, num_selected: int) -> int:
    """l(rho) = floor(rho * (|B| - K)) (PREPO, arXiv 2511.00794).

    Nothing corrects the rounding of the float product, so that a reader of the metrics who computes
    `floor(progress * (|B| - K))` from the logged progress gets the same number.

    Raises:
        ValueError: progress outside [0, 1], or K outside 1 .. |B|.
    """
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress {progress} is outside [0, 1]")
    if not 1 <= num_selected <= num_candidates:
        raise ValueError(f"cannot select {num_selected} of {num_candidates} candidates")
    return math.floor(progress * (num_candidates - num_selected))


def ppl_window(perplexities: Tensor, k: int, progress: float) -> Tensor:
    """I_rho = {sigma(j) : l(rho) <= j <= l(rho) + K - 1}, sigma sorting by perplexity (PREPO, arXiv 2511.00794).

    Args:
        perplexities: [|B|] float.
        k: K, how many candidates to take.
        progress: rho in [0, 1].

    Returns:
        [K] int64 indices into `perplexities`, ascending in perplexity; equal ones keep their order.

    Raises:
        ValueError: a perplexity is NaN, or `k` or `progress` is out of range.
    """
    if perplexities.isnan().any():
        raise ValueError("a candidate's perplexity is NaN: it has no rank")
    start = window_start(progress, len(perplexities), k)
    return torch.argsort(perplexities, stable=True)[start : start + k]
