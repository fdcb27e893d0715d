"""OpenRLHF's DeepSpeed strategy, with an optimizer and reductions that every machine can run."""

from __future__ import annotations

from typing import Any

import ray
from openrlhf.utils.deepspeed import DeepspeedStrategy

from prepo_rlhf import backends
from prepo_rlhf.backends import deepspeed_engine
from prepo_rlhf.config import Config


class Strategy(DeepspeedStrategy):
    """How models are distributed and trained; made once in the driver, and sent to every actor."""

    def setup_distributed(self, *args: Any, **kwargs: Any) -> None:
        if backends.current_backend() == "cpu":
            from prepo_rlhf.backends import cpu

            deepspeed_engine.leave_reductions_to_gloo()
            cpu.let_gloo_listen_at(ray.util.get_node_ip_address())
        super().setup_distributed(*args, **kwargs)
        deepspeed_engine.leave_buckets_unfilled()

    def get_ds_train_config(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        config = super().get_ds_train_config(*args, **kwargs)
        if backends.current_backend() == "cpu":
            deepspeed_engine.use_torch_adam(config)
        return config


def make_strategy(config: Config) -> Strategy:
    """The strategy of a job; OpenRLHF's classes find the job's options as `strategy.args`."""
    return Strategy(
        seed=config.train.seed,
        full_determinism=config.train.full_determinism_enable,
        max_norm=config.actor.max_norm,
        micro_train_batch_size=config.train.micro_batch_size,
        train_batch_size=config.train.batch_size,
        zero_stage=config.ds.zero_stage,
        args=config,
    )
