"""How often a training run chose the prompts of each subject: the diversity check of PREPO (arXiv 2511.00794)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class SubjectCoverage(NamedTuple):
    """One subject: its prompts in the dataset, how many of them got rollouts, and how often any of them was chosen."""

    prompts: int
    used: int
    selections: int


def coverage(subjects: Mapping[int, str], selected: Iterable[int]) -> dict[str, SubjectCoverage]:
    """Coverage of every subject, in the natural order of their names.

    `subjects`: row of the dataset -> its subject; `selected`: rows that got rollouts, as often as they were chosen.
    """
    rows = list(selected)
    prompts = Counter(subjects.values())
    used, selections = (Counter(subjects[row] for row in chosen) for chosen in (set(rows), rows))
    return {
        name: SubjectCoverage(prompts[name], used[name], selections[name])
        for name in sorted(prompts, key=natural_order)
    }


def natural_order(name: str) -> list[tuple[int, int | str]]:
    """Sort key of names by the numbers in them: level 2 before level 10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name) if part]
