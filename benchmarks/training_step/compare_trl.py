"""Rollouts a second of whole training steps, beside TRL's GRPOTrainer, at several lengths of the responses.

    pip install --no-deps trl==1.16.0
    python benchmarks/training_step/compare_trl.py --output trl.json

Same model (random, so that responses are as long as they may be), prompts, rewards (half of the sequences teach), group
size and lengths, in turns, in float32 on this machine's CPU. This project's side scores five candidates a prompt
besides, weights its loss, and trains on what teaches.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from jobs import CANDIDATES_A_PROMPT, COIN, OURS, PHASES, ROLLOUTS, Job, prompts_and_ray
from models import save_random_model
from tables import report
from tqdm import tqdm


def trl_step(job: Job, data: Path) -> float:
    """Seconds of TRL's step of as many rollouts."""
    script = [sys.executable, str(Path(__file__).with_name("trl_on_cpu.py")), "--model", str(job.model)]
    script += ["--reward", str(job.reward)]
    numbers = {"steps": job.steps, "prompts": job.prompts, "max_new_tokens": job.max_new_tokens}
    options = [part for name, value in numbers.items() for part in (f"--{name}", str(value))]
    done = subprocess.run([*script, "--data", str(data), *options], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"TRL ended with {done.returncode}:\n{done.stderr[-3000:]}")
    result = json.loads(done.stdout.splitlines()[-1])
    if result["response_length"] < 0.95 * job.max_new_tokens:
        sys.exit(f"TRL's responses have {result['response_length']:.0f} tokens instead of {job.max_new_tokens}")
    return result["step"]


def measure(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """For each length the rollouts a second of both, and the ratio within a round: median, lowest and highest."""
    result = {}
    num_prompts = args.steps * Job.prompts * CANDIDATES_A_PROMPT
    with tempfile.TemporaryDirectory() as folder, prompts_and_ray(num_prompts) as (data, address):
        model = save_random_model(Path(folder))
        for length in tqdm(args.max_new_tokens, unit="length"):
            job = Job(OURS, model, COIN, args.steps, max_new_tokens=length)
            rounds = [(job.measure(data, address), trl_step(job, data)) for _ in range(args.pairs)]
            ratios = [theirs / ours["step"] for ours, theirs in rounds]
            rollouts = job.prompts * ROLLOUTS
            result[str(length)] = {
                "ours / TRL": median(ratios), "lowest": min(ratios), "highest": max(ratios),
                "rollouts/s": rollouts / median(ours["step"] for ours, _ in rounds),
                "TRL, rollouts/s": rollouts / median(theirs for _, theirs in rounds),
            } | {phase: median(ours[phase] for ours, _ in rounds) for phase in PHASES}  # fmt: skip
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--max_new_tokens", type=int, nargs="+", default=[24, 128, 512])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    report("new tokens", measure(args), args)


if __name__ == "__main__":
    main()
