"""What a healthy job pays for its recovery: steps with restarts and the watch for hangs, beside steps without either.

    python benchmarks/training_step/recovery.py --output recovery.json

The sides run in turns, and the one that begins changes; ratios are within a pair.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median

from jobs import CANDIDATES_A_PROMPT, OURS, PHASES, Job, prompts_and_ray
from tables import report
from tqdm import tqdm

SIDES = {"with": (), "without": ("--train.max_restarts", "0", "--train.hang_timeout", "0")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    jobs = {side: Job(OURS, steps=args.steps, more=more) for side, more in SIDES.items()}
    with prompts_and_ray(args.steps * jobs["with"].prompts * CANDIDATES_A_PROMPT) as (data, address):
        pairs = [
            {side: jobs[side].measure(data, address) for side in sorted(jobs, reverse=bool(number % 2))}
            for number in tqdm(range(args.pairs), unit="pair")
        ]
    names = ("step", *PHASES)
    seconds = {side: {name: median(pair[side][name] for pair in pairs) for name in names} for side in SIDES}
    ratios = {name: [pair["with"][name] / pair["without"][name] for pair in pairs] for name in names}
    spread = {"with / without": median, "lowest": min, "highest": max}
    columns = {title: {name: of(ratios[name]) for name in names} for title, of in spread.items()}
    report("seconds", seconds | columns, args)


if __name__ == "__main__":
    main()
