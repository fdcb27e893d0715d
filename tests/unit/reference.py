"""The formulas of PREPO (arXiv 2511.00794) as they are written, in plain loops over float64 numbers.

Slow on purpose, and independent: imports torch only, for numbers that carry gradients.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def perplexity(log_probs: list[float]) -> float:
    total = 0.0
    for value in log_probs:
        total += value
    return math.exp(-total / len(log_probs))


def window(perplexities: list[float], k: int, rho: float) -> list[int]:
    sigma = sorted(range(len(perplexities)), key=lambda i: perplexities[i])
    start = math.floor(rho * (len(perplexities) - k))
    return [sigma[j] for j in range(len(sigma)) if start <= j <= start + k - 1]


def entropy(logits: list[float]) -> float:
    highest = max(logits)
    exponentials = [math.exp(z - highest) for z in logits]
    total = sum(exponentials)
    return -sum(e / total * math.log(e / total) for e in exponentials if e > 0)


def weights(entropies: list[list[float]], mean: str) -> list[float]:
    """`entropies[i]` holds H_t of the tokens of response i."""
    sequence_means = [sum(h) / len(h) for h in entropies]
    if mean == "sequence":
        batch_mean = sum(sequence_means) / len(sequence_means)
    else:
        batch_mean = sum(sum(h) for h in entropies) / sum(len(h) for h in entropies)
    return [h / batch_mean for h in sequence_means]


def balanced_weights(entropies: list[list[float]], advantages: list[float], mean: str) -> list[float]:
    """Each response relative to those whose advantage has the same sign; at 0, relative to all."""
    result = weights(entropies, mean)
    for same_sign in ([i for i, a in enumerate(advantages) if a > 0], [i for i, a in enumerate(advantages) if a < 0]):
        if same_sign:
            for i, w in zip(same_sign, weights([entropies[i] for i in same_sign], mean), strict=True):
                result[i] = w
    return result


def window_in_bins(perplexities: list[float], lengths: list[int], k: int, rho: float, num_bins: int) -> list[int]:
    """Places and shares of K are dealt to the bins in turn; then the shortest prompts fill the first bin, and so on."""
    sizes, shares = [0] * num_bins, [0] * num_bins
    for i in range(len(lengths)):
        sizes[i % num_bins] += 1
    for i in range(k):
        shares[i % num_bins] += 1
    by_length = sorted(range(len(lengths)), key=lambda i: lengths[i])
    chosen = []
    for size, share in zip(sizes, shares, strict=True):
        members, by_length = sorted(by_length[:size]), by_length[size:]
        chosen += [members[j] for j in window([perplexities[i] for i in members], share, rho)]
    return chosen


def group_normalised(rewards: list[list[float]]) -> list[float]:
    """GRPO's advantages, with the standard deviation of a sample, of groups that have one."""
    advantages = []
    for group in rewards:
        average = sum(group) / len(group)
        deviation = math.sqrt(sum((r - average) ** 2 for r in group) / (len(group) - 1))
        advantages += [(r - average) / deviation for r in group]
    return advantages


def relative_to_posterior(rewards: list[float], p: float, variance: float, floor: float) -> list[float]:
    """Of one group: not PREPO's, but this project's `posterior`, by counts of a Beta distribution."""
    m = p * (1 - p) / variance - 1
    successes, failures = m * p, m * (1 - p)
    for r in rewards:
        successes, failures = successes + r, failures + 1 - r
    b = successes / (successes + failures)
    scale = max(floor, math.sqrt(max(b * (1 - b), 0.0)))
    return [(r - b) / scale for r in rewards]


def loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    lengths: list[int],
    w: list[float],
    eps: tuple[float, float],
    dual_clip: float | None,
    token_mean: bool,
    gspo: bool,
) -> Tensor:
    """-L; response i has its tokens at positions 0 .. lengths[i] - 1."""
    total_tokens, batch = sum(lengths), len(lengths)
    objective = torch.zeros((), dtype=torch.float64)
    for i, length in enumerate(lengths):
        log_ratios = [log_probs[i, t] - old_log_probs[i, t] for t in range(length)]
        for t in range(length):
            s = torch.exp(sum(log_ratios) / length if gspo else log_ratios[t])
            clipped_s = min(max(s, torch.tensor(1 - eps[0])), torch.tensor(1 + eps[1]))
            a = advantages[i, t]
            term = min(s * a, clipped_s * a)
            if dual_clip is not None and a < 0:
                term = max(term, dual_clip * a)
            objective = objective + w[i] * term / (total_tokens if token_mean else length * batch)
    return -objective
