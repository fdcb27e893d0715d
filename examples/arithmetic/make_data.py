"""Writes the arithmetic task's prompts for reinforcement learning: train.jsonl and heldout.jsonl.

    python examples/arithmetic/make_data.py --output_dir ./arithmetic_data --train_size 2400 --seed 0

Both are spread evenly over steps and bands, and share no prompt; --step_weights 1 1 1 1 8 8 makes most of the training
problems hard. One JSON object a line: prompt, label, steps, band, id.
Boundary: standard library and `problems`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

from problems import EVENLY, MAX_STEPS, Problem, sample_problems


def make_splits(
    train_size: int, heldout_size: int, seed: int, step_weights: Sequence[int] = EVENLY
) -> dict[str, list[Problem]]:
    """Problems of each split, by its name; no prompt occurs twice. `step_weights` are those of the training split."""
    heldout = sample_problems(heldout_size, random.Random(f"heldout-{seed}"))
    taken = {problem.prompt for problem in heldout}
    train = sample_problems(train_size, random.Random(f"train-{seed}"), taken, step_weights)
    return {"train": train, "heldout": heldout}


def write_jsonl(path: Path, name: str, problems: list[Problem]) -> None:
    """Writes one JSON object a line; an id is the split's name and the line's number."""
    with path.open("w", encoding="utf-8") as file:
        for i, problem in enumerate(problems):
            row = {"prompt": problem.prompt, "label": problem.label, "steps": problem.steps, "band": problem.band}
            file.write(json.dumps({**row, "id": f"{name}-{i}"}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--train_size", type=int, default=2400)
    parser.add_argument("--heldout_size", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--step_weights", type=int, nargs=MAX_STEPS, default=EVENLY, help="how often 1, 2, ... steps come in training"
    )
    args = parser.parse_args()
    args.output_dir.mkdir(parents=True, exist_ok=True)
    for name, problems in make_splits(args.train_size, args.heldout_size, args.seed, args.step_weights).items():
        path = args.output_dir / f"{name}.jsonl"
        write_jsonl(path, name, problems)
        print(f"{path}: {len(problems)} problems")


if __name__ == "__main__":
    main()
