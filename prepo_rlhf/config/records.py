"""Options of what a run leaves behind: evaluations, checkpoints, logs.

Boundary: standard library and annotated_types. The string under a field is its help.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from annotated_types import Ge

from prepo_rlhf.config.base import OnResume, Options


@dataclass(frozen=True)
class EvalOptions(Options):
    """Evaluation during training."""

    on_resume = OnResume.SAME

    dataset: str | None = None
    """File, folder or Hugging Face name of the held-out prompts."""
    split: str = "train"
    """Split of that dataset."""
    steps: Annotated[int, OnResume.TAKES_EFFECT] = -1
    """Evaluate after every so many steps; -1 is never."""
    temperature: Annotated[float, Ge(0)] = 0.6
    """Sampling temperature."""
    n_samples_per_prompt: Annotated[int, Ge(1)] = 4
    """Responses for each prompt."""


@dataclass(frozen=True)
class CheckpointOptions(Options):
    """What is saved, and where."""

    on_resume = OnResume.TAKES_EFFECT

    output_dir: str = "./ckpt"
    """Folder of the final model; with LoRA the merged weights, and the adapter in adapter/."""
    path: str = "./ckpt/checkpoints_prepo"
    """Folder of the checkpoints."""
    save_steps: int = -1
    """Save a checkpoint after every so many steps; -1 is never."""
    save_hf: bool = False
    """Save each checkpoint in Hugging Face's format too."""
    disable_ds: bool = False
    """Save no DeepSpeed checkpoint (it is what resuming needs)."""
    max_num: Annotated[int, Ge(1)] = 3
    """Keep at most this many checkpoints."""
    max_mem: float = float("inf")
    """Keep at most this many gigabytes of checkpoints."""
    load_enable: bool = False
    """Resume from the newest checkpoint in --ckpt.path, if there is one; without one the job starts afresh."""
    best_metric_key: Annotated[str, OnResume.SAME] = ""
    """Evaluation metric whose best checkpoint is kept; empty finds one, none keeps none."""


@dataclass(frozen=True)
class WandbOptions(Options):
    """Weights & Biases."""

    on_resume = OnResume.TAKES_EFFECT

    enable: bool = False
    """Log there as well, with the key of the environment variable WANDB_API_KEY or of an earlier `wandb login`."""
    key: str | None = field(default=None, repr=False)
    """API key, which implies enable. On a command line others can read it: prefer WANDB_API_KEY. Goes to no file."""
    org: str | None = None
    """Team or user."""
    group: str | None = None
    """Group of runs."""
    project: str = "prepo_rlhf"
    """Project."""
    run_name: str = field(default_factory=lambda: f"prepo_{datetime.now():%m%dT%H:%M}")
    """Name of the run, in TensorBoard too; by default the date and time."""


@dataclass(frozen=True)
class LoggerOptions(Options):
    """Records."""

    on_resume = OnResume.TAKES_EFFECT

    run_dir: str = "./runs/prepo"
    """Folder of the run's records: config.yaml, metrics.jsonl and tensorboard/."""
    tensorboard_dir: str | None = None
    """Folder of the TensorBoard files; by default tensorboard/ in run_dir."""
    overwrite: bool = False
    """Start afresh although the job's folders hold what another run wrote: that is moved into a dated folder,
    before-DATE, beside the new files, and nothing is deleted. Without effect where --ckpt.load_enable finds a
    checkpoint."""
    logging_steps: Annotated[int, Ge(1)] = 1
    """Log after every so many steps."""
    wandb: WandbOptions = field(default_factory=WandbOptions)
