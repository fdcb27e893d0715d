"""Mean entropy of each rollout, and the weight that it has relative to the others.

Boundary: torch only; the caller brings the whole batch of the step, all data-parallel ranks together.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from prepo_rlhf.algorithm.masked import masked_mean


def sequence_mean_entropy(entropies: Tensor, mask: Tensor) -> Tensor:
    """Hbar_i = (1/|o_i|) sum_t H_t of each response (PREPO, arXiv 2511.00794).

    Args:
        entropies: [B, T] token entropies in nats.
        mask: [B, T], 1 at response tokens.

    Returns:
        [B]; 0 for a response without tokens.
    """
    return masked_mean(entropies, mask, dim=-1)


@torch.no_grad()
def relative_entropy_weights(
    mean_entropy: Tensor,
    lengths: Tensor,
    mean: Literal["sequence", "token"] = "sequence",
    clip: tuple[float, float] | None = None,
    advantages: Tensor | None = None,
) -> Tensor:
    """w_i = Hbar_i / Hbar, Hbar being the mean over the whole batch (PREPO, arXiv 2511.00794).

    Given `advantages`, Hbar is the mean over the sequences whose advantage has the same sign instead (this project's
    variant). Why: group-normalised advantages A_i sum to 0 over the batch, so those above 0 sum to some S and those
    below to -S. Where all of a sign are equal (as many right answers in every group), the weighted sum of w_i A_i is
    S (mean w above - mean w below). Wrong answers carry more entropy than right ones, so batch-wide weights put it
    below 0: wrong answers are pushed down more than right ones are reinforced. With both means at 1 it is 0 again;
    in general it is the sum over both signs of (number of sequences) * cov(w, A) within the sign, whatever the
    entropies of one sign are beside the other's. The token mean does the same to sums over tokens, whose balance
    point is sum |o_i| A_i instead of 0.

    Args:
        mean_entropy: [N] Hbar_i in nats, of every sequence of the step's batch.
        lengths: [N] response tokens |o_i|; used by the token mean only.
        mean: "sequence", the plain mean of Hbar_i; "token", the mean over all response tokens.
        clip: lowest and highest weight, applied last; None leaves the weights alone, as published.
        advantages: [N], of which the signs are used; sequences at 0, which have no effect, stay relative to the
            batch. None, as published, takes the whole batch.

    Returns:
        [N] weights >= 0, without gradient, computed in float64 and returned in the type of `mean_entropy`.
        Ones where Hbar is 0 (every sequence deterministic).

    Raises:
        ValueError: an entropy is not finite, or `mean` is unknown.
    """
    if not mean_entropy.isfinite().all():
        raise ValueError("a sequence's mean entropy is not finite")
    # Rounding can leave the entropy of a deterministic sequence a hair under zero.
    entropy = mean_entropy.double().clamp(min=0.0)
    weights = _relative_to_mean(entropy, lengths, mean)
    if advantages is not None:
        for members in (advantages > 0, advantages < 0):
            weights[members] = _relative_to_mean(entropy[members], lengths[members], mean)
    if clip is not None:
        weights = weights.clamp(*clip)
    return weights.to(mean_entropy.dtype)


def _relative_to_mean(entropy: Tensor, lengths: Tensor, mean: str) -> Tensor:
    """Each of [n] entropies over the mean of all; ones where that is 0, nothing for no entropies."""
    if mean == "sequence":
        average = entropy.sum() / max(len(entropy), 1)
    elif mean == "token":
        average = (entropy * lengths).sum() / lengths.sum().clamp(min=1)
    else:
        raise ValueError(f"mean must be 'sequence' or 'token', got {mean!r}")
    return entropy / average if average > 0 else torch.ones_like(entropy)


def weight_metrics(weights: Tensor, advantages: Tensor) -> dict[str, float]:
    """How the weights [N] are spread, and their mean over the sequences of each sign of the advantages [N].

    Returns:
        prepo/weight_{min,mean,max,std}, and prepo/weight_{positive,negative}_mean where there are such sequences.
    """
    weights = weights.double()
    by_sign = {"positive": weights[advantages > 0], "negative": weights[advantages < 0]}
    spread = {"min": weights.min(), "mean": weights.mean(), "max": weights.max(), "std": weights.std(correction=0)}
    spread |= {f"{sign}_mean": some.mean() for sign, some in by_sign.items() if len(some)}
    return {f"prepo/weight_{name}": value.item() for name, value in spread.items()}
