"""A whole step of training, beside plain OpenRLHF's: Random selection there, PREPO with its scoring and weights here.

    python benchmarks/training_step/compare.py --output training_step.json
    python benchmarks/training_step/compare.py --layers 33 --hidden_size 64 --max_new_tokens 24     # 300 tensors

The sides run in turns; ratios are within a round. The start of this project's side leaves out that of Ray.
Without `--layers` the model is the arithmetic example's `mid`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

from jobs import CANDIDATES_A_PROMPT, COIN, FIRST_STEP, MICRO_BATCHES, OURS, PHASES, Job, prompts_and_ray
from models import save_random_model
from tables import report
from tqdm import tqdm


def measure(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds (medians), and this project's step as a share of each side's in the same round."""
    with tempfile.TemporaryDirectory() as folder:
        own = {}
        if args.layers:
            own = {"model": save_random_model(Path(folder), args.layers, args.hidden_size), "reward": COIN}
        jobs = [Job(side, steps=args.steps, max_new_tokens=args.max_new_tokens, **own) for side in MICRO_BATCHES]
        with prompts_and_ray(args.steps * jobs[0].prompts * CANDIDATES_A_PROMPT) as (data, address):
            rounds = [
                {job.side: job.measure(data, address) for job in jobs}
                for _ in tqdm(range(args.pairs), unit="round")
            ]  # fmt: skip
    result = {}
    for side in MICRO_BATCHES:
        ratios = [row[OURS]["step"] / row[side]["step"] for row in rounds]
        syncs = [row[OURS]["weight_sync"] / row[side]["weight_sync"] for row in rounds]
        seconds = {name: median(row[side][name] for row in rounds) for name in ("step", *PHASES, FIRST_STEP)}
        spread = {"ours / its": median(ratios), "lowest": min(ratios), "highest": max(ratios)}
        result[side] = spread | {"weight_sync, ours / its": median(syncs)} | seconds
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--max_new_tokens", type=int, default=48)
    parser.add_argument("--layers", type=int, help="of a random model whose responses are as long as they may be")
    parser.add_argument("--hidden_size", type=int, default=192, help="of that model")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    report("sides", measure(args), args)


if __name__ == "__main__":
    main()
