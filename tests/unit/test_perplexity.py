"""Prompt perplexity against the formula."""

from __future__ import annotations

import math

import pytest
import reference
import torch

from prepo_rlhf.algorithm.perplexity import prompt_perplexity


def test_equals_the_formula_on_the_scored_tokens_only() -> None:
    torch.manual_seed(0)
    log_probs = -torch.rand(5, 7, dtype=torch.float64) * 6
    mask = torch.rand(5, 7) < 0.6
    mask[:, 3] = True
    expected = [reference.perplexity(row[kept].tolist()) for row, kept in zip(log_probs, mask, strict=True)]
    torch.testing.assert_close(prompt_perplexity(log_probs, mask), torch.tensor(expected, dtype=torch.float64))


def test_uniform_model_has_the_vocabulary_size_as_perplexity() -> None:
    log_probs = torch.full((2, 9), -math.log(50))
    torch.testing.assert_close(prompt_perplexity(log_probs, torch.ones(2, 9)), torch.tensor([50.0, 50.0]).double())


def test_padding_of_any_value_does_not_matter() -> None:
    log_probs = torch.tensor([[-1.0, -float("inf"), float("nan")]])
    assert prompt_perplexity(log_probs, torch.tensor([[1, 0, 0]])).item() == pytest.approx(math.e)


def test_accumulates_long_prompts_in_float64() -> None:
    log_probs = torch.full((1, 300_000), -0.1, dtype=torch.bfloat16)
    exact = math.exp(-log_probs[0, 0].item())
    assert prompt_perplexity(log_probs, torch.ones_like(log_probs)).item() == pytest.approx(exact, rel=1e-12)


def test_a_prompt_without_scored_tokens_is_an_error_that_names_its_row() -> None:
    with pytest.raises(ValueError, match=r"\[1\]"):
        prompt_perplexity(torch.zeros(2, 3), torch.tensor([[1, 1, 1], [0, 0, 0]]))
