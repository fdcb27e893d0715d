"""Metrics over the steps of training: learning signal, entropy of the policy, weights of the rollouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from prepo_rlhf.analysis.groups import Group
from prepo_rlhf.analysis.section import Picture, Section, file_name
from prepo_rlhf.analysis.sections.curves import curves
from prepo_rlhf.analysis.series import long_table, smoothed
from prepo_rlhf.analysis.style import Look, png


class Metrics(NamedTuple):
    """What a section shows: metric -> title of its panel, and the name of its files."""

    title: str
    reading: str
    file: str
    panels: Mapping[str, str]
    limits: tuple[float, float] | None = None
    columns: int = 3


SIGNALS = Metrics(
    "Learning signal",
    "Shares of a step's prompts whose rollouts all earn the same reward, so that their advantages are 0 and they "
    "teach nothing; and of those that every rollout, or none, has solved. A lower zero-advantage ratio is better: "
    "fewer rollouts are wasted. Dots are steps; lines are the mean over a tenth of the run around them.",
    "signals",
    {
        "signal/zero_advantage_ratio": "Zero-advantage ratio",
        "signal/all_correct_ratio": "All-correct ratio",
        "signal/all_wrong_ratio": "All-wrong ratio",
    },
    limits=(-0.02, 1.02),
)
ENTROPY = Metrics(
    "Policy entropy",
    "Mean entropy of the policy over the responses of a step, in nats for each token. A fast fall towards 0 means "
    "that the policy has stopped exploring. Dots and lines are as above.",
    "entropy",
    {"prepo/entropy_mean": "Mean entropy of the rollouts"},
)
WEIGHTS = Metrics(
    "Rollout weights",
    "Weights of a step's rollouts: their entropy over the batch's mean entropy. A weight of 1 leaves a rollout as "
    "it is; PREPO's authors found most between 0.7 and 1.5. A growing deviation means that fewer rollouts decide "
    "the update. Runs without entropy weights stay at 1, with deviation 0. Dots and lines are as above.",
    "weights",
    {
        "prepo/weight_min": "Smallest weight",
        "prepo/weight_mean": "Mean weight",
        "prepo/weight_max": "Largest weight",
        "prepo/weight_std": "Standard deviation of the weights",
    },
    columns=2,
)


def section(groups: Sequence[Group], shown: Mapping[str, Look], of: Metrics) -> Section:
    """A panel for each metric that any run has recorded."""
    table = long_table(groups, list(of.panels))
    if table.empty:
        return Section(of.title, of.reading, absent=f"None of the runs has recorded {', '.join(of.panels)}.")
    table = smoothed(table)
    pictures = []
    for metric, rows in table.groupby("metric", sort=False):
        figure = curves(rows, shown, of.panels[str(metric)], "step", y="smoothed", limits=of.limits)
        pictures.append(Picture(file_name(of.file, metric), f"Curves of {metric} over steps", png(figure)))
    return Section(of.title, of.reading, pictures=pictures, columns=of.columns, data={of.file: table})
