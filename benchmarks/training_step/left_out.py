"""What a pass of training costs when sequences without advantage are left out, beside the pass over all of them.

    python benchmarks/training_step/left_out.py --output left_out.json

A policy of one rank with a random model, without engines: sequences of 32 tokens of prompt and a response of half the
longest length to all of it. The sides take turns with the same experience; ratios are within a round.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from prepo_rlhf.backends.launch import apply_backend, start_ray  # isort: skip  (before Ray, which it sets up)
import ray
import torch
from jobs import TASK
from models import save_random_model
from tables import report
from tqdm import tqdm

from prepo_rlhf.cli.train_prepo_ray import job_config
from prepo_rlhf.config import Config

PROMPT, GROUP = 32, 8  # tokens, rollouts
LAYOUTS = {  # besides micro-batches of 32 sequences
    "padded": [],
    "packed": ["--ds.packing_samples"],
    "by tokens": ["--train.dynamic_batch_enable", "--train.max_tokens_per_gpu", "4096"],
}


def make_config(model: Path, folder: Path, layout: str, args: argparse.Namespace) -> Config:
    options = {
        "backend": "cpu", "ds.param_dtype": "fp32", "actor.model_name_or_path": model, "actor.num_gpus_per_node": 1,
        "data.prompt_dataset": TASK / "none.jsonl", "data.max_len": PROMPT + args.length,
        "reward.remote_url": TASK / "reward.py", "rollout.batch_size": args.rollouts // GROUP,
        "rollout.micro_batch_size": 32, "train.batch_size": args.rollouts // 2, "train.micro_batch_size": 32,
        "logger.run_dir": folder,
    }  # fmt: skip
    words = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    config = job_config([*words, *LAYOUTS[layout]])
    apply_backend(config)
    return config


def make_experience(args: argparse.Namespace, without: float) -> Any:
    """All rollouts of a step; the share `without` has no advantage."""
    from openrlhf.trainer.ppo_utils.experience import Experience

    from prepo_rlhf.ray.policy_actor import WEIGHT_KEY

    generator = torch.Generator().manual_seed(0)
    lengths = PROMPT + torch.randint(args.length // 2, args.length + 1, (args.rollouts,), generator=generator)
    width = int(lengths.max())
    attention = torch.arange(width) < lengths[:, None]
    action = attention[:, 1:] & (torch.arange(width - 1) >= PROMPT - 1)
    advantages = torch.where(torch.arange(args.rollouts) % 2 == 0, 1.0, -1.0)
    groups = torch.arange(args.rollouts) // GROUP * GROUP / args.rollouts
    advantages[groups < without] = 0.0
    return Experience(
        sequences=torch.randint(3, 190, (args.rollouts, width), generator=generator) * attention,
        attention_mask=attention.long(), action_mask=action.long(), action_log_probs=torch.full(action.shape, -8.0),
        advantages=advantages[:, None] * action, total_length=lengths.float(),
        info={WEIGHT_KEY: torch.ones(args.rollouts)},
    )  # fmt: skip


def seconds(policy: Any, config: Config, experience: Any, leave_out: bool) -> float:
    """Of one pass, from the experience to the updated policy."""
    from prepo_rlhf.trainer.mini_batches import TrainingPasses

    start = time.perf_counter()
    for micro_batches in TrainingPasses(config, [experience], 1, 0, leave_out):
        ray.get(policy.async_run_method_batch("train_pass", micro_batches=micro_batches, kl_coef=[0.0]))
    return time.perf_counter() - start


def measure_layout(layout: str, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        model = save_random_model(Path(folder) / "model", args.layers, args.hidden_size)
        config = make_config(model, Path(folder), layout, args)
        start_ray(config)
        from openrlhf.trainer.ray.launcher import RayActorGroup

        from prepo_rlhf.ray.placement import Fleet
        from prepo_rlhf.ray.policy_actor import PolicyActor
        from prepo_rlhf.ray.strategy import make_strategy
        from prepo_rlhf.trainer.job import load_models

        try:
            policy = RayActorGroup(1, 1, ray.remote(PolicyActor), num_gpus_per_actor=1)
            load_models(config, make_strategy(config), Fleet(policy, None, []), total_steps=1000)
            result = {}
            for without in args.without:
                experience = make_experience(args, without)
                seconds(policy, config, experience, leave_out=False)
                rounds = [
                    [seconds(policy, config, experience, leave_out) for leave_out in (False, True)]
                    for _ in tqdm(range(args.pairs), desc=f"{layout}, {without}", file=sys.stderr)
                ]
                ratios = [left_out / whole for whole, left_out in rounds]
                result[f"{layout}, {without}"] = {
                    "left out / all": median(ratios), "lowest": min(ratios), "highest": max(ratios),
                    "all (s)": median(whole for whole, _ in rounds), "left out (s)": median(rest for _, rest in rounds),
                }  # fmt: skip
            return result
        finally:
            ray.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without", type=float, nargs="+", default=[0.0, 0.5, 0.75], help="share without advantage")
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--rollouts", type=int, default=128)
    parser.add_argument("--length", type=int, default=128, help="of the longest response")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden_size", type=int, default=192)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    result: dict[str, dict[str, float]] = {}
    for layout in args.layouts:
        result |= measure_layout(layout, args)
    report("share without advantage", result, args)


if __name__ == "__main__":
    main()
