"""A part of the report: what it shows, how to read it, and the numbers behind it.

Boundary: plain data; neither draws nor knows HTML.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

ABSENT = "–"


class Picture(NamedTuple):
    """A figure: its file's name without the suffix, what it shows for those who cannot see it, the file's content."""

    name: str
    alt: str
    png: bytes


class Table(NamedTuple):
    """Cells; what follows a line break within one is secondary. The first `texts` columns hold words, not numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int


@dataclass(frozen=True)
class Section:
    """One part; its table comes before its pictures."""

    title: str
    reading: str  # how to read it
    absent: str = ""  # why there is nothing to show
    table: Table | None = None
    pictures: Sequence[Picture] = ()
    columns: int = 3  # pictures side by side, where there is room
    data: dict[str, pd.DataFrame] = field(default_factory=dict)  # name of a CSV file without its suffix -> its content


def group_pictures(
    table: pd.DataFrame, file: str, alt: str, draw: Callable[[str, pd.DataFrame], bytes]
) -> list[Picture]:
    """A picture for each group in `table`: the PNG that `draw` makes of its name and rows."""
    return [
        Picture(file_name(file, number, name), f"{alt}, {name}", draw(str(name), rows))
        for number, (name, rows) in enumerate(table.groupby("group", sort=False), start=1)
    ]


def file_name(*parts: object) -> str:
    """The parts as a file name, with _ for every character that is unsafe in paths or URLs."""
    return re.sub(r"[^\w@.-]+", "_", "_".join(map(str, parts)))[:80].strip("_")


def spread(values: Sequence[float], show: Callable[[float], str]) -> str:
    """A table cell: mean of several runs' values, and their range where they differ; a dash where none is known."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return ABSENT
    mean, low, high = (show(value) for value in (sum(known) / len(known), min(known), max(known)))
    return mean if low == high else f"{mean}\n{low} to {high}"
