"""README's picture: how many rollouts each method saves to equal accuracy, with intervals over seeds.

    python benchmarks/selectors/overview.py --results docs/results/selectors --output docs/images/rollouts_saved.svg

A panel for each setting, a row for each method, two lengths of training. Boundary: reads the evaluations that
`results.py` left as CSV, so it needs no run; the statistics are in `savings.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from savings import Estimate, saving

from prepo_rlhf.analysis.style import COLOURS, house_style

SHARE = 0.8  # of Random's gain
BASELINE = "random"
NAMES = {  # from the top
    "oracle": "oracle (its screening is not counted)",
    "calibrated+balanced": "calibrated, balanced weights",
    "prepo": "PREPO",
    "low-ppl": "lowest perplexity",
    "high-ppl": "highest perplexity",
    "length": "length schedule",
    "mopps": "MoPPS",
    "greso": "GRESO",
    "dynamic": "dynamic sampling",
}
PANELS = {"weak": "most problems are beyond the policy", "mid": "all problems are in reach"}
LENGTHS = (60, 150)  # steps
LEFT = 0.35  # of the axis: where a method stands that never gets there


def savings_of(results: Path, setting: str, steps: int) -> dict[str, Estimate]:
    """The saving of each method of a setting beside Random's runs of the same seeds."""
    evaluations = pd.read_csv(results / f"{setting}_{steps}.csv")
    curves = {
        method: rows.pivot(index="seed", columns="rollouts", values="accuracy")
        for method, rows in evaluations.groupby("method")
    }
    rollouts = curves[BASELINE].columns.to_numpy(float)
    return {
        method: saving((rollouts, rollouts), curves[BASELINE].loc[curve.index].to_numpy(), curve.to_numpy(), SHARE)
        for method, curve in curves.items()
        if method in NAMES
    }


def draw_panel(axes: Axes, results: Path, setting: str) -> None:
    """Each method's saving as a dot, its interval as a line; a word where it does not get there."""
    for number, steps in enumerate(LENGTHS):
        colour, shift = COLOURS[number], (number - (len(LENGTHS) - 1) / 2) * 0.3
        for row, estimate in zip(range(len(NAMES)), _in_order(savings_of(results, setting, steps)), strict=True):
            if not estimate.value:
                axes.text(LEFT + 0.03, row + shift, "not reached", color=colour, va="center", fontsize=8)
                continue
            axes.plot([max(estimate.low, LEFT), estimate.high], [row + shift] * 2, color=colour, linewidth=1.6)
            label = f"{steps} steps" if row == 0 else None
            axes.plot([estimate.value], [row + shift], "o", color=colour, markersize=5, label=label)
    axes.axvline(1, color="0.35", linewidth=1)
    axes.set(title=f"{setting}: {PANELS[setting]}", xlim=(LEFT, 2.4), ylim=(len(NAMES) - 0.4, -0.6))
    axes.set(yticks=range(len(NAMES)), yticklabels=NAMES.values(), xticks=(0.5, 1, 1.5, 2))
    axes.set_xticklabels(["0.5", "1 = Random", "1.5", "2"])
    axes.grid(axis="y", visible=False)


def _in_order(savings: dict[str, Estimate]) -> list[Estimate]:
    return [savings[method] for method in NAMES]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, required=True, help="folder of SETTING_STEPS.csv")
    parser.add_argument("--output", type=Path, required=True, help="the picture, SVG")
    args = parser.parse_args()
    with house_style(), matplotlib.rc_context({"svg.hashsalt": "prepo", "svg.fonttype": "path"}):
        figure = Figure(figsize=(9.2, 3.9), layout="constrained")
        for axes, setting in zip(figure.subplots(1, len(PANELS), sharey=True), PANELS, strict=True):
            draw_panel(axes, args.results, setting)
        figure.supxlabel(
            "rollouts of Random / rollouts of the method, to 80% of Random's gain (right is better)", fontsize=9.5
        )
        figure.axes[0].legend(loc="lower right")
        figure.savefig(args.output, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
