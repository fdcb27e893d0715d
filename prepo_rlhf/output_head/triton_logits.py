"""What `torch_logits` computes of a chunk of logits, as two Triton kernels for a GPU: each reads the logits once.

PyTorch's own operations would write a tensor of the logits' size a dozen times. Here a row's log-sum-exp and entropy
come from one pass with a running maximum, and backward turns the raw logits into their gradient in place.
Boundary: raw logits in, numbers or gradients out; making the logits is `chunked`'s business.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from prepo_rlhf.output_head.head import OutputHead

BLOCK, WARPS = 8192, 16


@triton.jit
def _transformed(raw: tl.tensor, pre: tl.tensor, post: tl.tensor, CAPPED: tl.constexpr) -> tl.tensor:
    """post tanh(pre raw) with a cap, post raw without: `OutputHead`'s logits."""
    raw = raw.to(tl.float32)
    if CAPPED:
        return (2 * tl.sigmoid(2 * pre * raw) - 1) * post
    return raw * post


@triton.jit
def _statistics_kernel(
    logits: tl.tensor, targets: tl.tensor, statistics: tl.tensor, log_totals: tl.tensor, vocabulary: tl.tensor,
    pre: tl.tensor, post: tl.tensor, CAPPED: tl.constexpr, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """One row: its two statistics and its log-sum-exp; the arguments are `statistics`' tensors, as pointers."""
    row = tl.program_id(0).to(tl.int64)
    logits += row * vocabulary
    # Of the columns so far, with y = z - top: the sums of exp y and of y exp y.
    top, total, weighted = -3.0e38, 0.0, 0.0
    for start in range(0, vocabulary, BLOCK):
        column = start + tl.arange(0, BLOCK)
        inside = column < vocabulary
        z = _transformed(tl.load(logits + column, mask=inside, other=0.0), pre, post, CAPPED)
        z = tl.where(inside, z, float("-inf"))
        new_top = tl.maximum(top, tl.max(z, axis=0))
        shift = top - new_top
        y = z - new_top
        p = tl.exp(y)
        weighted = tl.exp(shift) * (weighted + shift * total) + tl.sum(tl.where(p > 0, y * p, 0.0), axis=0)
        total = tl.exp(shift) * total + tl.sum(p, axis=0)
        top = new_top
    chosen = _transformed(tl.load(logits + tl.load(targets + row)), pre, post, CAPPED)
    log_total = tl.log(total)
    tl.store(statistics + 2 * row, chosen - top - log_total)
    tl.store(statistics + 2 * row + 1, log_total - weighted / total)
    tl.store(log_totals + row, top + log_total)


@triton.jit
def _gradient_kernel(
    logits: tl.tensor, targets: tl.tensor, entropies: tl.tensor, log_totals: tl.tensor, gradients: tl.tensor,
    vocabulary: tl.tensor, pre: tl.tensor, post: tl.tensor, CAPPED: tl.constexpr, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """One block of a row: its raw logits become their gradient; `entropies` has a stride of 2, as `gradients`."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < vocabulary
    logits += row * vocabulary
    z = _transformed(tl.load(logits + column, mask=inside, other=0.0), pre, post, CAPPED)
    of_log_prob, of_entropy = tl.load(gradients + 2 * row), tl.load(gradients + 2 * row + 1)
    log_p = z - tl.load(log_totals + row)
    p = tl.exp(log_p)
    surprise = tl.where(p > 0, p * (log_p + tl.load(entropies + 2 * row)), 0.0)
    gradient = tl.where(column == tl.load(targets + row), of_log_prob, 0.0) - p * of_log_prob - surprise * of_entropy
    if CAPPED:
        gradient *= pre * post * (1 - (z / post) * (z / post))
    else:
        gradient *= post
    tl.store(logits + column, gradient.to(logits.dtype.element_ty), mask=inside)


def _factors(head: OutputHead) -> tuple[float, float, bool]:
    """`pre`, `post` and `CAPPED` of `_transformed`."""
    if head.cap is None:
        return 1.0, head.scale / head.temperature, False
    return head.scale / head.cap, head.cap / head.temperature, True


def statistics(logits: Tensor, targets: Tensor, head: OutputHead) -> tuple[Tensor, Tensor]:
    """Log-prob of each target and entropy [N, 2], and the log-sum-exp [N], float32 in nats, of raw logits [N, V].

    Args:
        logits: [N, V], contiguous; -inf bars a token.
        targets: [N].
        head: that they come from.
    """
    pre, post, capped = _factors(head)
    result = torch.empty(len(logits), 2, dtype=torch.float32, device=logits.device)
    log_totals = torch.empty(len(logits), dtype=torch.float32, device=logits.device)
    _statistics_kernel[(len(logits),)](
        logits, targets, result, log_totals, logits.shape[1], pre, post,
        CAPPED=capped, BLOCK=BLOCK, num_warps=WARPS,
    )  # fmt: skip
    return result, log_totals


def raw_gradient(logits: Tensor, targets: Tensor, gradient: Tensor, head: OutputHead) -> Tensor:
    """The gradient of raw logits [N, V], in their own place, from that of log-probs and entropies [N, 2].

    d ln p_a / dz_v = [v = a] - p_v; dH / dz_v = -p_v (ln p_v + H).
    """
    values, log_totals = statistics(logits, targets, head)
    pre, post, capped = _factors(head)
    size = logits.shape[1]
    _gradient_kernel[(len(logits), triton.cdiv(size, BLOCK))](
        logits, targets, values[:, 1], log_totals, gradient.float().contiguous(), size, pre, post,
        CAPPED=capped, BLOCK=BLOCK, num_warps=WARPS,
    )  # fmt: skip
    return logits
