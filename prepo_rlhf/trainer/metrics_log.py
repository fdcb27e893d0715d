"""Writes a run's records: metrics.jsonl, prompts.jsonl, TensorBoard, Weights & Biases, and a line on the terminal.

Boundary: numbers in; computes none but the time that is left.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from prepo_rlhf.config import Config, to_yaml
from prepo_rlhf.files.atomic import replace_text
from prepo_rlhf.files.outputs import CONFIG_FILE
from prepo_rlhf.files.step_rows import METRICS_FILE, PROMPTS_FILE, StepRows
from prepo_rlhf.selection.base import PromptOutcome
from prepo_rlhf.trainer import wandb_log


class MetricsLog:
    """Writes one row a training step; row 0 is the evaluation before the first step."""

    def __init__(
        self, config: Config, total_steps: int, resumed_step: int | None, of_run: Callable[[], dict[str, int]] = dict
    ) -> None:
        """`resumed_step`: the step of the checkpoint, after which earlier rows are dropped; None for a new run.
        `of_run`: what has befallen the run so far, for every row."""
        self._of_run = of_run
        self._run_dir = Path(config.logger.run_dir)
        self._total_steps, self._logging_steps = total_steps, config.logger.logging_steps
        replace_text(self._run_dir / CONFIG_FILE, to_yaml(config))
        self._metrics = StepRows(self._run_dir / METRICS_FILE, resumed_step)
        self._prompts = StepRows(self._run_dir / PROMPTS_FILE, resumed_step)
        folder = config.logger.tensorboard_dir or str(self._run_dir / "tensorboard")
        self._tensorboard = SummaryWriter(folder, purge_step=resumed_step and resumed_step + 1)
        self._wandb = wandb_log.start(config)
        self._resumed_step = resumed_step or 0
        self._steady_since = 0.0  # when this process's first step ended

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Append a row and print its summary; the row is on disk when this returns."""
        self._metrics.write(step, metrics | self._of_run())
        self._tell(step, metrics)

    def add_to_last(self, step: int, metrics: dict[str, float]) -> None:
        """Add to the row of `step`, the last one, and print them; they are on disk when this returns."""
        self._metrics.add_to_last(metrics)
        self._tell(step, metrics)

    def _tell(self, step: int, metrics: dict[str, float]) -> None:
        if step % self._logging_steps == 0:
            for name, value in metrics.items():
                self._tensorboard.add_scalar(name, value, step)
            if self._wandb:
                self._wandb.log(metrics, step=step)
        print(self._line(step, metrics), flush=True)

    def write_prompts(self, step: int, outcomes: list[PromptOutcome]) -> None:
        """Record which rows of the dataset got rollouts, their tokens, how many rollouts and of which mean reward;
        perplexities if scored, and pass rates if the selector predicts them."""
        values = {
            "rows": [outcome.row for outcome in outcomes],
            "lengths": [outcome.num_tokens for outcome in outcomes],
            "rollouts": [len(outcome.rewards) for outcome in outcomes],
            "mean_rewards": [sum(outcome.rewards) / len(outcome.rewards) for outcome in outcomes],
            "perplexities": [outcome.perplexity for outcome in outcomes],
            "predicted": [outcome.predicted for outcome in outcomes],
        }
        self._prompts.write(step, values)

    def close(self) -> None:
        self._metrics.close()
        self._prompts.close()
        self._tensorboard.close()
        if self._wandb:
            self._wandb.finish()

    def _line(self, step: int, row: dict[str, float]) -> str:
        parts = [f"step {step}/{self._total_steps}"]
        if "prepo/ppl_selected_min" in row:
            parts.append(f"PPL window {row['prepo/ppl_selected_min']:.2f}-{row['prepo/ppl_selected_max']:.2f}")
        if "rollout/reward_mean" in row:
            parts.append(f"zero-advantage {row['signal/zero_advantage_ratio']:.2f}")
            parts.append(f"reward {row['rollout/reward_mean']:.3f}")
            parts.append(f"rollouts {row['rollout/total']:.0f}")
        averages = ((name, value) for name, value in row.items() if re.fullmatch(r"eval/.+/avg@\d+", name))
        parts += [f"{name.removeprefix('eval/')} {value:.3f}" for name, value in averages]
        if (left := self._time_left(step)) is not None:
            parts.append(f"left {tqdm.format_interval(left)}")
        return " | ".join(parts)

    def _time_left(self, step: int) -> float | None:
        """Seconds, by the steps after this process's first, which warms up caches and compiles; None before them."""
        steady, now = step - self._resumed_step - 1, time.monotonic()
        if steady == 0:
            self._steady_since = now
        return (now - self._steady_since) / steady * (self._total_steps - step) if steady > 0 else None
