"""A leaderboard that methods from outside can join: a record of each run in one format, and a table of the comparable.

    python benchmarks/selectors/leaderboard.py run --selector half_solved.py:HalfSolvedSelector --output_dir runs/board
    python benchmarks/selectors/leaderboard.py table runs/board/*.json

`run` trains Random and the method on `weak` with the same seed, side by side, and writes a record of each; options
after `--` are the method's. Records are compared where their tasks are equal: the same problems, base model, reward,
sampling, evaluation and budget of rollouts. How a method spends the rollouts, and at what learning rate, is its own.
Boundary: files of records, and their table; runs are made by `run_grid.py`, statistics by `savings.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from methods import METHODS, Method
from results import ACCURACY, SHARES, with_interval
from run_grid import Run, make_data, run_all
from savings import Estimate, paired_difference, saving
from settings import HELDOUT_FILE, SETTINGS, TASK, TRAIN_FILE

from prepo_rlhf.analysis.runs import ROLLOUTS as TOTAL
from prepo_rlhf.analysis.runs import TOKENS, read_runs
from prepo_rlhf.evaluation.table import markdown_table
from prepo_rlhf.files.step_rows import PHASES

FORMAT = 1
SETTING, STEPS, RANDOM = "weak", 60, "random"
BUDGET = STEPS * SETTINGS[SETTING].rollouts
POINTS = np.linspace(0, BUDGET, 7)  # numbers of rollouts at which the curves are compared
TASK_OPTIONS = (
    *("data.max_len", "rollout.max_new_tokens", "rollout.temperature"),
    *("eval.temperature", "eval.n_samples_per_prompt"),
)


class RecordError(ValueError):
    """Records that cannot be made or compared; the message says why."""


def task(data: Path) -> dict[str, Any]:
    """What two records must have in common, of the folder with the problems: digests of files, options, the budget."""
    files = {
        "train": data / TRAIN_FILE,
        "heldout": data / HELDOUT_FILE,
        "model": SETTINGS[SETTING].model / "model.safetensors",
        "reward": TASK / "reward.py",
    }
    words = SETTINGS[SETTING].arguments(Path(HELDOUT_FILE), SETTINGS[SETTING].learning_rate)
    options = {name.removeprefix("--"): value for name, value in zip(words, words[1:], strict=False)}
    kept = {name: options[name] for name in TASK_OPTIONS}
    return {"budget": BUDGET, "options": kept} | {name: digest(path) for name, path in files.items()}


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def record(folder: Path, data: Path, method: dict[str, Any]) -> dict[str, Any]:
    """The record of a complete run: its task, its method, and what it had after how many rollouts.

    Raises:
        RecordError: the run ended before the budget.
    """
    (run,) = read_runs([str(folder)])
    steps = run.steps.set_index("step")
    if steps[TOTAL].iloc[-1] < BUDGET:
        raise RecordError(
            f"{folder} ended after {steps[TOTAL].iloc[-1]:,.0f} of {BUDGET:,} rollouts: give --extra_epochs, for a "
            "method that drops some of its rollouts"
        )
    steps = steps[steps[TOTAL] <= BUDGET]
    evaluated = steps[ACCURACY].dropna()
    spent = steps.loc[evaluated.index]
    seconds = steps.reindex(columns=[f"timing/{phase}" for phase in PHASES])
    return {
        "format": FORMAT,
        "task": task(data),
        "method": method,
        "seed": run.seed,
        "rollouts": spent[TOTAL].astype(int).tolist(),
        "tokens": spent[TOKENS].astype(int).tolist(),
        "accuracy": evaluated.round(5).tolist(),
        "steps": int(steps.index[-1]),
        "step_seconds": round(float(seconds.sum().sum()), 1),
        "versions": {name: version(name) for name in ("prepo_rlhf", "torch", "transformers")},
    }


def read_records(paths: Sequence[Path]) -> dict[str, dict[int, dict[str, Any]]]:
    """Records by method and seed.

    Raises:
        RecordError: one of another format or task than the first, or two of a method's seed; naming both files.
    """
    records: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    first: dict[str, Any] | None = None
    for path in paths:
        one = json.loads(path.read_text())
        if one.get("format") != FORMAT:
            raise RecordError(f"{path}: format {one.get('format')}; this reads {FORMAT}")
        first = first or one
        if other := [name for name, value in first["task"].items() if one["task"].get(name) != value]:
            raise RecordError(f"{path} and {paths[0]} are of different tasks ({', '.join(other)}): compare them apart")
        name, seed = one["method"]["name"], one["seed"]
        of_name = next(iter(records[name].values()), one)
        if of_name["method"] != one["method"]:
            raise RecordError(f"{path}: another method (options or file) is called {name} too: give it another name")
        if seed in records[name]:
            raise RecordError(f"{path}: a second record of {name} with seed {seed}")
        records[name][seed] = one
    return records


def table(records: dict[str, dict[int, dict[str, Any]]]) -> str:
    """A row a method, the fastest to 80% of Random's gain first; only seeds that Random has too count.

    Raises:
        RecordError: there is no record of Random.
    """
    if RANDOM not in records:
        raise RecordError("there is no record of random, which all others are compared with: `run` makes one a seed")
    rows = []
    for name, of_seeds in records.items():
        if seeds := sorted(set(of_seeds) & set(records[RANDOM])):
            own, base = (_curves([of[seed] for seed in seeds]) for of in (of_seeds, records[RANDOM]))
            savings = [saving((POINTS, POINTS), base, own, share) for share in SHARES]
            options = " ".join(of_seeds[seeds[0]]["method"]["options"])
            rows.append((savings[1].value, [name, options, *_cells(of_seeds, seeds, own, base, savings)]))
    shares = [f"{share:.0%}" for share in SHARES]
    header = ["method", "options", "seeds", *shares, "end", "minus Random's", "steps", "seconds"]
    return markdown_table(header, [row for _, row in sorted(rows, key=lambda row: -row[0])])


def _cells(
    of_seeds: dict[int, dict[str, Any]], seeds: list[int], own: np.ndarray, base: np.ndarray, savings: list[Estimate]
) -> list[str]:
    ratios = [with_interval(one, ".2f") if one.value else "not reached" for one in savings]
    means = [np.mean([of_seeds[seed][name] for seed in seeds]) for name in ("steps", "step_seconds")]
    minus = with_interval(paired_difference(base[:, -1], own[:, -1]), "+.3f")
    return [str(len(seeds)), *ratios, f"{own[:, -1].mean():.3f}", minus, *(f"{mean:.0f}" for mean in means)]


def _curves(records: list[dict[str, Any]]) -> np.ndarray:
    """[seeds, points] accuracies."""
    return np.array([np.interp(POINTS, one["rollouts"], one["accuracy"]) for one in records])


def run(args: argparse.Namespace) -> list[Path]:
    """Random and the method, unless their record is there; the files of both records."""
    path, _, cls = args.selector.rpartition(":")
    selector = f"{Path(path).resolve()}:{cls}" if path else args.selector
    name = args.name or cls or args.selector
    METHODS[name] = Method(("--prepo.selector", selector, *args.options), extra_epochs=args.extra_epochs)
    described = {"name": name, "options": args.options, "selector": cls, "file": digest(Path(path)) if path else None}
    methods = {RANDOM: {"name": RANDOM, "options": [], "selector": "random", "file": None}, name: described}
    args.output_dir.mkdir(parents=True, exist_ok=True)
    data = make_data(SETTING, args.output_dir)
    files = {method: args.output_dir / f"{method}-{args.seed}.json" for method in methods}
    runs = [Run(SETTING, method, args.seed, STEPS) for method in methods]
    run_all([one for one in runs if not files[one.method].is_file()], args.output_dir, None, len(runs))
    for one in runs:
        if not files[one.method].is_file():
            made = record(one.folder(args.output_dir), data, methods[one.method])
            files[one.method].write_text(json.dumps(made) + "\n")
    return list(files.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    of_run = commands.add_parser("run", help="train Random and a method with one seed, and record both")
    of_run.add_argument("--selector", required=True, help="path/to/file.py:Class, or a name of --prepo.selector")
    of_run.add_argument("--name", help="the method's name in the table; by default the class's")
    of_run.add_argument("--seed", type=int, default=1)
    of_run.add_argument("--extra_epochs", type=int, default=0, help="for methods that drop some of their rollouts")
    of_run.add_argument("--output_dir", type=lambda given: Path(given).resolve(), required=True)
    of_run.add_argument("options", nargs="*", help="options of the training command, after --")
    of_table = commands.add_parser("table", help="the table of records, as Markdown")
    of_table.add_argument("records", nargs="+", type=Path)
    args = parser.parse_args()
    try:
        print(table(read_records(run(args) if args.command == "run" else args.records)))
    except (RecordError, RuntimeError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
