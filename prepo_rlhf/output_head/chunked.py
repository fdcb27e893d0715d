"""Log-probs of the tokens taken, and entropies, from hidden states: no (tokens x vocabulary) tensor is ever whole.

The logits of a few tokens are made, used and dropped. With gradients, backward makes them once more: a fourth product
with the output head where there were three. On a GPU the logits are read by Triton kernels (`triton_logits`), elsewhere
by PyTorch's operations.
Boundary: which tokens, and where their hidden states come from, is the caller's.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

# Logits held at once: what is fastest on a GPU (docs/results/performance.md), on a CPU what its cache holds; of enough
# tokens for each reading of the weight.
LOGITS_AT_ONCE, CACHED_LOGITS, LEAST_TOKENS = 2**27, 2**19, 128


@dataclass(frozen=True)
class OutputHead:
    """What turns a hidden state h into logits: cap tanh(scale (W h + b) / cap) / temperature.

    Attributes:
        weight: [V, D].
        bias: [V].
        scale: of the raw logits (Cohere's logit_scale, the inverse of Granite's logits_scaling).
        cap: soft limit of the logits (Gemma's final_logit_softcapping); None where there is none.
        temperature: of sampling.
    """

    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None
    temperature: float = 1.0

    def raw_logits(self, hidden: Tensor) -> Tensor:
        """W h + b: [N, V] of [N, D], in the weight's type, as the model's own would be."""
        return torch.nn.functional.linear(hidden, self.weight, self.bias)

    def logits(self, hidden: Tensor) -> Tensor:
        """[N, V] float32 of [N, D]."""
        logits = self.raw_logits(hidden).float()
        factor = self.scale / self.temperature
        if self.cap is not None:
            return logits.mul_(self.scale / self.cap).tanh_().mul_(self.cap / self.temperature)
        return logits if factor == 1.0 else logits.mul_(factor)

    def raw_gradient(self, logits: Tensor, gradient: Tensor) -> Tensor:
        """From the gradient of `logits` to that of W h + b; works on `gradient` in place."""
        factor = self.scale / self.temperature
        if self.cap is not None:
            return gradient.mul_(1 - (logits * (self.temperature / self.cap)).square()).mul_(factor)
        return gradient if factor == 1.0 else gradient.mul_(factor)


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


def head_statistics(hidden: Tensor, targets: Tensor, head: OutputHead) -> Tensor:
    """[N, 2] float32: log-prob of each target, and entropy, in nats; with gradients to hidden states, weight and bias.

    Args:
        hidden: [N, D], in the weight's type.
        targets: [N].
    """
    return _HeadStatistics.apply(hidden, targets, head.weight, head.bias, head)


class _HeadStatistics(torch.autograd.Function):
    """Forward keeps nothing of the logits but two numbers a token, which are its result."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor | None, head: OutputHead
    ) -> Tensor:
        statistics = torch.empty(len(hidden), 2, dtype=torch.float32, device=hidden.device)
        for rows in _chunks(hidden, len(weight)):
            statistics[rows] = _statistics(hidden[rows], targets[rows], head)
        ctx.save_for_backward(hidden, targets, weight, bias)
        ctx.head = replace(head, weight=None, bias=None)
        return statistics

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None, Tensor | None, None]:
        hidden, targets, weight, bias = ctx.saved_tensors
        head = replace(ctx.head, weight=weight, bias=bias)
        of_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        # Summed in float32 over chunks, whatever the type of the weight.
        of_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[2] else None
        of_bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and ctx.needs_input_grad[3] else None
        for rows in _chunks(hidden, len(weight)):
            raw = _raw_gradient(hidden[rows], targets[rows], gradient[rows], head)
            if of_hidden is not None:
                of_hidden[rows] = raw @ weight
            if of_weight is not None:
                of_weight += raw.T @ hidden[rows]
            if of_bias is not None:
                of_bias += raw.sum(dim=0)
        of_weight = of_weight.to(weight.dtype) if of_weight is not None else None
        of_bias = of_bias.to(bias.dtype) if of_bias is not None else None
        return of_hidden, None, of_weight, of_bias, None


def _statistics(hidden: Tensor, targets: Tensor, head: OutputHead) -> Tensor:
    """[N, 2] of N tokens."""
    if kernels := _kernels(hidden.device.type):
        return kernels.statistics(head.raw_logits(hidden), targets, head)[0]
    return torch.stack(log_probs_and_entropies(head.logits(hidden), targets), dim=-1)


def _raw_gradient(hidden: Tensor, targets: Tensor, gradient: Tensor, head: OutputHead) -> Tensor:
    """The gradient of N tokens' raw logits [N, V], in the weight's type."""
    if kernels := _kernels(hidden.device.type):
        return kernels.raw_gradient(head.raw_logits(hidden), targets, gradient, head)
    logits = head.logits(hidden)
    return head.raw_gradient(logits, _logit_gradient(logits, targets, gradient)).to(head.weight.dtype)


@cache
def _kernels(device: str) -> ModuleType | None:
    """Triton comes with PyTorch's CUDA builds; without a GPU it is not imported."""
    if device != "cuda" or importlib.util.find_spec("triton") is None:
        return None
    return importlib.import_module("prepo_rlhf.output_head.triton_logits")


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


def tokens_at_once(vocabulary: int, device: torch.device) -> int:
    """How many tokens' logits exist at once."""
    logits = CACHED_LOGITS if device.type == "cpu" else LOGITS_AT_ONCE
    return max(LEAST_TOKENS, logits // vocabulary)


def _chunks(hidden: Tensor, vocabulary: int) -> Iterator[slice]:
    size = tokens_at_once(vocabulary, hidden.device)
    return (slice(start, start + size) for start in range(0, len(hidden), size))
