"""Log-probs of the tokens taken, and entropies, from hidden states, computed in chunks of tokens.

The full logits [tokens, vocabulary] are never materialised: a chunk's are made, read and dropped. With gradients,
backward makes them once more: a fourth product with the output head where there were three.
Boundary: which tokens, and where their hidden states come from, is the caller's.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from prepo_rlhf.output_head import torch_logits
from prepo_rlhf.output_head.chunk_size import tokens_at_once
from prepo_rlhf.output_head.head import OutputHead


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
        reader = _logit_reader(hidden.device.type)
        for rows in _chunks(hidden, len(weight)):
            statistics[rows], _ = reader.statistics(head.raw_logits(hidden[rows]), targets[rows], head)
        ctx.save_for_backward(hidden, targets, weight, bias)
        ctx.settings = (head.scale, head.cap, head.temperature)
        return statistics

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        hidden, targets, weight, bias = ctx.saved_tensors
        head = OutputHead(weight, bias, *ctx.settings)
        of_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        # Summed in float32 over chunks, whatever the type of the weight.
        of_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[2] else None
        of_bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and ctx.needs_input_grad[3] else None
        reader = _logit_reader(hidden.device.type)
        for rows in _chunks(hidden, len(weight)):
            raw = reader.raw_gradient(head.raw_logits(hidden[rows]), targets[rows], gradient[rows], head)
            if of_hidden is not None:
                of_hidden[rows] = raw @ weight
            if of_weight is not None:
                of_weight += raw.T @ hidden[rows]
            if of_bias is not None:
                of_bias += raw.sum(dim=0)
        of_weight = of_weight.to(weight.dtype) if of_weight is not None else None
        of_bias = of_bias.to(bias.dtype) if of_bias is not None else None
        return of_hidden, None, of_weight, of_bias, None


@cache
def _logit_reader(device: str) -> ModuleType:
    """`triton_logits` on a GPU, as Triton comes with PyTorch's CUDA builds; else `torch_logits`."""
    if device == "cuda" and importlib.util.find_spec("triton") is not None:
        return importlib.import_module("prepo_rlhf.output_head.triton_logits")
    return torch_logits


def _chunks(hidden: Tensor, vocabulary: int) -> Iterator[slice]:
    size = tokens_at_once(vocabulary, hidden.device.type)
    return (slice(start, start + size) for start in range(0, len(hidden), size))
