"""Writes the training problems with their pass rates under a weak and a strong reference model, for the method bots.

    python benchmarks/selectors/reference_rates.py --problems runs/selectors/weak/data/train.jsonl \\
        --weak runs/rates/weak --strong runs/rates/strong --output runs/selectors/weak/data/rated.jsonl

`--weak` and `--strong` are the output folders of `prepo eval` on those problems (README.md), whose rollouts are a cost
of the method: `upfront` in `methods.py`.
Boundary: reads graded samples, runs no model.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from methods import RATE_KEYS, REFERENCE_SAMPLES

from prepo_rlhf.evaluation.sample_log import read_samples


def pass_rates(folder: Path, num_problems: int) -> list[float]:
    """Of each problem, in their order. Raises ValueError if the samples are not those that `upfront` counts."""
    scores = {int(number): [row["score"] for row in rows] for (_, number), rows in read_samples(folder).items()}
    if sorted(scores) != list(range(num_problems)) or {len(group) for group in scores.values()} != {REFERENCE_SAMPLES}:
        raise ValueError(f"{folder} does not hold {REFERENCE_SAMPLES} samples of each of the {num_problems} problems")
    return [sum(score >= 1 for score in scores[number]) / REFERENCE_SAMPLES for number in range(num_problems)]


def write_rated(problems: Path, weak: Path, strong: Path, output: Path) -> None:
    """The rows of `problems` with both rates."""
    rows = [json.loads(line) for line in problems.read_text().splitlines()]
    rates = zip(*(pass_rates(folder, len(rows)) for folder in (weak, strong)), strict=True)
    rated = [row | dict(zip(RATE_KEYS, of_row, strict=True)) for row, of_row in zip(rows, rates, strict=True)]
    output.write_text("".join(json.dumps(row) + "\n" for row in rated))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("problems", "weak", "strong", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    write_rated(args.problems, args.weak, args.strong, args.output)


if __name__ == "__main__":
    main()
