"""Metrics of many runs as one tidy table, and the mean of several runs as one curve.

Boundary: pandas in, pandas out; draws nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from prepo_rlhf.analysis.groups import Group, table_of_runs
from prepo_rlhf.analysis.runs import ROLLOUTS, TOKENS, Run

SMOOTHING = 10  # a smoothed value is the mean over one such part of the run's steps


def long_table(groups: Sequence[Group], metrics: Sequence[str]) -> pd.DataFrame:
    """group, run, seed, step, rollouts, tokens, metric, value; a row for each value that a step has."""

    def values(run: Run) -> pd.DataFrame:
        present = [metric for metric in metrics if metric in run.steps]
        wide = run.steps[["step", ROLLOUTS, TOKENS, *present]].rename(columns={ROLLOUTS: "rollouts", TOKENS: "tokens"})
        return wide.melt(id_vars=["step", "rollouts", "tokens"], var_name="metric").dropna(subset="value")

    return table_of_runs(groups, values)


def evaluations(groups: Sequence[Group]) -> list[str]:
    """Names of the metrics `eval/<set>/avg@<n>` that any run has."""
    names = [str(name) for group in groups for run in group.runs for name in run.steps]
    return [name for name in dict.fromkeys(names) if re.fullmatch(r"eval/.+/avg@\d+", name)]


def smoothed(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with a column `smoothed`: the centred mean over a tenth of the run's steps."""

    def mean_around(values: pd.Series) -> pd.Series:
        return values.rolling(max(1, len(values) // SMOOTHING), center=True, min_periods=1).mean()

    return table.assign(smoothed=table.groupby(["run", "metric"])["value"].transform(mean_around))


def mean_curve(table: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """Mean, lowest and highest `y` of the runs in `table`, over the range of `x` that all of them have reached.

    Between its points a run's curve is taken to be straight, so runs need not share them. The index is every x in that
    range at which any run has a point.
    """
    curves = [run.set_index(x)[y] for _, run in table.groupby("run", sort=False)]
    start, stop = max(curve.index[0] for curve in curves), min(curve.index[-1] for curve in curves)
    grid = np.unique(table[x].astype(float))
    grid = grid[(grid >= start) & (grid <= stop)]
    values = np.array([np.interp(grid, curve.index.astype(float), curve) for curve in curves])
    return pd.DataFrame({"mean": values.mean(0), "low": values.min(0), "high": values.max(0)}, index=grid)


def area(table: pd.DataFrame, start: float, stop: float) -> float:
    """Mean value of one run's curve over rollouts between `start` and `stop`; NaN if it does not reach that far."""
    x, y = table["rollouts"].to_numpy(float), table["value"].to_numpy(float)
    if len(x) < 2 or x[0] > start or x[-1] < stop or stop <= start:
        return float("nan")
    grid = np.unique(np.concatenate([[start], x[(x > start) & (x < stop)], [stop]]))
    return float(np.trapezoid(np.interp(grid, x, y), grid) / (stop - start))
