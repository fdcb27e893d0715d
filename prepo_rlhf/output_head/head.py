"""What an output head is: a linear layer, with what some models do to its logits, and the sampling temperature."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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

    def logits(self, raw: Tensor) -> Tensor:
        """[N, V] float32, from raw logits [N, V], which float32 ones are overwritten by."""
        logits = raw.float()
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
