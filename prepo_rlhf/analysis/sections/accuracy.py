"""Held-out accuracy against what it cost: rollouts, and generated tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prepo_rlhf.analysis.groups import Group
from prepo_rlhf.analysis.section import Picture, Section, file_name
from prepo_rlhf.analysis.sections.curves import curves
from prepo_rlhf.analysis.series import evaluations, long_table
from prepo_rlhf.analysis.style import Look, png

TITLE = "Held-out accuracy"
READING = (
    "A row for each evaluation set: mean accuracy of its samples (avg@n) against the rollouts generated for training, "
    "and against their tokens. The further up and to the left a curve runs, the less its accuracy cost. Of several "
    "seeds the bold line is the mean, as far as all of them have come; each thin line is a seed, and the band runs "
    "from the lowest to the highest, here and in the figures below."
)


def section(groups: Sequence[Group], shown: Mapping[str, Look]) -> Section:
    """Two panels for each evaluation set."""
    metrics = evaluations(groups)
    if not metrics:
        return Section(TITLE, READING, absent="None of the runs has been evaluated (--eval.dataset, --eval.steps).")
    table = long_table(groups, metrics)
    pictures = []
    for metric in metrics:
        name = metric.removeprefix("eval/")
        for x in ("rollouts", "tokens"):
            figure = curves(table[table["metric"] == metric], shown, f"{name} by {x}", x, ylabel="accuracy")
            alt = f"Curves of {name} against {x} generated"
            pictures.append(Picture(file_name("accuracy", name, x), alt, png(figure)))
    return Section(TITLE, READING, pictures=pictures, columns=2, data={"accuracy": table})
