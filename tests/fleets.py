"""Actors without a control loop, for tests that look at one part of a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from tiny_tasks import job_options

from prepo_rlhf.backends.launch import apply_backend, start_ray
from prepo_rlhf.cli.train_prepo_ray import job_config
from prepo_rlhf.config import Config
from prepo_rlhf.trainer.job import load_models


def make_config(model: str, run_dir: Path, **changes: Any) -> Config:
    """The effective options of a tiny job, its data and reward left open."""
    config = job_config(job_options(model, "no-data.jsonl", "no-reward.py", run_dir, **changes))
    config = config.replaced({"reward.remote_url": None})
    apply_backend(config)
    return config


@contextmanager
def running_fleet(config: Config, with_engines: bool = True) -> Iterator[Any]:
    """The job's actors with their models loaded; gone afterwards. Without engines only the policy runs."""
    start_ray(config)
    from prepo_rlhf.ray.strategy import make_strategy

    strategy = make_strategy(config)
    try:
        fleet = _whole_fleet(config) if with_engines else _policy_alone(config)
        load_models(config, strategy, fleet, total_steps=4)
        fleet.strategy = strategy
        yield fleet
    finally:
        ray.shutdown()


def _whole_fleet(config: Config) -> Any:
    from prepo_rlhf.cluster.places import reserve_places
    from prepo_rlhf.ray.placement import create_fleet

    return create_fleet(config, reserve_places(config))


def _policy_alone(config: Config) -> Any:
    from openrlhf.trainer.ray.launcher import RayActorGroup

    from prepo_rlhf.ray.placement import Fleet
    from prepo_rlhf.ray.policy_actor import PolicyActor

    size = config.actor.num_gpus_per_node
    return Fleet(RayActorGroup(1, size, ray.remote(PolicyActor), num_gpus_per_actor=1), None, [])
