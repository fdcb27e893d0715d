"""Where the time of a step goes, and when a job started its actors again or replaced an engine."""

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
FAULTS = {"restart": ("run/restarts", "X"), "engine replaced": ("run/engines_replaced", "o")}  # metric, marker


def section(groups: Sequence[Group]) -> Section:
    """One panel of stacked bars; and one of the faults that the runs got over, where there were any."""
    table = long_table(groups, [f"timing/{phase}" for phase in PHASES])
    if table.empty:
        return Section(TITLE, READING, absent="None of the runs has made a step yet.")
    table = table.assign(phase=table["metric"].str.removeprefix("timing/"))
    medians = table.groupby(["group", "run", "seed", "phase"], sort=False)["value"].median().reset_index(name="seconds")
    picture = Picture("timing", "Stacked bars of the median seconds of each phase, for each run", png(_bars(medians)))
    faults = table_of_runs(groups, _faults)
    if not faults["count"].any():
        return Section(TITLE, READING, pictures=[picture], columns=1, data={"timing": medians})
    alt = "A line a run, as long as its steps took, and a mark at each step before which a part of it started again"
    pictures = [picture, Picture("faults", alt, png(_marks(faults)))]
    reading = (
        f"{READING} A cross is a restart after the death of a process or node, a dot an engine that was replaced "
        "alone; events.jsonl says why."
    )
    return Section(TITLE, reading, pictures=pictures, columns=1, data={"timing": medians, "faults": faults})


def _faults(run: Run) -> pd.DataFrame:
    """Minutes of training up to each step, and how many faults of each kind were got over before or in it; rows of its
    start, of each step that had some, and of its end."""
    steps = run.steps
    minutes = steps.reindex(columns=[f"timing/{phase}" for phase in PHASES]).sum(axis=1).cumsum() / 60
    began = minutes.shift(fill_value=0.0)
    ends = pd.DataFrame({"step": steps["step"], "minutes": began, "fault": "", "count": 0}).iloc[:1]
    tables = [ends, ends.assign(step=steps["step"].iloc[-1], minutes=minutes.iloc[-1])]
    for fault, (metric, _) in FAULTS.items():
        total = steps[metric].fillna(0) if metric in steps else pd.Series(0, index=steps.index)
        more = total.diff().fillna(total).clip(lower=0)
        table = pd.DataFrame({"step": steps["step"], "minutes": began, "fault": fault, "count": more})
        tables.insert(-1, table[more > 0])
    return pd.concat(tables, ignore_index=True)


def _marks(faults: pd.DataFrame) -> Figure:
    runs = list(faults["run"].unique())
    figure, axes = new_panel("Faults that were got over", height=1.0 + 0.22 * len(runs))
    for place, (_, run) in enumerate(faults.groupby("run", sort=False)):
        axes.plot(run["minutes"], [place] * len(run), color=COLOURS[0])
        for fault, (_, marker) in FAULTS.items():
            marked = run[run["fault"] == fault]
            axes.plot(marked["minutes"], [place] * len(marked), marker, color=COLOURS[1], markersize=8)
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
