"""Prompts and candidates for tests of who gets rollouts: a row, a length, a perplexity, and nothing else."""

from __future__ import annotations

from prepo_rlhf.prompts.prompt import Prompt
from prepo_rlhf.selection.base import Candidate


def make_prompt(row: int, num_tokens: int = 0) -> Prompt:
    return Prompt(f"prompt {row}", [0] * num_tokens, (1, num_tokens), label=str(row), row=row)


def make_candidate(row: int, num_tokens: int = 0, perplexity: float | None = None) -> Candidate:
    return Candidate(make_prompt(row, num_tokens), perplexity)
