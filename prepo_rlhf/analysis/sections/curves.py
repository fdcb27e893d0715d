"""Curves of groups of runs: the mean of a group bold, its seeds thin, the range between them as a band."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from prepo_rlhf.analysis.series import mean_curve
from prepo_rlhf.analysis.style import Look, legend_below, line_handles, new_panel

LABELS = {"step": "step", "rollouts": "rollouts generated", "tokens": "response tokens generated"}
LEAST_HEIGHT = 0.02  # of a panel, in relation to its values
MOST_MARKED = 7  # curves; with more, markers at the points would hide the dashes


def curves(
    table: pd.DataFrame,
    shown: Mapping[str, Look],
    title: str,
    x: str,
    y: str = "value",
    ylabel: str = "",
    limits: tuple[float, float] | None = None,
) -> Figure:
    """One panel of one metric: `y` over `x` (step, rollouts or tokens), columns of its `long_table`.

    `shown` has every group of the report; those without rows are left out. If `y` is not `value`, the values themselves
    are faint dots.
    """
    present = {name: look for name, look in shown.items() if (table["group"] == name).any()}
    figure, axes = new_panel(title)
    faint = 1 / (1 + len(present) / 4)
    marker = "o" if x != "step" and len(present) <= MOST_MARKED else ""
    for name, look in present.items():
        rows = table[table["group"] == name]
        if y != "value":
            axes.plot(rows[x], rows["value"], ".", color=look.colour, alpha=0.5 * faint, markersize=3, linewidth=0)
        mean = mean_curve(rows, x, y)
        seeds = [run for _, run in rows.groupby("run", sort=False)]
        if len(seeds) > 1:
            axes.fill_between(mean.index, mean["low"], mean["high"], color=look.colour, alpha=0.18 * faint, linewidth=0)
            for run in seeds:
                axes.plot(run[x], run[y], look.dashes, color=look.colour, linewidth=0.6, alpha=0.5 * faint)
        axes.plot(mean.index, mean["mean"], look.dashes, color=look.colour, linewidth=1.7, marker=marker, markersize=3)
    axes.set(xlabel=LABELS[x], ylabel=ylabel, ylim=limits or _limits(axes))
    if x != "step":
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    legend_below(figure, line_handles(present))
    return figure


def _limits(axes: Axes) -> tuple[float, float]:
    """matplotlib's limits, but never so narrow that rounding errors of a constant fill the panel."""
    low, high = axes.get_ylim()
    least = LEAST_HEIGHT * max(abs(low), abs(high))
    return (low, high) if high - low >= least else ((low + high - least) / 2, (low + high + least) / 2)
