"""The perplexity window: range of the candidates, and range of those selected."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.patches import Patch

from prepo_rlhf.analysis.groups import Group
from prepo_rlhf.analysis.section import Section, group_pictures
from prepo_rlhf.analysis.series import long_table, mean_curve
from prepo_rlhf.analysis.style import COLOURS, legend_below, new_panel, perplexity_axis, png

TITLE = "Perplexity window"
READING = (
    "A panel for each selector that scores its candidates: the grey band holds the middle 80% of the candidates' "
    "perplexities (10th to 90th percentile), the blue band reaches from the lowest to the highest that was selected. "
    "PREPO's window climbs from the bottom of the grey band to its top. Of several seeds the bounds are means."
)
CANDIDATES = ("prepo/ppl_candidates_p10", "prepo/ppl_candidates_p90")
SELECTED = ("prepo/ppl_selected_min", "prepo/ppl_selected_max")
SELECTED_MEAN = "prepo/ppl_selected_mean"


def section(groups: Sequence[Group]) -> Section:
    """A panel for each group that has recorded perplexities."""
    table = long_table(groups, [*CANDIDATES, *SELECTED, SELECTED_MEAN])
    if table.empty:
        return Section(TITLE, READING, absent="None of the runs scores its candidates: their selector needs no scores.")
    alt = "Perplexity of candidates and selected prompts over steps"
    pictures = group_pictures(table, "window", alt, lambda name, rows: _panel(name, rows, table["value"]))
    return Section(TITLE, READING, pictures=pictures, data={"window": table})


def _panel(name: str, rows: pd.DataFrame, perplexities: pd.Series) -> bytes:
    """One group's bands, on an axis that holds all `perplexities`, so that panels compare."""
    bounds = {metric: mean_curve(part, "step", "value")["mean"] for metric, part in rows.groupby("metric")}
    figure, axes = new_panel(f"Window of {name}")
    for (low, high), colour, strength in ((CANDIDATES, "0.6", 0.4), (SELECTED, COLOURS[0], 0.45)):
        axes.fill_between(bounds[low].index, bounds[low], bounds[high], color=colour, alpha=strength, linewidth=0)
    axes.plot(bounds[SELECTED_MEAN], color=COLOURS[0], linewidth=1.2)
    axes.set(xlabel="step", ylabel="prompt perplexity")
    perplexity_axis(axes, "y", perplexities)
    grey, blue = Patch(color="0.6", alpha=0.4), Patch(color=COLOURS[0], alpha=0.45)
    legend_below(figure, {"candidates, p10 to p90": grey, "selected, lowest to highest": blue})
    return png(figure)
