"""Prompt perplexity against pass rate: whether the perplexity that selectors rank by predicts difficulty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from prepo_rlhf.analysis.correlation import ALL, THIRDS, WITHIN_STEPS, correlations, scored_prompts
from prepo_rlhf.analysis.groups import Group
from prepo_rlhf.analysis.section import Section, Table, group_pictures, spread
from prepo_rlhf.analysis.style import Look, legend_below, line_handles, looks, new_panel, perplexity_axis, png

TITLE = "Perplexity against pass rate"
READING = (
    "Spearman's rank correlation of a prompt's perplexity and the mean reward of its rollouts: -1 if a higher "
    "perplexity always means a lower reward, 0 if it tells nothing; PREPO's authors found -0.17 to -0.23. Thirds are "
    "of the steps made so far. “Within steps” is the mean over single steps, which have one policy and one window; "
    "the bins of length show what is left where length cannot explain it. Only prompts that were selected are counted, "
    "so a selector with a narrow window leaves little to correlate. In the figures a dot is a prompt; a line joins the "
    "means of up to ten parts of equal size."
)
PARTS = 10
FEWEST = 10  # prompts in a part
MOST_DOTS = 5000
MISSING_LENGTHS = " Prompt lengths were not recorded by these runs, so there are no bins."


def section(groups: Sequence[Group]) -> Section:
    """A table of correlations, and a panel for each group that has recorded perplexities."""
    table = correlations(groups)
    if table.empty:
        absent = "None of the runs has recorded perplexities of prompts that got rollouts (prompts.jsonl)."
        return Section(TITLE, READING, absent=absent)
    prompts = scored_prompts(groups)

    def draw(name: str, rows: pd.DataFrame) -> bytes:
        parts = {third: part for third in THIRDS if len(part := rows[rows["third"] == third])}
        return panel(f"Pass rates of {name}", parts, looks(THIRDS), prompts["perplexity"])

    alt = "Mean reward against perplexity of prompts, by thirds of training"
    pictures = group_pictures(prompts, "pass_rate", alt, draw)
    reading = READING + MISSING_LENGTHS * bool(prompts["length"].isna().all())
    data = {"correlations": table, "prompts": prompts}
    return Section(TITLE, reading, table=_table(table), pictures=pictures, data=data)


def panel(title: str, parts: Mapping[str, pd.DataFrame], shown: Mapping[str, Look], perplexities: pd.Series) -> bytes:
    """Mean reward against perplexity, as PNG, with a curve of the prompts (perplexity, reward) of each of `parts`; the
    axis holds all `perplexities`, so that panels compare."""
    figure, axes = new_panel(title)
    strength = min(0.5, max(0.15, 200 / sum(map(len, parts.values()))))
    for name, prompts in parts.items():
        colour = shown[name].colour
        few = prompts.sample(min(len(prompts), MOST_DOTS // len(parts)), random_state=0)
        jitter = np.random.default_rng(0).uniform(-0.015, 0.015, len(few))  # rewards of n rollouts have few values
        axes.plot(few["perplexity"], few["reward"] + jitter, ".", color=colour, alpha=strength, markersize=3)
    for name, prompts in parts.items():
        means = part_means(prompts)
        axes.plot(
            means["perplexity"], means["reward"], shown[name].dashes, color=shown[name].colour, marker="o", markersize=4
        )
    axes.set(xlabel="prompt perplexity", ylabel="mean reward of its rollouts")
    perplexity_axis(axes, "x", perplexities)
    if len(parts) > 1:
        legend_below(figure, line_handles({name: shown[name] for name in parts}))
    return png(figure)


def part_means(prompts: pd.DataFrame) -> pd.DataFrame:
    """Median perplexity and mean reward of up to PARTS parts of about equal size, in the order of perplexity."""
    ordered = prompts.sort_values("perplexity")
    number = max(1, min(PARTS, len(ordered) // FEWEST))
    part = np.arange(len(ordered)) * number // len(ordered)
    return ordered.groupby(part).agg({"perplexity": "median", "reward": "mean"})


def _table(table: pd.DataFrame) -> Table:
    bins = list(dict.fromkeys(table["prompts"]))
    titles = {ALL: "All prompts", WITHIN_STEPS: "Within steps"}
    rows = []
    for (name, third), part in table.groupby(["group", "third"], sort=False):
        number = part.loc[part["prompts"] == ALL, "number"].sum()
        cells = [spread(part.loc[part["prompts"] == one, "spearman"].tolist(), _signed) for one in bins]
        rows.append([name, "whole run" if third == ALL else third, f"{number:,}", *cells])
    return Table(["Runs", "Third", "Prompts", *(titles.get(name, name) for name in bins)], rows, texts=2)


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}"  # adding 0 turns -0 into 0
