"""Problems as prompts: rendered, tokenized, with the number of tokens left for the response.

Boundary: starts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.evaluation.benchmarks import Problem
from prepo_rlhf.evaluation.options import BenchmarkOptions
from prepo_rlhf.prompts.render import ChatError, PromptStyle, truncate_question


class Task(NamedTuple):
    """A problem as a model reads it, and how long its response may be (tokens)."""

    benchmark: str
    problem: Problem
    prompt: str
    token_ids: list[int]
    max_new_tokens: int

    @property
    def key(self) -> tuple[str, str]:
        """Names the problem among those of all benchmarks."""
        return self.benchmark, self.problem.id


def make_tasks(
    problems: Mapping[str, Sequence[Problem]],
    tokenizer: PreTrainedTokenizerBase,
    style: PromptStyle,
    options: BenchmarkOptions,
    context: int,
) -> list[Task]:
    """All problems of all benchmarks; a response gets what the model's `context` (tokens) leaves, up to
    `--max_new_tokens`. Raises ConfigError for a tokenizer without the chat template that `style` asks for, or a
    problem that fills the context alone."""
    render = style.renderer(tokenizer)
    tasks = []
    for benchmark, members in problems.items():
        for problem in members:
            try:
                prompt = render(truncate_question(problem.question, options.truncate_prompts))
            except ChatError as error:
                raise ConfigError(f"{style.option}: for problem {problem.id} of {benchmark}, {error}") from error
            token_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
            room = min(options.max_new_tokens, context - len(token_ids))
            if room < 1:
                raise ConfigError(
                    f"--benchmarks {benchmark}: problem {problem.id} has {len(token_ids)} tokens, and {options.model} "
                    f"reads {context} with the response: use another model or --prompt, or leave the problem out"
                )
            tasks.append(Task(benchmark, problem, prompt, token_ids, room))
    return tasks
