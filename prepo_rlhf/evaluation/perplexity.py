"""Correlation of prompts' perplexity and pass rate (PREPO, arXiv 2511.00794).

Boundary: asks engines for scores; from samples to numbers, a Markdown table and a figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from prepo_rlhf.analysis.correlation import by_length, length_edges
from prepo_rlhf.analysis.section import file_name
from prepo_rlhf.analysis.sections.pass_rate import panel
from prepo_rlhf.analysis.style import house_style, looks
from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.evaluation.sample_log import ProblemKey, SampleLog, SampleRows
from prepo_rlhf.evaluation.table import ABSENT, markdown_table
from prepo_rlhf.evaluation.tasks import Task

PERPLEXITY, LENGTH = "perplexity", "prompt_tokens"  # names in the rows of samples


def check_perplexity(tasks: Sequence[Task], log: SampleLog) -> None:
    """Raise ConfigError if a prompt can have no perplexity, or samples were made without it."""
    for task in tasks:
        if len(task.token_ids) < 2:
            raise ConfigError(
                f"--perplexity: the prompt of problem {task.problem.id} of {task.benchmark} is a single token, which "
                "has none: give another --prompt, or leave the problem out"
            )
    if any(PERPLEXITY not in rows[0] for rows in log.done.values()):
        raise ConfigError("--perplexity: the samples in --output_dir were made without it; give another folder")


def score_prompts(engines: Sequence[Any], tasks: Sequence[Task]) -> dict[ProblemKey, dict[str, float]]:
    """Perplexity under the engines' weights, over all tokens but the first, and length in tokens of every prompt."""
    import torch

    from prepo_rlhf.algorithm.perplexity import prompt_perplexity
    from prepo_rlhf.ray.engine_calls import EngineCalls
    from prepo_rlhf.rollout.scoring import engine_log_probs

    scores = {}
    log_probs = engine_log_probs(EngineCalls(list(engines), same_batches=False), [task.token_ids for task in tasks])
    for task, values in zip(tasks, log_probs, strict=True):
        row = torch.tensor(values).unsqueeze(0)
        perplexity = prompt_perplexity(row, torch.ones_like(row)).item()
        scores[task.key] = {PERPLEXITY: perplexity, LENGTH: len(task.token_ids)}
    return scores


def prompt_table(problems: Sequence[SampleRows]) -> pd.DataFrame:
    """A row a problem: perplexity, reward (the mean score of its samples) and length of the prompt in tokens."""
    rows = [
        {"perplexity": rows[0][PERPLEXITY], "length": rows[0][LENGTH], "reward": fmean(row["score"] for row in rows)}
        for rows in problems
    ]
    return pd.DataFrame(rows)


def correlation_rows(prompts: pd.DataFrame) -> list[dict[str, Any]]:
    """Spearman's correlation over all prompts and within bins of length, as JSON takes it: None where undefined."""
    rows = by_length(prompts, length_edges(prompts["length"]))
    return [row._asdict() | {"spearman": None if math.isnan(row.spearman) else row.spearman} for row in rows]


def correlation_table(correlations: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Markdown of `correlation_rows` of each benchmark; ends with a newline."""
    cells = [
        [name, row["prompts"], str(row["number"]), ABSENT if row["spearman"] is None else f"{row['spearman']:+.2f}"]
        for name, rows in correlations.items()
        for row in rows
    ]
    table = markdown_table(["Benchmark", "Prompts", "Problems", "Spearman"], cells)
    return f"### Perplexity against pass rate\n\n{table}"


def draw(folder: Path, benchmark: str, prompts: pd.DataFrame) -> None:
    """Write perplexity_<benchmark>.png: a dot a problem, and the means of parts of equal size."""
    with house_style():
        png = panel(benchmark, {benchmark: prompts}, looks([benchmark]), prompts["perplexity"])
    (folder / f"{file_name('perplexity', benchmark)}.png").write_bytes(png)
