"""The table of runs: options, steps made, cost in rollouts and tokens, accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from prepo_rlhf.analysis.groups import Group, differing_options, table_of_runs
from prepo_rlhf.analysis.runs import ROLLOUTS, TOKENS, Run
from prepo_rlhf.analysis.section import Section, Table, spread
from prepo_rlhf.analysis.series import area, evaluations, long_table
from prepo_rlhf.files.step_rows import PHASES

MODEL = "actor.model_name_or_path"
ALWAYS_SHOWN = {
    MODEL: "Model",
    "prepo.selector": "Selector",
    "prepo.pacing": "Pacing",
    "prepo.entropy_weight": "Weights",
}
PARTS = ("first", "last", "area")
ZERO_ADVANTAGE = "signal/zero_advantage_ratio"


def section(groups: Sequence[Group]) -> Section:
    """Always there: a run that has recorded anything has a row."""
    runs = [run for group in groups for run in group.runs]
    others = [name for name in differing_options(runs) if name not in ALWAYS_SHOWN]
    curves = {metric: long_table(groups, [metric]) for metric in evaluations(groups)}
    budgets = {metric: _budget(table) for metric, table in curves.items()}

    def numbers_of(run: Run) -> pd.DataFrame:
        row = _numbers(run, [*ALWAYS_SHOWN, *others])
        for metric, table in curves.items():
            row |= _accuracy(metric, table[table["run"] == run.name], *budgets[metric])
        return pd.DataFrame([row])

    numbers = table_of_runs(groups, numbers_of)
    reading = (
        "One row for each curve of this page, with the folders of its runs. Runs are one curve if they differ only in "
        "train.seed: all options under prepo, algo, rollout, actor, data, reward and train must be equal, unless "
        "--group says otherwise. Of several seeds the mean is shown, and below it the lowest and the highest. "
        f"{_explain_area(budgets)}Zero advantage is the mean zero-advantage ratio of the steps, scoring share the time "
        "of scoring prompts in that of all their phases. Any other options in which the runs differ come last."
    )
    return Section("Runs", reading, table=_table(groups, numbers, others, budgets), data={"runs": numbers})


def _numbers(run: Run, options: Sequence[str]) -> dict[str, Any]:
    steps = run.steps
    phases = steps.reindex(columns=[f"timing/{phase}" for phase in PHASES]).sum()
    signals = steps[ZERO_ADVANTAGE].mean() if ZERO_ADVANTAGE in steps else float("nan")
    return {
        "folder": str(run.folder),
        **{name: "none" if run.options[name] is None else str(run.options[name]) for name in options},
        "steps": float(steps["step"].max()),
        "rollouts": float(steps[ROLLOUTS].max()),
        "tokens": float(steps[TOKENS].max()),
        "zero_advantage_ratio": float(signals),
        "scoring_share": float(phases["timing/score_prompts"] / phases.sum()) if phases.sum() else float("nan"),
    }


def _budget(table: pd.DataFrame) -> tuple[float, float]:
    """The range of rollouts that all runs with two evaluations or more have in common."""
    curves = [run["rollouts"] for _, run in table.groupby("run") if len(run) > 1]
    return max((curve.iloc[0] for curve in curves), default=0.0), min((curve.iloc[-1] for curve in curves), default=0.0)


def _accuracy(metric: str, curve: pd.DataFrame, start: float, stop: float) -> dict[str, float]:
    values = curve["value"].tolist() or [float("nan")]
    numbers = (values[0], values[-1], area(curve, start, stop))
    return {f"{metric} {part}": number for part, number in zip(PARTS, numbers, strict=True)}


def _explain_area(budgets: dict[str, tuple[float, float]]) -> str:
    ranges = {(start, stop) for start, stop in budgets.values() if stop > start}
    if not ranges:
        return ""
    shown = " or ".join(f"{start:,.0f} to {stop:,.0f}" for start, stop in sorted(ranges))
    return (
        "The area under the accuracy curve is the mean accuracy over the rollouts that all runs evaluated twice or "
        f"more have in common ({shown}): higher means better, earlier or both, at the same budget. "
    )


def _table(groups: Sequence[Group], numbers: pd.DataFrame, others: Sequence[str], metrics: Iterable[str]) -> Table:
    """A row for each group; the options that are always shown come first, `others` last."""
    columns = {"steps": ("Steps", "{:,.0f}"), "rollouts": ("Rollouts", "{:,.0f}"), "tokens": ("Tokens", "{:,.0f}")}
    for metric in metrics:
        columns |= {f"{metric} {part}": (f"{metric.removeprefix('eval/')} {part}", "{:.3f}") for part in PARTS}
    columns["zero_advantage_ratio"] = "Zero advantage", "{:.2f}"
    columns["scoring_share"] = "Scoring share", "{:.1%}"
    words = ["Runs, folders", *ALWAYS_SHOWN.values(), "Seeds"]
    rows = []
    for group in groups:
        members = numbers[numbers["group"] == group.name]
        options, seeds = _values(members.assign(**{MODEL: members[MODEL].map(_end)}), ALWAYS_SHOWN), members["seed"]
        row = ["\n".join([group.name, *members["folder"]]), *options, ", ".join(map(str, seeds))]
        row += [spread(members[name].tolist(), shape.format) for name, (_, shape) in columns.items()]
        rows.append([*row, *_values(members, others)])
    return Table([*words, *(heading for heading, _ in columns.values()), *others], rows, texts=len(words))


def _end(model: str) -> str:
    """A model's name, or the end of its path; whole it is in the CSV file."""
    return "/".join(Path(model).parts[-2:])


def _values(members: pd.DataFrame, options: Iterable[str]) -> list[str]:
    return [", ".join(dict.fromkeys(members[name])) for name in options]
