"""A policy of one rank by itself, with a random model and without engines: its passes alone are measured.

Boundary: the packaged actor, started as a job starts it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prepo_rlhf.backends.launch import apply_backend, start_ray  # isort: skip  (before Ray, which it sets up)
import ray
from jobs import TASK

from prepo_rlhf.cli.train_prepo_ray import job_config
from prepo_rlhf.config import Config

GROUP = 8  # rollouts


def make_config(
    model: Path, folder: Path, args: argparse.Namespace, prompt: int, words: Sequence[str] = ()
) -> Config:
    """Two updates of `args.rollouts` rollouts, of `prompt` and at most `args.length` tokens; `words`: more options."""
    options = {
        "backend": "cpu", "ds.param_dtype": "fp32", "actor.model_name_or_path": model, "actor.num_gpus_per_node": 1,
        "data.prompt_dataset": TASK / "none.jsonl", "data.max_len": prompt + args.length,
        "reward.remote_url": TASK / "reward.py", "rollout.batch_size": args.rollouts // GROUP,
        "rollout.micro_batch_size": 32, "train.batch_size": args.rollouts // 2, "train.micro_batch_size": 32,
        "logger.run_dir": folder,
    }  # fmt: skip
    config = job_config([*(part for name, value in options.items() for part in (f"--{name}", str(value))), *words])
    apply_backend(config)
    return config


@contextmanager
def one_rank(config: Config) -> Iterator[Any]:
    """The policy's actor group, on a Ray of its own."""
    start_ray(config)
    from openrlhf.trainer.ray.launcher import RayActorGroup

    from prepo_rlhf.ray.placement import Fleet
    from prepo_rlhf.ray.policy_actor import PolicyActor
    from prepo_rlhf.ray.strategy import make_strategy
    from prepo_rlhf.trainer.job import load_models

    try:
        policy = RayActorGroup(1, 1, ray.remote(PolicyActor), num_gpus_per_actor=1)
        load_models(config, make_strategy(config), Fleet(policy, None, []), total_steps=1000)
        yield policy
    finally:
        ray.shutdown()


def training_seconds(policy: Any, config: Config, experience: Any, leave_out: bool) -> float:
    """Of one pass, from the experience to the updated policy."""
    from prepo_rlhf.trainer.mini_batches import TrainingPasses

    start = time.perf_counter()
    for micro_batches in TrainingPasses(config, [experience], 1, 0, leave_out):
        ray.get(policy.async_run_method_batch("train_pass", micro_batches=micro_batches, kl_coef=[0.0]))
    return time.perf_counter() - start
