"""Draws runs of the arithmetic task: held-out accuracy against rollouts, and the perplexity window over training.

    python examples/arithmetic/plot_runs.py runs/a runs/b --output runs.png

Boundary: reads metrics.jsonl files; matplotlib.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt

from prepo_rlhf.files.step_rows import METRICS_FILE, read_step_rows

METRIC = "eval/default/avg@4"


def plot(run_dirs: list[Path], output: Path) -> None:
    """Write the picture; the window is the first run's."""
    figure, (accuracy, window) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    runs = {path.name: read_step_rows(path / METRICS_FILE) for path in run_dirs}
    for name, rows in runs.items():
        evaluated = [(row.get("rollout/total", 0), row[METRIC]) for row in rows if METRIC in row]
        accuracy.plot(*zip(*evaluated, strict=True), marker="o", markersize=3, label=name)
    accuracy.set(xlabel="rollouts generated", ylabel="held-out avg@4", ylim=(0, 1), title="Accuracy")
    accuracy.legend()
    steps = [row for row in next(iter(runs.values())) if "prepo/ppl_selected_min" in row]
    numbers = [row["step"] for row in steps]
    low, high, selected = "prepo/ppl_candidates_p10", "prepo/ppl_candidates_p90", "prepo/ppl_selected_"
    series = {key: [row[key] for row in steps] for key in (low, high, selected + "min", selected + "max")}
    window.fill_between(numbers, series[low], series[high], alpha=0.2, label="candidates, p10 to p90")
    window.fill_between(numbers, series[selected + "min"], series[selected + "max"], alpha=0.6, label="selected")
    window.set(xlabel="step", ylabel="prompt perplexity", yscale="log", title="Perplexity of candidates and window")
    window.legend()
    figure.savefig(output, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dirs", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    plot(arguments.run_dirs, arguments.output)
