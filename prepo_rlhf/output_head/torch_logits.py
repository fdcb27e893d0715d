"""Log-probs and entropies of a chunk of logits, and their gradient, by PyTorch's operations: for a CPU, and for tests.

Boundary: torch only; which tokens make up a chunk is `chunked`'s business.
"""

from __future__ import annotations

import torch
from torch import Tensor

from prepo_rlhf.output_head.head import OutputHead


def log_probs_and_entropies(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """ln p of each target, and H = -sum_v p_v ln p_v over the whole vocabulary, in nats (PREPO, arXiv 2511.00794).

    With y = z - max z and S = sum_v exp y_v: ln p_v = y_v - ln S, and H = ln S - sum_v y_v exp(y_v) / S.

    Args:
        logits: [N, V] float32, divided by the sampling temperature; -inf bars a token. Used up: y afterwards.
        targets: [N].

    Returns:
        Two [N] float32.
    """
    logits.sub_(logits.amax(dim=-1, keepdim=True))
    chosen = logits.gather(-1, targets[:, None]).squeeze(-1)
    weighted = logits.exp()
    total = weighted.sum(dim=-1)
    # A barred token counts 0 times the most negative number, not 0 times infinity.
    weighted.mul_(logits.clamp_min_(torch.finfo(logits.dtype).min))
    log_total = total.log()
    return chosen - log_total, log_total - weighted.sum(dim=-1) / total


def statistics(raw: Tensor, targets: Tensor, head: OutputHead) -> tuple[Tensor, None]:
    """[N, 2]: log-prob of each target and entropy, float32 in nats, of raw logits [N, V]; nothing is kept for later."""
    return torch.stack(log_probs_and_entropies(head.logits(raw), targets), dim=-1), None


def raw_gradient(raw: Tensor, targets: Tensor, gradient: Tensor, head: OutputHead) -> Tensor:
    """The gradient of raw logits [N, V], in their type, from that of log-probs and entropies [N, 2]."""
    dtype, logits = raw.dtype, head.logits(raw)
    del raw  # in another type it would stay beside the logits
    return head.raw_gradient(logits, _logit_gradient(logits, targets, gradient)).to(dtype)


def _logit_gradient(logits: Tensor, targets: Tensor, gradient: Tensor) -> Tensor:
    """Of N tokens' logits [N, V], from that of their log-probs and entropies [N, 2].

    d ln p_a / dz_v = [v = a] - p_v; dH / dz_v = -p_v (ln p_v + H).
    """
    of_log_prob, of_entropy = gradient.unbind(dim=-1)
    log_p = logits - logits.logsumexp(dim=-1, keepdim=True)
    p = log_p.exp()
    result = p * -of_log_prob[:, None]
    if of_entropy.any():
        entropy = -(p * log_p).sum(dim=-1, keepdim=True)
        result -= p * (log_p + entropy) * of_entropy[:, None]
    return result.scatter_add_(-1, targets[:, None], of_log_prob[:, None].to(result.dtype))
