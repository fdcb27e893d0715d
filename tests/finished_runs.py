"""A training run that several tests read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from broken_jobs import MakeOptions, fault_options
from tiny_tasks import run_job


@dataclass(frozen=True)
class FinishedRun:
    """What a job said and left, and how to make the options of the same job in another folder."""

    folder: Path
    stdout: str
    options_in: MakeOptions


def finish_run(model: str, data: str, reward: str, folder: Path) -> FinishedRun:
    """Deterministic, with 12 steps in two epochs, evaluated every third step."""
    options_in = partial(
        fault_options, model, data, reward, train__num_episodes=2, eval__dataset=data, eval__steps=3,
        eval__n_samples_per_prompt=2,
    )  # fmt: skip
    done = run_job(options_in(folder))
    assert done.returncode == 0, done.stderr
    return FinishedRun(folder, done.stdout, options_in)
