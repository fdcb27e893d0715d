"""Prompts and candidates for tests of who gets rollouts: a row, a length, a perplexity, and nothing else."""

from __future__ import annotations

from prepo_rlhf.prompts.prompt import Prompt
from prepo_rlhf.selection.base import Candidate


def make_prompt(row: int, num_tokens: int = 0) -> Prompt:
    rates = (row * 7 % 10 / 20, 0.5 + row * 3 % 10 / 20)  # of reference models, for those that ask for them
    return Prompt(f"prompt {row}", [0] * num_tokens, (1, num_tokens), str(row), row, reference_rates=rates)


def make_candidate(
    row: int, num_tokens: int = 0, perplexity: float | None = None, entropy: float | None = None
) -> Candidate:
    return Candidate(make_prompt(row, num_tokens), perplexity, entropy)
