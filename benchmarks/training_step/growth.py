"""How a step's time grows with the number of rollouts, and with the length of their responses.

    python benchmarks/training_step/growth.py --output growth.json

This project's side alone, with a random model whose responses are as long as they may be. Where time is linear the
time for a million response tokens does not change; below some size what every step costs anyway shows in it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from jobs import CANDIDATES_A_PROMPT, COIN, OURS, PHASES, ROLLOUTS, Job, prompts_and_ray
from models import save_random_model
from tables import report
from tqdm import tqdm

STEPS = 4  # of each job, the first of which is not counted: three times of a whole step


def measure(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds of a step and its phases for each number of rollouts, then for each length."""
    sizes = [(prompts, args.length) for prompts in args.prompts] + [(Job.prompts, length) for length in args.lengths]
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        model = save_random_model(Path(folder))
        with prompts_and_ray(STEPS * max(args.prompts) * CANDIDATES_A_PROMPT) as (data, address):
            for prompts, length in tqdm(sizes, unit="size"):
                seconds = Job(OURS, model, COIN, STEPS, prompts, length).measure(data, address)
                tokens = prompts * ROLLOUTS * length
                row = {"step": seconds["step"], "s a million tokens": seconds["step"] / tokens * 1e6}
                result[f"{prompts * ROLLOUTS} x {length}"] = row | {phase: seconds[phase] for phase in PHASES}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, nargs="+", default=[8, 32, 128, 512], help="of a step, 8 rollouts each")
    parser.add_argument("--length", type=int, default=24, help="of these jobs' responses")
    parser.add_argument("--lengths", type=int, nargs="+", default=[32, 64, 128, 256, 512], help="with 16 prompts")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    report("rollouts x tokens", measure(args), args)


if __name__ == "__main__":
    main()
