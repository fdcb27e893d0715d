"""Tables and figures of a grid.

    python benchmarks/selectors/results.py --runs runs/selectors --output_dir docs/results/selectors

For each setting and length that has runs: `SETTING_STEPS.md` with the tables, `SETTING_STEPS_rollouts.svg` and
`SETTING_STEPS_tokens.svg` with the curves, and `SETTING_STEPS.csv` with every evaluation. Only seeds that Random
has too are compared. Where a seed was run at several lengths and its method has no clock, all of them count.
Boundary: reads the records of runs (`prepo_rlhf.analysis`), knows the grid's folders; statistics are in `savings.py`.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from methods import METHODS
from probe import PROBE_FILE
from run_grid import COMPLETE, read_arguments
from savings import Estimate, paired_difference, rollouts_to, saving
from settings import EVAL_SAMPLES, SETTINGS, Setting

from prepo_rlhf.analysis.runs import ROLLOUTS as TOTAL
from prepo_rlhf.analysis.runs import TOKENS, Run, read_runs
from prepo_rlhf.analysis.style import house_style, legend_below, line_handles, looks, new_panel
from prepo_rlhf.evaluation.table import markdown_table
from prepo_rlhf.files.step_rows import PHASES

BASELINE = "random"
ACCURACY = f"eval/default/avg@{EVAL_SAMPLES}"
SHARES = (0.5, 0.8, 0.95)  # of Random's gain
EQUAL_ACCURACY = 0.8  # of Random's gain: where entropies are compared
LAST = 10  # steps that an end value is the mean of
ENTROPY = "prepo/entropy_mean"
SIGNALS = {  # column -> metric
    "zero advantage": "signal/zero_advantage_ratio",
    "all right": "signal/all_correct_ratio",
    "all wrong": "signal/all_wrong_ratio",
    "weight, advantage > 0": "prepo/weight_positive_mean",
    "weight, advantage < 0": "prepo/weight_negative_mean",
}


@dataclass(frozen=True)
class Cell:
    """The runs of one method, cut off at the budget.

    `accuracy`, `tokens` and `entropy` (of the probe set, nats) are [seeds, points], means over a seed's runs, at equal
    numbers of rollouts from 0 to the budget; `steps` holds the training steps within the budget of each seed's runs.
    """

    seeds: list[int]
    accuracy: np.ndarray
    tokens: np.ndarray
    entropy: np.ndarray
    steps: list[list[pd.DataFrame]]

    def of(self, seeds: list[int]) -> Cell:
        rows = [self.seeds.index(seed) for seed in seeds]
        curves = (self.accuracy[rows], self.tokens[rows], self.entropy[rows])
        return Cell(seeds, *curves, [self.steps[row] for row in rows])

    def mean(self, metric: str, last: int | None = None) -> float:
        """Mean over runs of a metric's mean over steps, or over the last few; NaN where it was not recorded."""
        every = [steps[metric] for runs in self.steps for steps in runs if metric in steps]
        values = [steps.tail(last or len(steps)).mean() for steps in every]
        return float(np.mean(values)) if values else float("nan")


def read_cell(runs_dir: Path, setting: str, method: str, steps: int, grid: np.ndarray) -> Cell | None:
    """The complete runs of a method; of one without a clock the first steps of longer runs too."""
    of_setting = SETTINGS[setting].lengths
    lengths = [steps] if METHODS[method].clocked else [length for length in of_setting if length >= steps]
    folders = defaultdict(list)
    for marker in (path for n in lengths for path in (runs_dir / setting / str(n) / method).glob(f"seed*/{COMPLETE}")):
        folders[marker.parent.name].append(str(marker.parent))
    if not folders:
        return None
    seeds = [read_runs(folders[seed]) for seed in sorted(folders)]
    curves = [_mean_curves([_curve(run, grid) for run in runs]) for runs in seeds]
    within = [[_within(run, grid[-1]) for run in runs] for runs in seeds]
    return Cell([runs[0].seed for runs in seeds], *(np.array(part) for part in zip(*curves, strict=True)), within)


def _mean_curves(runs: list[tuple[np.ndarray, ...]]) -> list[np.ndarray]:
    return [np.mean(part, axis=0) for part in zip(*runs, strict=True)]


def _within(run: Run, budget: float) -> pd.DataFrame:
    return run.steps[(run.steps["step"] > 0) & (run.steps[TOTAL] <= budget)]


