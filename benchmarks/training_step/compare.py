"""A whole step of training, beside plain OpenRLHF's: Random selection there, PREPO with its scoring and weights here.

    python benchmarks/training_step/compare.py --output training_step.json

Both sides train the arithmetic example's `mid` model in float32 on this machine's CPU, 16 prompts of 8 rollouts a step,
through their own command lines, in turns. OpenRLHF runs with its default micro-batches of one sequence, and with those
of this project's CPU script. A step's time is what lies between two rows of TensorBoard, and those of its phases are
what each side writes there itself; the first step warms up.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import ray
from rich.console import Console
from rich.table import Table
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tqdm import tqdm

ROOT = Path(__file__).parents[2]
TASK = ROOT / "examples" / "arithmetic"
PROMPTS, ROLLOUTS, CANDIDATES = 16, 8, 80
OURS = "this project, PREPO"
MICRO_BATCHES = {  # rollout, train
    "OpenRLHF, its micro-batches": (1, 1),
    "OpenRLHF, our micro-batches": (64, 32),
    OURS: (64, 32),
}


PHASES = {  # ours -> OpenRLHF's
    "generation": "generation",
    "make_experience": "make_experience",
    "train": "ppo_train",
    "weight_sync": "broadcast",
}


def command(side: str, data: Path, folder: Path, args: argparse.Namespace) -> list[str]:
    """What both are told, and what only one of them knows or needs."""
    rollout, train = MICRO_BATCHES[side]
    prompts_a_step = CANDIDATES if side == OURS else PROMPTS
    options = {
        "actor.model_name_or_path": TASK / "checkpoints" / "mid",
        "actor.num_gpus_per_node": 1,
        "actor.adam.lr": 1e-4,
        "vllm.num_engines": 1,
        "data.prompt_dataset": data / "train.jsonl",
        "data.input_key": "prompt",
        "data.label_key": "label",
        "data.max_len": 80 + args.max_new_tokens,
        "data.max_samples": args.steps * prompts_a_step,
        "reward.remote_url": TASK / "reward.py",
        "rollout.batch_size": PROMPTS,
        "rollout.n_samples_per_prompt": ROLLOUTS,
        "rollout.max_new_tokens": args.max_new_tokens,
        "rollout.micro_batch_size": rollout,
        "train.batch_size": PROMPTS * ROLLOUTS // 2,
        "train.micro_batch_size": train,
        "algo.kl.init_coef": 0,
        "algo.advantage.estimator": "group_norm",
        "ckpt.output_dir": folder / "model",
        "ckpt.path": folder / "checkpoints",
        "logger.tensorboard_dir": folder / "tensorboard",
    }
    if side == OURS:
        entry = ["-m", "prepo_rlhf.cli.train_prepo_ray", "--ds.packing_samples"]
        options |= {"backend": "cpu", "ds.param_dtype": "fp32", "logger.run_dir": folder}
    else:
        entry = [str(Path(__file__).with_name("openrlhf_on_cpu.py")), "--vllm.enforce_eager"]
        options |= {"ds.attn_implementation": "sdpa"}
    return [sys.executable, *entry, *(part for name, value in options.items() for part in (f"--{name}", str(value)))]


def step_seconds(folder: Path) -> dict[str, float]:
    """Medians over the steps but the first: of the whole, and of its phases."""
    events = EventAccumulator(str(next(folder.rglob("events*")).parent)).Reload()
    tags = events.Tags()["scalars"]

    def after_first(*endings: str) -> list[Any]:
        return events.Scalars(next(tag for tag in tags if tag.endswith(endings)))[1:]

    whole = events.Scalars(next(tag for tag in tags if tag.endswith("policy_loss")))
    seconds = {"step": median(later.wall_time - earlier.wall_time for earlier, later in pairwise(whole))}
    for phase, theirs in PHASES.items():
        seconds[phase] = median(row.value for row in after_first(f"timing/{phase}", f"timing/{theirs}"))
    return seconds


def run(side: str, data: Path, args: argparse.Namespace, ray_address: str) -> dict[str, float]:
    """OpenRLHF's side starts a Ray of its own, with a hook for its workers; this project's joins the one given."""
    environment = os.environ | ({"RAY_ADDRESS": ray_address} if side == OURS else {})
    with tempfile.TemporaryDirectory() as folder:
        line = command(side, data, Path(folder), args)
        done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=environment)
        if done.returncode:
            sys.exit(f"{side} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        return step_seconds(Path(folder))


def measure(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds, and this project's step as a share of each side's in the same round: median, lowest and highest."""
    os.environ.pop("RAY_ADDRESS", None)
    context = ray.init("local", num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False)  # logical ones
    address = context.address_info["gcs_address"]
    with tempfile.TemporaryDirectory() as data:
        script = [sys.executable, str(TASK / "make_data.py"), "--output_dir", data]
        subprocess.run([*script, "--train_size", str(args.steps * CANDIDATES), "--heldout_size", "1"], check=True)
        rounds = [
            {side: run(side, Path(data), args, address) for side in MICRO_BATCHES}
            for _ in tqdm(range(args.pairs), unit="round")
        ]
    result = {}
    for side in MICRO_BATCHES:
        ratios = [row[OURS]["step"] / row[side]["step"] for row in rounds]
        seconds = {name: median(row[side][name] for row in rounds) for name in ("step", *PHASES)}
        result[side] = {"ratio": median(ratios), "lowest": min(ratios), "highest": max(ratios)} | seconds
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--max_new_tokens", type=int, default=48)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    result = measure(args)
    table = Table("side", "ours / its", "lowest", "highest", "step (s)", *PHASES)
    for side, row in result.items():
        table.add_row(side, *(f"{value:.3g}" for value in row.values()))
    Console().print(table)
    if args.output:
        settings = {name: value for name, value in vars(args).items() if name != "output"}
        args.output.write_text(json.dumps({"settings": settings, "sides": result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
