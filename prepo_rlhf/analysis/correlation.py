"""Perplexity against pass rate: Spearman's rank correlation, in parts of training and among prompts of like length.

Boundary: tables of prompts in, tables of numbers out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from prepo_rlhf.analysis.groups import Group, table_of_runs

THIRDS = ("start", "middle", "end")
ALL = "all"
WITHIN_STEPS = "within steps"
LENGTH_BINS = 3
FEWEST = 10  # prompts; with fewer, a rank correlation means nothing


class Correlation(NamedTuple):
    """Spearman's correlation among `number` prompts; `prompts` says which."""

    prompts: str
    number: int
    spearman: float


def with_thirds(prompts: pd.DataFrame) -> pd.DataFrame:
    """A run's prompts with a column `third`: start, middle or end of the steps made so far."""
    thirds = (prompts["step"].astype(int) - 1) * len(THIRDS) // prompts["step"].max()
    return prompts.assign(third=[THIRDS[third] for third in thirds])


def spearman(perplexities: pd.Series, rewards: pd.Series) -> float:
    """Rank correlation; NaN for fewer than FEWEST prompts, or where one side is constant."""
    if len(perplexities) < FEWEST or perplexities.nunique() == 1 or rewards.nunique() == 1:
        return float("nan")
    return float(stats.spearmanr(perplexities, rewards).statistic)


def step_correlations(prompts: pd.DataFrame) -> pd.Series:
    """Spearman's correlation among the prompts of each step, by step; steps with a constant side are left out."""
    ranks = prompts.groupby("step")[["perplexity", "reward"]].rank()
    return ranks["perplexity"].groupby(prompts["step"]).corr(ranks["reward"]).dropna()


def length_edges(lengths: pd.Series) -> list[int]:
    """Upper ends of all bins but the last, for bins of about equal size; fewer bins where few lengths differ."""
    quantiles = lengths.dropna().quantile([i / LENGTH_BINS for i in range(1, LENGTH_BINS)])
    edges = sorted({int(np.floor(value)) for value in quantiles.dropna()})
    return [edge for edge in edges if lengths.min() <= edge < lengths.max()]


def bin_names(edges: Sequence[int]) -> list[str]:
    """What the bins between `edges` are called."""
    if not edges:
        return []
    between = [f"{low + 1}-{high} tokens" for low, high in zip(edges, edges[1:], strict=False)]
    return [f"up to {edges[0]} tokens", *between, f"over {edges[-1]} tokens"]


def correlations(groups: Sequence[Group]) -> pd.DataFrame:
    """Correlations of every run: group, run, seed, and by third (start, middle, end, all) those of all its prompts, of
    each bin of their length (the same bins for every run), and `within steps`, the mean of the steps' correlations."""
    scored = scored_prompts(groups)
    edges = length_edges(scored["length"])
    rows = [
        {"group": group, "run": run, "seed": seed, "third": third, **row._asdict()}
        for (group, run, seed), prompts in scored.groupby(["group", "run", "seed"], sort=False)
        for third in (*THIRDS, ALL)
        for row in _of_part(prompts if third == ALL else prompts[prompts["third"] == third], edges)
    ]
    return pd.DataFrame(rows, columns=["group", "run", "seed", "third", "prompts", "number", "spearman"])


def scored_prompts(groups: Sequence[Group]) -> pd.DataFrame:
    """Every prompt that got rollouts and has a perplexity: group, run, seed, step, row, length, reward, third."""
    return table_of_runs(groups, lambda run: with_thirds(run.prompts.dropna(subset="perplexity")))


def by_length(prompts: pd.DataFrame, edges: Sequence[int]) -> list[Correlation]:
    """The correlation over all `prompts` and in each bin of length."""
    codes = np.searchsorted(edges, prompts["length"])
    bins = {name: prompts[(codes == code) & prompts["length"].notna()] for code, name in enumerate(bin_names(edges))}
    bins = {ALL: prompts} | bins
    return [Correlation(name, len(part), spearman(part["perplexity"], part["reward"])) for name, part in bins.items()]


def _of_part(prompts: pd.DataFrame, edges: Sequence[int]) -> list[Correlation]:
    overall, *bins = by_length(prompts, edges)
    return [overall, Correlation(WITHIN_STEPS, len(prompts), float(step_correlations(prompts).mean())), *bins]
