"""Named prompt templates: in training they give the very prompts that the benchmarks give."""

from __future__ import annotations

import pytest
from tiny_tasks import gpu_config

from prepo_rlhf.config import from_dict
from prepo_rlhf.config.input_template import around_question
from prepo_rlhf.config.prompt_templates import TEMPLATES
from prepo_rlhf.prompts.render import benchmark_renderer

QUESTION = "What is $\\frac{1}{2}$ of {} and {question}?"  # braces and placeholders are text


@pytest.mark.parametrize("name", TEMPLATES)
def test_training_and_benchmarks_read_the_same(name: str) -> None:
    config = gpu_config(from_dict({"data": {"input_template": name}}))
    prompt = QUESTION.join(around_question(config.data.input_template))
    assert prompt == benchmark_renderer(name, tokenizer=None)(QUESTION)
    assert "\\boxed{}" in prompt and QUESTION in prompt
