"""Where the time of a step goes, and when a job started its actors again."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from prepo_rlhf.analysis.groups import Group, table_of_runs
from prepo_rlhf.analysis.runs import Run
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
RESTARTS = "run/restarts"


def section(groups: Sequence[Group]) -> Section:
    """One panel of stacked bars; and one of restarts, where there were any."""
    table = long_table(groups, [f"timing/{phase}" for phase in PHASES])
    if table.empty:
        return Section(TITLE, READING, absent="None of the runs has made a step yet.")
    table = table.assign(phase=table["metric"].str.removeprefix("timing/"))
    medians = table.groupby(["group", "run", "seed", "phase"], sort=False)["value"].median().reset_index(name="seconds")
    picture = Picture("timing", "Stacked bars of the median seconds of each phase, for each run", png(_bars(medians)))
    restarts = table_of_runs(groups, _restarts)
    if not restarts["count"].any():
        return Section(TITLE, READING, pictures=[picture], columns=1, data={"timing": medians})
    alt = "A line a run, as long as its steps took, and a cross at each step before which its actors started again"
    pictures = [picture, Picture("restarts", alt, png(_marks(restarts)))]
    reading = f"{READING} A cross is a restart after the death of a process or node; events.jsonl says why."
    return Section(TITLE, reading, pictures=pictures, columns=1, data={"timing": medians, "restarts": restarts})


def _restarts(run: Run) -> pd.DataFrame:
    """Minutes of training up to each step, and how many restarts were before it; rows of its start, of each step that
    had some, and of its end."""
    steps = run.steps
    minutes = steps.reindex(columns=[f"timing/{phase}" for phase in PHASES]).sum(axis=1).cumsum() / 60
    total = steps[RESTARTS].fillna(0) if RESTARTS in steps else pd.Series(0, index=steps.index)
    began, more = minutes.shift(fill_value=0.0), total.diff().fillna(total).clip(lower=0)
    table = pd.DataFrame({"step": steps["step"], "minutes": began, "count": more})
    last = pd.DataFrame({"step": [steps["step"].iloc[-1]], "minutes": [minutes.iloc[-1]], "count": [0]})
    return pd.concat([table[(table["count"] > 0) | (table.index == table.index[0])], last], ignore_index=True)


def _marks(restarts: pd.DataFrame) -> Figure:
    runs = list(restarts["run"].unique())
    figure, axes = new_panel("Restarts", height=1.0 + 0.22 * len(runs))
    for place, (_, run) in enumerate(restarts.groupby("run", sort=False)):
        axes.plot(run["minutes"], [place] * len(run), color=COLOURS[0])
        marked = run[run["count"] > 0]
        axes.plot(marked["minutes"], [place] * len(marked), "X", color=COLOURS[1], markersize=8)
    axes.set(xlabel="minutes of training", yticks=range(len(runs)), yticklabels=[wrap(name) for name in runs])
    axes.set_ylim(len(runs) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    return figure


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
