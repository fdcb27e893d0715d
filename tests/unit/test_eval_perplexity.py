"""Perplexity against pass rate of a benchmark: numbers, table, figure, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prepo_rlhf.config import ConfigError
from prepo_rlhf.evaluation.benchmarks import Problem
from prepo_rlhf.evaluation.perplexity import (
    check_perplexity,
    correlation_rows,
    correlation_table,
    draw,
    prompt_table,
)
from prepo_rlhf.evaluation.sample_log import SampleLog
from prepo_rlhf.evaluation.tasks import Task


def rows(perplexity: float, tokens: int, *scores: float) -> list[dict[str, Any]]:
    return [{"perplexity": perplexity, "prompt_tokens": tokens, "score": score} for score in scores]


# Twelve short prompts, the higher their perplexity the lower their mean score, and twelve long ones, the other way.
SHORT = [rows(2 + i, 5, 1, 1 - i / 20) for i in range(12)]
LONG = [rows(2.5 + i, 9, 0, i / 20) for i in range(12)]


def test_prompt_table() -> None:
    table = prompt_table([rows(3.5, 7, 1, 0, 0, 0), rows(2.0, 4, 1, 1, 1, 0)])
    assert table.to_dict("list") == {"perplexity": [3.5, 2.0], "length": [7, 4], "reward": [0.25, 0.75]}


def test_correlations_by_length() -> None:
    whole, short, long = correlation_rows(prompt_table(SHORT + LONG))
    assert (whole["prompts"], whole["number"]) == ("all", 24) and abs(whole["spearman"]) < 0.5
    assert short == {"prompts": "up to 5 tokens", "number": 12, "spearman": pytest.approx(-1)}
    assert long == {"prompts": "over 5 tokens", "number": 12, "spearman": pytest.approx(1)}


def test_table() -> None:
    few = correlation_rows(prompt_table(SHORT[:2]))
    assert correlation_table({"a": correlation_rows(prompt_table(SHORT)), "b": few}) == (
        "### Perplexity against pass rate\n\n"
        "| Benchmark | Prompts | Problems | Spearman |\n| --- | ---: | ---: | ---: |\n"
        "| a | all | 12 | -1.00 |\n| b | all | 2 | – |\n"
    )


def test_figure(tmp_path: Path) -> None:
    draw(tmp_path, "my/set", prompt_table(SHORT))
    assert (tmp_path / "perplexity_my_set.png").read_bytes().startswith(b"\x89PNG")


def test_refuses_prompts_of_one_token_and_samples_without_perplexity(tmp_path: Path) -> None:
    log = SampleLog(tmp_path, {}, n=1)
    problem = Problem("p7", "x", "1", None, None)
    with pytest.raises(ConfigError, match="^--perplexity: the prompt of problem p7 of gsm8k is a single token"):
        check_perplexity([Task("gsm8k", problem, "x", [5], 4)], log)
    good = [Task("gsm8k", problem, "x y", [5, 6], 4)]
    check_perplexity(good, log)
    log.append(("gsm8k", "p7"), [{"benchmark": "gsm8k", "problem": "p7", "score": 1}])
    with pytest.raises(ConfigError, match="^--perplexity: the samples in --output_dir were made without it"):
        check_perplexity(good, log)
    log.close()
