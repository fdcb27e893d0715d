"""Which prompts got rollouts: how many different ones, and of which subjects or levels of difficulty."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from prepo_rlhf.analysis.correlation import THIRDS, with_thirds
from prepo_rlhf.analysis.groups import Group, table_of_runs
from prepo_rlhf.analysis.runs import Run
from prepo_rlhf.analysis.section import Picture, Section, group_pictures
from prepo_rlhf.analysis.sections.curves import curves
from prepo_rlhf.analysis.style import Look, legend_below, looks, new_panel, png, wrap
from prepo_rlhf.metrics.coverage import coverage

MOST_SUBJECTS = 25
TITLE = "Coverage"
READING = (
    "Different prompts that have got rollouts by each step. A curve that flattens goes back to prompts it has used, "
    "which it cannot in its first pass over the data."
)
READING_SUBJECTS = (
    " For each curve of this page, a panel shows how often prompts of each {key} were chosen in each third of the "
    "steps made so far: their share of the selections over their share of the dataset. 1 is as often as a random "
    "choice would, 2 is twice as often."
)


class Subjects(NamedTuple):
    """`key` is what the subjects are called, `of_rows` finds that of each row of a run's dataset."""

    key: str
    of_rows: Callable[[Run], Mapping[int, str]]


def section(groups: Sequence[Group], shown: Mapping[str, Look], subjects: Subjects | None) -> Section:
    """A panel of different prompts used, and with `subjects` a panel for each group."""
    used = prompts_used(groups)
    if used.empty:
        return Section(TITLE, READING, absent="None of the runs has recorded its prompts (prompts.jsonl).")
    figure = curves(used, shown, "Different prompts used", "step")
    pictures = [Picture("prompts_used", "Curves of different prompts used over steps", png(figure))]
    data, reading = {"prompts_used": used}, READING
    if subjects is not None:
        shares, key = subject_shares(groups, subjects), subjects.key
        data, reading = data | {"subjects": shares}, READING + READING_SUBJECTS.format(key=key)
        alt = f"Selections by {key} in relation to its share of the dataset, by thirds of training"
        pictures += group_pictures(shares, "subjects", alt, lambda name, rows: _panel(name, rows, key))
    return Section(TITLE, reading, pictures=pictures, data=data)


def prompts_used(groups: Sequence[Group]) -> pd.DataFrame:
    """Different rows of the dataset that got rollouts until each step: group, run, seed, step, value."""

    def used(run: Run) -> pd.DataFrame:
        known = run.prompts.dropna(subset="row")
        new = known.assign(value=~known["row"].duplicated())
        return new.groupby("step")["value"].sum().cumsum().reset_index()

    return table_of_runs(groups, used)


def subject_shares(groups: Sequence[Group], subjects: Subjects) -> pd.DataFrame:
    """Of every run by third and subject: prompts in the dataset, selections (a prompt as often as it was chosen), and
    their ratio: share of selections over share of the dataset."""

    def shares(run: Run) -> pd.DataFrame:
        of_row = {} if run.prompts.empty else subjects.of_rows(run)
        rows = [
            [third, name, one.prompts, one.selections, one.selections / len(part) * len(of_row) / one.prompts]
            for third, part in with_thirds(run.prompts).groupby("third", sort=False)
            for name, one in coverage(of_row, part["row"]).items()
        ]
        return pd.DataFrame(rows, columns=["third", "subject", "prompts", "selections", "ratio"])

    return table_of_runs(groups, shares).infer_objects()  # beside a run without prompts, numbers come as objects


def _panel(name: str, rows: pd.DataFrame, key: str) -> bytes:
    """The subjects with most prompts, each on a line of its own with a dot for each third; seeds are averaged."""
    most = rows.groupby("subject", sort=False)["prompts"].max().nlargest(MOST_SUBJECTS).index
    subjects = [subject for subject in rows["subject"].unique() if subject in most]
    means = rows.groupby(["third", "subject"])["ratio"].mean()
    shown = {third: look for third, look in looks(THIRDS).items() if third in means.index}
    figure, axes = new_panel(f"Selections of {name}", height=1.4 + 0.2 * len(subjects))
    axes.axvline(1, color="0.4", linewidth=1)
    labels = [wrap(subject) for subject in subjects]
    handles = {}
    for (third, look), marker in zip(shown.items(), "osD", strict=False):
        (handles[third],) = axes.plot(means[third].reindex(subjects), labels, marker, color=look.colour, markersize=4.5)
    axes.invert_yaxis()
    axes.set(xlabel="share of selections / share of dataset", ylabel=wrap(key), xlim=(0, None))
    legend_below(figure, handles)
    return png(figure)
