"""Metrics over the steps of training: learning signal, entropy of the policy, weights of the rollouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prepo_rlhf.analysis.groups import Group
from prepo_rlhf.analysis.section import Picture, Section, file_name
from prepo_rlhf.analysis.sections.curves import curves
from prepo_rlhf.analysis.series import long_table, smoothed
from prepo_rlhf.analysis.style import Look, png

SHARE = (-0.02, 1.02)


def signals(groups: Sequence[Group], shown: Mapping[str, Look]) -> Section:
    """Three panels: shares of prompts whose rollouts teach nothing, all succeed, all fail."""
    reading = (
        "Shares of a step's prompts whose rollouts all earn the same reward, so that their advantages are 0 and they "
        "teach nothing; and of those that every rollout, or none, has solved. A lower zero-advantage ratio is better: "
        "fewer rollouts are wasted. Dots are steps; lines are the mean over a tenth of the run around them."
    )
    names = {
        "signal/zero_advantage_ratio": "Zero-advantage ratio",
        "signal/all_correct_ratio": "All-correct ratio",
        "signal/all_wrong_ratio": "All-wrong ratio",
    }
    return _section(groups, shown, "Learning signal", reading, "signals", names, limits=SHARE)


def entropy(groups: Sequence[Group], shown: Mapping[str, Look]) -> Section:
    """One panel."""
    reading = (
        "Mean entropy of the policy over the responses of a step, in nats for each token. A fast fall towards 0 means "
        "that the policy has stopped exploring. Dots and lines are as above."
    )
    names = {"prepo/entropy_mean": "Mean entropy of the rollouts"}
    return _section(groups, shown, "Policy entropy", reading, "entropy", names)


def weights(groups: Sequence[Group], shown: Mapping[str, Look]) -> Section:
    """Four panels: the smallest, mean and largest weight of each step, and their standard deviation."""
    reading = (
        "Weights of a step's rollouts: their entropy over the batch's mean entropy. A weight of 1 leaves a rollout as "
        "it is; PREPO's authors found most between 0.7 and 1.5. A growing deviation means that fewer rollouts decide "
        "the update. Runs without entropy weights stay at 1, with deviation 0. Dots and lines are as above."
    )
    names = {
        "prepo/weight_min": "Smallest weight",
        "prepo/weight_mean": "Mean weight",
        "prepo/weight_max": "Largest weight",
        "prepo/weight_std": "Standard deviation of the weights",
    }
    return _section(groups, shown, "Rollout weights", reading, "weights", names, columns=2)


def _section(
    groups: Sequence[Group],
    shown: Mapping[str, Look],
    title: str,
    reading: str,
    file: str,
    names: Mapping[str, str],
    limits: tuple[float, float] | None = None,
    columns: int = 3,
) -> Section:
    """A panel for each metric in `names`, which maps it to the panel's title."""
    table = long_table(groups, list(names))
    if table.empty:
        return Section(title, reading, absent=f"None of the runs has recorded {', '.join(names)}.")
    table = smoothed(table)
    pictures = []
    for metric, rows in table.groupby("metric", sort=False):
        figure = curves(rows, shown, names[str(metric)], "step", y="smoothed", limits=limits)
        pictures.append(Picture(file_name(file, metric), f"Curves of {metric} over steps", png(figure)))
    return Section(title, reading, pictures=pictures, columns=columns, data={file: table})
