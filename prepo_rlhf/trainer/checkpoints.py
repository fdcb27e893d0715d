"""What a run needs to go on after a stop, and the best model so far.

Weights and optimizer states are DeepSpeed's; the control loop's state (stream, selector, counters) travels
with them as client state, so that both are always of the same step; the groups that the next steps train on once more
lie beside them, in a file of their own. Which files make a checkpoint whole is for `checkpoint_manifest`.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
from openrlhf.trainer.ray.launcher import RayActorGroup
from ray.exceptions import RayTaskError

from prepo_rlhf.config import Config, to_yaml
from prepo_rlhf.files import checkpoint_manifest
from prepo_rlhf.files.atomic import replace_text
from prepo_rlhf.files.outputs import CONFIG_FILE, FINISHED_FILE
from prepo_rlhf.files.run_start import checkpoint_folder
from prepo_rlhf.ray.faults import reason
from prepo_rlhf.trainer.replay import Replay
from prepo_rlhf.trainer.stopped import TrainingStopped, how_to_go_on

REPLAY_FILE = "replay.pt"  # in the checkpoint's folder, with --train.replay_depth


class CheckpointError(TrainingStopped):
    """A checkpoint could not be saved."""


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

    def __init__(self, config: Config, policy: RayActorGroup, prompts_digest: str, replay: Replay) -> None:
        self._config = config
        self._prompts_digest = prompts_digest
        self._policy = policy
        self._replay = replay
        self._folder = checkpoint_folder(config)
        self._saved: str | None = None  # the last one of this run, or the one that it goes on from

    def load(self, tag: str | None) -> LoopState:
        """The state of the checkpoint `tag` that the policy was loaded from, with its replay; a fresh one for None."""
        if tag is None:
            return LoopState()
        self._saved = tag
        if self._config.train.replay_depth:
            self._replay.load(self._folder / tag / REPLAY_FILE)
        return LoopState(**ray.get(self._policy.async_run_method("get_checkpoint_states"))[0]["prepo_loop"])

    def save_if_due(self, state: LoopState) -> None:
        if self._config.ckpt.save_steps > 0 and state.step % self._config.ckpt.save_steps == 0:
            self._save(f"global_step{state.step}", state)

    def save_if_best(self, state: LoopState, metrics: dict[str, float]) -> None:
        """Keep this step as `best_global_step<N>` if the tracked evaluation metric has never been higher."""
        key = self._metric_key(metrics)
        if key is None or metrics[key] <= state.best_metric:
            return
        state.best_metric = metrics[key]
        if state.step > 0:  # the model that training started from needs no copy
            self._save(f"best_global_step{state.step}", state)

    def save_before_stop(self, state: LoopState) -> str:
        """Save the last step if it is not saved yet; returns what to tell the user about going on.

        Raises:
            CheckpointError: it cannot be saved.
        """
        if self._config.ckpt.disable_ds:
            return "nothing is saved to go on from, because of --ckpt.disable_ds"
        if state.step and (self._saved is None or not self._saved.endswith(f"global_step{state.step}")):
            self._save(f"global_step{state.step}", state)
        return self.how_to_go_on()

    def how_to_go_on(self) -> str:
        """A sentence about the newest checkpoint, for the end of a message."""
        return how_to_go_on(self._folder, self._saved)

    def mark_finished(self, state: LoopState) -> None:
        """Note that the model is saved, so that a later start knows that there is nothing left to do."""
        finished = checkpoint_manifest.Finished(state.step, self._config.train.num_episodes, self._saved)
        checkpoint_manifest.write_finished(Path(self._config.ckpt.path) / FINISHED_FILE, finished)

    def _metric_key(self, metrics: dict[str, float]) -> str | None:
        wanted = self._config.ckpt.best_metric_key
        if wanted:
            return wanted if wanted in metrics else None  # "none" switches it off
        averages = sorted(key for key in metrics if key.startswith("eval/") and "/avg@" in key)
        return averages[0] if averages else None

    def _save(self, tag: str, state: LoopState) -> None:
        options, folder = self._config.ckpt, self._folder / tag
        try:
            shutil.rmtree(folder, ignore_errors=True)  # of a save that was cut short, or of a longer run before this
            replace_text(Path(options.path) / CONFIG_FILE, to_yaml(self._config))
            ray.get(self._policy.async_run_method("save_checkpoint", tag, {"prepo_loop": asdict(state)}))
            if options.disable_ds:
                return
            if self._config.train.replay_depth:
                self._replay.save(folder / REPLAY_FILE)
            checkpoint_manifest.seal(folder, self._prompts_digest)
            checkpoint_manifest.point_latest(self._folder, tag)
        except (OSError, RayTaskError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise CheckpointError(
                f"--ckpt.path {options.path}: step {state.step} could not be saved, since {reason(error)}. "
                f"Put that right; {self.how_to_go_on()}"
            ) from error
        self._saved = tag
        checkpoint_manifest.rotate(self._folder, tag, options.max_num, options.max_mem)
