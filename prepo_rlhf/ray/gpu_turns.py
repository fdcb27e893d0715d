"""Time-sharing of colocated GPUs: one side's memory is freed (sleep mode) while the other one computes.

`--vllm.enable_sleep` frees the engines' memory while the policy trains, `--ds.enable_sleep` moves the policy's
optimizer states to CPU memory while the engines generate; without these switches nothing is moved.
Boundary: frees memory and takes it back; when that happens is decided by the control loop.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import ray
from openrlhf.trainer.ray.vllm_engine import batch_vllm_engine_call

from prepo_rlhf.config import Config
from prepo_rlhf.ray.placement import Fleet


class GpuTurns:
    """The phases in which the engines or the policy use the GPUs. After an error in a phase nothing is put to sleep."""

    def __init__(self, config: Config, fleet: Fleet) -> None:
        self._engines = fleet.engines if config.vllm.enable_sleep else []
        self._policy = fleet.policy if config.ds.enable_sleep else None

    @contextmanager
    def generating(self) -> Generator[None]:
        """While the engines generate: they hold weights and KV cache on the GPU."""
        if self._engines:
            batch_vllm_engine_call(self._engines, "wake_up")
        yield
        if self._engines:
            batch_vllm_engine_call(self._engines, "sleep")

    @contextmanager
    def training(self) -> Generator[None]:
        """While the policy trains: its optimizer's states are on the GPU."""
        if self._policy:
            ray.get(self._policy.async_run_method("reload_states"))
        yield
        if self._policy:
            ray.get(self._policy.async_run_method("offload_states"))

    def prepare_for_weights(self) -> None:
        """Let sleeping engines allocate memory for the weights about to be sent; not yet for their KV cache."""
        if self._engines:
            batch_vllm_engine_call(self._engines, "wake_up", tags=["weights"])
