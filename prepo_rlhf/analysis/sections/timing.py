"""Where the time of a step goes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from prepo_rlhf.analysis.groups import Group
from prepo_rlhf.analysis.section import Picture, Section
from prepo_rlhf.analysis.series import long_table
from prepo_rlhf.analysis.style import COLOURS, legend_below, new_panel, png, wrap
from prepo_rlhf.files.step_rows import PHASES

TITLE = "Time by phase"
READING = (
    "A bar for each run: the median time of each phase of a step, one after the other. score_prompts is what selection "
    "costs; generation is what it saves, where fewer rollouts reach the same accuracy. With --train.async_enable "
    "generation runs beside training, and a step takes less than the bar's length. Evaluations are not counted."
)


def section(groups: Sequence[Group]) -> Section:
    """One panel of stacked bars."""
    table = long_table(groups, [f"timing/{phase}" for phase in PHASES])
    if table.empty:
        return Section(TITLE, READING, absent="None of the runs has made a step yet.")
    table = table.assign(phase=table["metric"].str.removeprefix("timing/"))
    medians = table.groupby(["group", "run", "seed", "phase"], sort=False)["value"].median().reset_index(name="seconds")
    picture = Picture("timing", "Stacked bars of the median seconds of each phase, for each run", png(_bars(medians)))
    return Section(TITLE, READING, pictures=[picture], columns=1, data={"timing": medians})


def _bars(medians: pd.DataFrame) -> Figure:
    wide = medians.pivot(index="run", columns="phase", values="seconds").loc[medians["run"].unique()]
    colours = {phase: colour for phase, colour in zip(PHASES, COLOURS, strict=False) if phase in wide}
    wide = wide[list(colours)].fillna(0.0)
    figure, axes = new_panel("Phases of the median step", height=1.2 + 0.22 * len(wide))
    starts = wide.cumsum(axis=1) - wide
    labels = [wrap(name) for name in wide.index]
    for phase, colour in colours.items():
        axes.barh(labels, wide[phase], left=starts[phase], color=colour, height=0.7)
    axes.invert_yaxis()
    axes.set(xlabel="seconds")
    axes.grid(axis="y", visible=False)
    legend_below(figure, {phase: Patch(color=colour) for phase, colour in colours.items()})
    return figure
