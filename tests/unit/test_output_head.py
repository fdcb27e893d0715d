"""Log-probs and entropies from hidden states, against the formulas written out and against autograd on all logits.

The Triton kernels are what is tested on a machine with a GPU, and in Triton's interpreter on one without:
pip install --no-deps triton==3.7.1 && TRITON_INTERPRET=1 pytest tests/unit/test_output_head.py
"""

from __future__ import annotations

import importlib
import math
import os
from typing import Any

import pytest
import reference
import torch

from prepo_rlhf.output_head import chunked
from prepo_rlhf.output_head.chunked import head_statistics
from prepo_rlhf.output_head.head import OutputHead
from prepo_rlhf.output_head.torch_logits import log_probs_and_entropies

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOKENS, WIDTH, VOCABULARY = 37, 16, 50
HEADS: dict[str, dict[str, Any]] = {
    "plain": {},
    "temperature": {"temperature": 0.6},
    "bias": {"with_bias": True},
    "scale": {"scale": 0.25, "temperature": 1.3},
    "cap": {"cap": 3.0, "temperature": 0.8},
    "all": {"cap": 5.0, "scale": 2.0, "temperature": 1.3, "with_bias": True},
}


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "tokens_at_once", lambda *_: 8)


@pytest.fixture(autouse=True)
def interpreted_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.environ.get("TRITON_INTERPRET") == "1":
        kernels = importlib.import_module("prepo_rlhf.output_head.triton_logits")
        monkeypatch.setattr(chunked, "_logit_reader", lambda device: kernels)


def naive(parts: list[torch.Tensor], targets: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
    """[N, 2] by autograd from all logits."""
    logits = torch.nn.functional.linear(*parts) * options.get("scale", 1.0)
    if "cap" in options:
        logits = options["cap"] * torch.tanh(logits / options["cap"])
    log_p = (logits / options.get("temperature", 1.0)).log_softmax(dim=-1)
    return torch.stack([log_p.gather(1, targets[:, None])[:, 0], -(log_p.exp() * log_p).sum(-1)], dim=-1)


def draw(with_bias: bool, dtype: torch.dtype) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Hidden states, weight and bias, exact in `dtype`, in float64; targets; a gradient."""
    torch.manual_seed(0)
    shapes = [(TOKENS, WIDTH), (VOCABULARY, WIDTH), (VOCABULARY,)][: 3 if with_bias else 2]
    parts = [torch.randn(shape).to(dtype).double().to(DEVICE) for shape in shapes]
    return parts, torch.randint(VOCABULARY, (TOKENS,)).to(DEVICE), torch.randn(TOKENS, 2).to(DEVICE)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-4), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("name", HEADS)
def test_values_and_gradients(name: str, dtype: torch.dtype, error: float) -> None:
    options = dict(HEADS[name])
    parts, targets, gradient = draw(options.pop("with_bias", False), dtype)
    exact = [part.clone().requires_grad_() for part in parts]
    expected = naive(exact, targets, options)
    expected.backward(gradient.double())
    own = [part.to(dtype).requires_grad_() for part in parts]
    actual = head_statistics(own[0], targets, OutputHead(*own[1:], **options))
    actual.backward(gradient)
    assert actual.dtype == torch.float32 and (actual - expected).abs().max() < error
    for part, reference_part in zip(own, exact, strict=True):
        assert part.grad.dtype == dtype
        assert (part.grad - reference_part.grad).abs().max() < error * reference_part.grad.abs().max()


def test_log_probs_alone_and_frozen_heads_get_their_gradients() -> None:
    parts, targets, _ = draw(True, torch.float32)
    hidden, weight, bias = (part.float() for part in parts)
    expected, actual = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    naive([expected, weight, bias], targets, {})[:, 0].sum().backward()
    head_statistics(actual, targets, OutputHead(weight, bias))[:, 0].sum().backward()
    torch.testing.assert_close(actual.grad, expected.grad)


def test_no_tokens() -> None:
    weight = torch.randn(VOCABULARY, WIDTH, requires_grad=True)
    nothing = head_statistics(torch.empty(0, WIDTH), torch.empty(0, dtype=torch.long), OutputHead(weight))
    nothing.sum().backward()
    assert nothing.shape == (0, 2) and not weight.grad.any()


def test_entropy_equals_the_formula() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(12, 11) * 5, torch.randint(11, (12,))
    log_probs, entropies = log_probs_and_entropies(logits.clone(), targets)
    torch.testing.assert_close(entropies, torch.tensor([reference.entropy(row.tolist()) for row in logits]))
    torch.testing.assert_close(log_probs, logits.log_softmax(-1).gather(1, targets[:, None])[:, 0])


def test_known_distributions() -> None:
    barred = torch.tensor([0.0, 0.0, -math.inf, -math.inf])
    certain = torch.tensor([100.0, -100.0, -100.0, -100.0])
    log_probs, entropies = log_probs_and_entropies(
        torch.stack([torch.zeros(4), barred, certain]), torch.zeros(3).long()
    )
    torch.testing.assert_close(entropies, torch.tensor([math.log(4), math.log(2), 0.0]))
    torch.testing.assert_close(log_probs, -entropies)