def _curve(run: Run, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Accuracy, tokens and probe entropy at the numbers of rollouts in `grid`; ValueError if the run ended before the
    last of them, for instance because dynamic sampling ran out of prompts."""
    steps = run.steps.set_index("step")
    rollouts = steps[TOTAL].astype(float)
    if rollouts.iloc[-1] < grid[-1]:
        ended = f"{run.folder} ended after {rollouts.iloc[-1]:,.0f} of {grid[-1]:,.0f} rollouts"
        raise ValueError(f"{ended}: raise extra_epochs of its method (methods.py), delete the folder and run it again")
    evaluated = steps[ACCURACY].dropna()
    probe = pd.DataFrame(map(json.loads, (run.folder / PROBE_FILE).read_text().splitlines()))
    return (
        np.interp(grid, rollouts[evaluated.index], evaluated),
        np.interp(grid, rollouts, steps[TOKENS].astype(float)),
        np.interp(grid, rollouts[probe["step"]], probe["entropy"], right=np.nan),  # NaN after the last model
    )


def accuracy_table(cells: dict[str, Cell], grid: np.ndarray) -> str:
    """Held-out accuracy on the way, at the end, and against Random's of the same seeds."""
    last = len(grid) - 1
    marks = [last // 3, 2 * last // 3, last]
    shown = [f"avg@{EVAL_SAMPLES} at {int(grid[mark]):,} rollouts" for mark in marks]
    header = ["method", "seeds", *shown, "end, minus Random's", "mean of the curve, minus Random's"]
    rows = []
    for method, cell in cells.items():
        base = cells[BASELINE].of(cell.seeds)
        end = paired_difference(base.accuracy[:, -1], cell.accuracy[:, -1])
        area = paired_difference(base.accuracy.mean(1), cell.accuracy.mean(1))
        spread = [_mean_and_deviation(column) for column in cell.accuracy[:, marks].T]
        rows.append([method, str(len(cell.seeds)), *spread, _signed(end), _signed(area)])
    return markdown_table(header, rows)


def saving_table(cells: dict[str, Cell], grid: np.ndarray, setting: Setting) -> str:
    """Rollouts of Random / rollouts of the method to reach shares of Random's gain; the same in response tokens.

    A method with rollouts before its first step has a second row, in which they count, as long as Random's.
    """
    rows = []
    for method, cell in cells.items():
        base, upfront = cells[BASELINE].of(cell.seeds), METHODS[method].upfront(setting)
        mean_base, mean_own = base.tokens.mean(0), cell.tokens.mean(0)
        for name, before in ((method, 0), (f"{method}, upfront rollouts counted", upfront))[: 1 + (upfront > 0)]:
            tokens_before = before * mean_base[-1] / grid[-1]
            spent = (grid, grid + before), (mean_base, mean_own + tokens_before)
            savings = [_ratio(saving(x, base.accuracy, cell.accuracy, share)) for x in spent for share in SHARES]
            rows.append([name, *savings, f"{mean_own[-1] / mean_base[-1]:.2f}"])
    header = [f"{share:.0%}, {unit}" for unit in ("rollouts", "tokens") for share in SHARES]
    return markdown_table(["method", *header, "tokens a rollout / Random's"], rows)


def entropy_table(cells: dict[str, Cell], grid: np.ndarray) -> str:
    """Entropy of the policies on the probe set, after as many rollouts and when they are as good."""
    base = cells[BASELINE].accuracy.mean(0)
    target = base[0] + EQUAL_ACCURACY * (base[-1] - base[0])
    rows = []
    for method, cell in cells.items():
        entropy, there = cell.entropy.mean(0), rollouts_to(grid, cell.accuracy.mean(0), target)
        when_as_good = f"{np.interp(there, grid, entropy):.3f}" if np.isfinite(there) else "not reached"
        end = f"{entropy[-1]:.3f}" if np.isfinite(entropy[-1]) else "no model saved"
        rows.append([method, f"{entropy[0]:.3f}", end, when_as_good])
    header = ["method", "before (nats)", "at the end", f"at an accuracy of {target:.3f}"]
    return markdown_table(header, rows)


def signal_table(cells: dict[str, Cell]) -> str:
    """What the rollouts were like."""
    rows = []
    for method, cell in cells.items():
        values = [f"{cell.mean(metric):.2f}" for metric in SIGNALS.values()]
        scoring = cell.mean("timing/score_prompts") / sum(cell.mean(f"timing/{phase}") for phase in PHASES)
        updates = np.mean([len(steps) for runs in cell.steps for steps in runs])
        entropy = cell.mean(ENTROPY, LAST)
        rows.append([method, *values, f"{entropy:.3f}", f"{scoring:.0%}", f"{updates:.0f}"])
    header = ["method", *SIGNALS, "last rollouts' entropy (nats)", "scoring, of a step's time", "steps"]
    return markdown_table(header, rows)


def source_table(cells: dict[str, Cell]) -> str:
    """What each method was made from; where that is an abstract or a note, the result is not one about the paper."""
    return markdown_table(["method", "made from"], [[method, METHODS[method].made_from] for method in cells])


def figure(cells: dict[str, Cell], spent: dict[str, np.ndarray], unit: str, title: str) -> str:
    """An SVG: mean accuracy of each method against what it has `spent` at each point, in rollouts or tokens."""
    shown = looks(list(cells))
    with house_style():
        drawn, axes = new_panel(title, width=7.5, height=5.0)
        for method, cell in cells.items():
            look = shown[method]
            axes.plot(spent[method], cell.accuracy.mean(0), color=look.colour, linestyle=look.dashes)
        axes.set(xlabel=f"{unit} generated for training", ylabel=f"held-out avg@{EVAL_SAMPLES}, mean over seeds")
        legend_below(drawn, line_handles(shown))
        return _svg(drawn)


def _svg(drawn: Figure) -> str:
    """The figure as SVG, letter for letter the same for the same figure."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "prepo_rlhf", "svg.fonttype": "none"}):
        drawn.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def evaluations(cells: dict[str, Cell], grid: np.ndarray) -> pd.DataFrame:
    """A row for each method, seed and number of rollouts."""
    rows = [
        {"method": method, "seed": seed, "rollouts": int(x), "accuracy": accuracy, "tokens": int(tokens)}
        for method, cell in cells.items()
        for seed, curve, spent in zip(cell.seeds, cell.accuracy, cell.tokens, strict=True)
        for x, accuracy, tokens in zip(grid, curve, spent, strict=True)
    ]
    return pd.DataFrame(rows).round({"accuracy": 5})


def _mean_and_deviation(values: np.ndarray) -> str:
    """Of one value there is no deviation."""
    return f"{values.mean():.3f}" + (f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else "")


def _signed(estimate: Estimate) -> str:
    return with_interval(estimate, "+.3f")


def _ratio(estimate: Estimate) -> str:
    return with_interval(estimate, ".2f") if estimate.value else "not reached"


def with_interval(estimate: Estimate, digits: str) -> str:
    """A value and its interval, formatted as `digits`; of one seed there is none."""
    value, *interval = (format(number, digits) for number in (estimate.value, estimate.low, estimate.high))
    return value if np.isnan(estimate.low) else f"{value} [{', '.join(interval)}]"


def main() -> None:
    args = read_arguments(__doc__)
    for setting, shared in SETTINGS.items():
        for steps in shared.lengths:
            grid = np.arange(0, steps + 1, shared.eval_every) * float(shared.rollouts)
            read = {method: read_cell(args.runs, setting, method, steps, grid) for method in METHODS}
            if read[BASELINE] is None:
                continue
            paired = {m: [s for s in c.seeds if s in read[BASELINE].seeds] for m, c in read.items() if c}
            cells = {method: read[method].of(seeds) for method, seeds in paired.items() if seeds}
            tables = [accuracy_table(cells, grid), saving_table(cells, grid, shared)]
            tables += [signal_table(cells), entropy_table(cells, grid), source_table(cells)]
            stem = args.output_dir / f"{setting}_{steps}"
            stem.with_suffix(".md").write_text("\n".join(tables))
            spent = {"rollouts": {method: grid for method in cells}}
            spent["tokens"] = {method: cell.tokens.mean(0) for method, cell in cells.items()}
            for unit, x in spent.items():
                path = args.output_dir / f"{setting}_{steps}_{unit}.svg"
                path.write_text(figure(cells, x, unit, f"{setting}, {steps} steps"))
            evaluations(cells, grid).to_csv(stem.with_suffix(".csv"), index=False)
            print("\n".join(tables))


if __name__ == "__main__":
    main()
