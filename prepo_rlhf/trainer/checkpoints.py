"""What a run needs to go on after a stop, and the best model so far.

Weights and optimizer states are DeepSpeed's; the control loop's state (stream, selector, counters) travels
with them as client state, so that both are always of the same step.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
from openrlhf.trainer.ray.launcher import RayActorGroup

from prepo_rlhf.config import Config, to_yaml
from prepo_rlhf.trainer.preflight import CHECKPOINT_CONFIG, resume_tag


@dataclass
class LoopState:
    """The control loop's own state after `step` training steps."""

    step: int = 0
    rollouts: int = 0
    tokens: int = 0
    kl_coef: float | None = None
    best_metric: float = float("-inf")
    stream: dict[str, Any] | None = None


class Checkpoints:
    """Saves every `--ckpt.save_steps` steps, and whenever the evaluation is the best so far."""

    def __init__(self, config: Config, policy: RayActorGroup) -> None:
        self._config = config
        self._policy = policy

    def load(self) -> LoopState:
        """The state of the checkpoint that the policy was loaded from, or a fresh one."""
        if resume_tag(self._config) is None:
            return LoopState()
        return LoopState(**ray.get(self._policy.async_run_method("get_checkpoint_states"))[0]["prepo_loop"])

    def save_if_due(self, state: LoopState) -> None:
        if self._config.ckpt.save_steps > 0 and state.step % self._config.ckpt.save_steps == 0:
            self._save(f"global_step{state.step}", state, None, None)

    def save_if_best(self, state: LoopState, metrics: dict[str, float]) -> None:
        """Keep this step as `best_global_step<N>` if the tracked evaluation metric has never been higher."""
        key = self._metric_key(metrics)
        if key is None or metrics[key] <= state.best_metric:
            return
        state.best_metric = metrics[key]
        if state.step > 0:  # the model that training started from needs no copy
            self._save(f"best_global_step{state.step}", state, metrics[key], key)

    def _metric_key(self, metrics: dict[str, float]) -> str | None:
        wanted = self._config.ckpt.best_metric_key
        if wanted:
            return wanted if wanted in metrics else None  # "none" switches it off
        averages = sorted(key for key in metrics if key.startswith("eval/") and "/avg@" in key)
        return averages[0] if averages else None

    def _save(self, tag: str, state: LoopState, metric: float | None, key: str | None) -> None:
        config_file = Path(self._config.ckpt.path) / CHECKPOINT_CONFIG
        config_file.write_text(to_yaml(self._config))
        calls = self._policy.async_run_method(
            "save_checkpoint", tag, {"prepo_loop": asdict(state)}, metric_value=metric, metric_key=key
        )
        ray.get(calls)
