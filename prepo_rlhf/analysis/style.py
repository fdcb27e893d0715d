"""Style of figures: size, a colour-blind-safe palette, legends, and rendering to PNG.

Boundary: matplotlib without pyplot, which has global state; knows no metrics.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple, get_args

import matplotlib
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

# Okabe and Ito's colours without yellow, which is hard to see on white; with the dashes they make 28 looks.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
Dashes = Literal["-", "--", ":", "-."]
DASHES: tuple[Dashes, ...] = get_args(Dashes)
PANEL = (4.8, 3.3)  # inches
RESOLUTION = 170  # dots an inch
LABEL_WIDTH = 48  # characters of a line in a legend or title
WIDE = 8  # highest / lowest perplexity from which the axis is logarithmic
SETTINGS = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "font.size": 9.5,
    "grid.alpha": 0.25,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "text.parse_math": False,  # a $ in a run's name is a $
}


class Look(NamedTuple):
    """Colour and dashes of a group's lines."""

    colour: str
    dashes: Dashes


def house_style() -> AbstractContextManager[None]:
    """Context in which all figures have these settings."""
    return matplotlib.rc_context(SETTINGS)


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each name; the first seven differ in colour alone."""
    rows = len(COLOURS)
    return {name: Look(COLOURS[i % rows], DASHES[i // rows % len(DASHES)]) for i, name in enumerate(names)}


def new_panel(title: str, width: float = PANEL[0], height: float = PANEL[1]) -> tuple[Figure, Axes]:
    """An empty figure with one set of axes; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(wrap(title))
    return figure, axes


def perplexity_axis(axes: Axes, which: Literal["x", "y"], perplexities: pd.Series) -> None:
    """An axis for all of `perplexities`; logarithmic, with plain numbers, where they span much."""
    low, high = perplexities.min(), perplexities.max()
    if high < WIDE * low:
        margin = 0.05 * (high - low) or 0.5
        axes.set(**{f"{which}lim": (low - margin, high + margin)})
        return
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low / 1.1, high * 1.1)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:,.12g}"))
    axis.set_minor_formatter(NullFormatter())


def legend_below(figure: Figure, handles: Mapping[str, Artist]) -> None:
    """A legend under the axes, where it hides nothing; the figure grows by its lines."""
    labels = [wrap(label) for label in handles]
    longest = max(map(len, labels))
    columns = min(len(labels), 4 if longest <= 12 else 2 if longest <= 30 else 1)
    lines = sum(label.count("\n") + 1 for label in labels) / columns
    figure.set_figheight(figure.get_figheight() + 0.17 * lines + 0.1)
    figure.legend(list(handles.values()), labels, loc="outside lower center", ncols=columns)


def line_handles(shown: Mapping[str, Look]) -> dict[str, Line2D]:
    """What a legend shows of each name."""
    return {name: Line2D([], [], color=look.colour, linestyle=look.dashes) for name, look in shown.items()}


def wrap(text: str) -> str:
    """`text` on lines that fit a panel."""
    return "\n".join(textwrap.wrap(text, LABEL_WIDTH)) or text


def png(figure: Figure) -> bytes:
    """The figure as PNG, byte for byte the same for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=RESOLUTION, metadata={"Software": None})
    return buffer.getvalue()
