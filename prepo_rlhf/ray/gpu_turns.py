"""Who may use the GPUs when policy and engines share them: each sleeps in the other's turn.

`--vllm.enable_sleep` frees the engines' memory while the policy trains, `--ds.enable_sleep` that of the policy's
optimizer while they generate; without these switches nothing moves.
Boundary: wakes and puts to sleep; what a turn is used for is the control loop's business.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import ray
from openrlhf.trainer.ray.vllm_engine import batch_vllm_engine_call

from prepo_rlhf.config import Config
from prepo_rlhf.ray.placement import Fleet


class GpuTurns:
    """The turns of a job's actors. What raises inside a turn ends it without putting anyone to sleep."""

    def __init__(self, config: Config, fleet: Fleet) -> None:
        self._engines = fleet.engines if config.vllm.enable_sleep else []
        self._policy = fleet.policy if config.ds.enable_sleep else None

    @contextmanager
    def generating(self) -> Generator[None]:
        """The engines' turn: awake with weights and KV cache."""
        if self._engines:
            batch_vllm_engine_call(self._engines, "wake_up")
        yield
        if self._engines:
            batch_vllm_engine_call(self._engines, "sleep")

    @contextmanager
    def training(self) -> Generator[None]:
        """The policy's turn: its optimizer's states are on the GPU."""
        if self._policy:
            ray.get(self._policy.async_run_method("reload_states"))
        yield
        if self._policy:
            ray.get(self._policy.async_run_method("offload_states"))

    def prepare_for_weights(self) -> None:
        """Give sleeping engines back the memory of their weights, which are then sent; their cache stays away."""
        if self._engines:
            batch_vllm_engine_call(self._engines, "wake_up", tags=["weights"])
