"""Predicted against observed pass rates: whether a selector that predicts them may be believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from prepo_rlhf.analysis.correlation import THIRDS, with_thirds
from prepo_rlhf.analysis.groups import Group, table_of_runs
from prepo_rlhf.analysis.section import Section, Table, group_pictures, spread
from prepo_rlhf.analysis.style import Look, legend_below, line_handles, looks, new_panel, png

TITLE = "Predicted pass rates"
READING = (
    "Reliability diagrams: the selected prompts in ten parts by the pass rate that the selector predicted before their "
    "rollouts, and the mean reward that each part then had; on the dotted line predictions are right on average. The "
    "calibration error is the mean distance from that line, weighted by the prompts of a part; the mean squared error "
    "also holds the chance of a group of few rollouts. Thirds are of the steps made so far."
)
BINS = 10


class Reliability(NamedTuple):
    """How predictions and rewards of `number` prompts agree."""

    number: int
    predicted: float
    observed: float
    calibration_error: float
    squared_error: float


def section(groups: Sequence[Group]) -> Section:
    """A table of errors, and a reliability diagram for each group whose selector predicts."""
    predicted = [Group(group.name, tuple(run for run in group.runs if _known(run.prompts))) for group in groups]
    predicted = [group for group in predicted if group.runs]
    if not predicted:
        return Section(TITLE, READING, absent="None of the runs has recorded predicted pass rates (prompts.jsonl).")
    prompts = table_of_runs(predicted, lambda run: with_thirds(run.prompts.dropna(subset=["predicted"])))
    columns = ["group", "run", "seed", "step", "third", "row", "predicted", "reward"]
    alt = "Mean reward against predicted pass rate, by thirds of training"
    pictures = group_pictures(prompts, "predictions", alt, _draw)
    return Section(TITLE, READING, table=_table(prompts), pictures=pictures, data={"predictions": prompts[columns]})


def reliability(prompts: pd.DataFrame) -> Reliability:
    """Means and errors of prompts with the columns predicted and reward.

    The calibration error is sum_b n_b / N |mean predicted - mean reward| over the parts that `bin_means` makes.
    """
    means = bin_means(prompts)
    share = means["number"] / len(prompts)
    distance = (means["predicted"] - means["reward"]).abs()
    squared = (prompts["predicted"] - prompts["reward"]).pow(2).mean()
    return Reliability(
        len(prompts), prompts["predicted"].mean(), prompts["reward"].mean(), float((share * distance).sum()), squared
    )


def bin_means(prompts: pd.DataFrame) -> pd.DataFrame:
    """Mean prediction, mean reward and number of prompts of each tenth of [0, 1] in which there are predictions."""
    tenth = np.minimum((prompts["predicted"] * BINS).astype(int), BINS - 1)
    parts = prompts.groupby(tenth)
    return parts[["predicted", "reward"]].mean().assign(number=parts.size())


def _known(prompts: pd.DataFrame) -> bool:
    return bool(prompts["predicted"].notna().any())


def _draw(name: str, prompts: pd.DataFrame) -> bytes:
    figure, axes = new_panel(f"Predictions of {name}")
    axes.plot([0, 1], [0, 1], ":", color="grey")
    shown: dict[str, Look] = {}
    for third, look in looks(THIRDS).items():
        if len(part := prompts[prompts["third"] == third]):
            means, shown[third] = bin_means(part), look
            axes.plot(means["predicted"], means["reward"], look.dashes, color=look.colour, marker="o", markersize=4)
    axes.set(xlabel="predicted pass rate", ylabel="mean reward", xlim=(0, 1), ylim=(-0.03, 1.03))
    legend_below(figure, line_handles(shown))
    return png(figure)


def _table(prompts: pd.DataFrame) -> Table:
    rows = []
    for name, of_group in prompts.groupby("group", sort=False):
        thirds = [(third, of_group[of_group["third"] == third]) for third in THIRDS]
        for third, part in (("whole run", of_group), *thirds):
            of_runs = [reliability(run) for _, run in part.groupby("run", sort=False)]
            if of_runs:
                values = list(zip(*of_runs, strict=True))
                cells = [spread(column, "{:.3f}".format) for column in values[1:]]
                rows.append([str(name), third, f"{sum(values[0]):,}", *cells])
    header = ["Runs", "Third", "Prompts", "Mean predicted", "Mean reward", "Calibration error", "Mean squared error"]
    return Table(header, rows, texts=2)
