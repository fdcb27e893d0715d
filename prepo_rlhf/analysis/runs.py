"""A training run read from its files: options, metrics of every step, prompts that got rollouts.

Boundary: config.yaml, metrics.jsonl and prompts.jsonl; a running job is read up to its last complete row.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml

from prepo_rlhf.config.base import ConfigError, flatten
from prepo_rlhf.config.root import GivenConfig
from prepo_rlhf.files.step_rows import METRICS_FILE, PROMPTS_FILE, read_step_rows

ROLLOUTS, TOKENS = "rollout/total", "rollout/total_tokens"
PROMPT_COLUMNS = {
    "rows": "row",
    "lengths": "length",
    "mean_rewards": "reward",
    "perplexities": "perplexity",
    "predicted": "predicted",
}
SET_ASIDE = re.compile(r"before-\d{4}-\d{2}-\d{2}-\d{6}(-\d+)?")  # by --logger.overwrite
EMPTY = f"{METRICS_FILE} is empty; the run has finished no step yet"
UNDRAWABLE = [np.inf, -np.inf]  # perplexity of a prompt with a token of probability 0


class Run(NamedTuple):
    """One training run.

    `steps` has a row a step, of which step 0 is the evaluation before the first, and a column a metric; `prompts` a row
    for each prompt that got rollouts: step, row of the dataset, length in tokens, mean reward, perplexity and predicted
    pass rate. What was not recorded or is infinite is NaN.
    """

    name: str  # the folder's, or as much of its path as tells it apart where several folders are called the same
    folder: Path
    options: Mapping[str, Any]  # dotted name -> value; one that the run's version did not have is at today's default
    steps: pd.DataFrame
    prompts: pd.DataFrame

    @property
    def seed(self) -> int:
        return self.options["train.seed"]


def find_runs(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those of `paths`, as a shell makes them of runs/*, that are to be read as runs; and a line for each other one.

    A run that was set aside is read where there is no other. ConfigError if none is a run.
    """
    reasons = {path: _why_no_run(Path(path)) for path in paths}
    found = [path for path in paths if not reasons[path]]
    current = [path for path in found if not SET_ASIDE.fullmatch(Path(path).resolve().name)]
    if paths and not found:
        raise ConfigError("; ".join(f"--runs {path}: {reason}" for path, reason in reasons.items()))
    left_out = [f"{path} is left out: {reason}" for path, reason in reasons.items() if reason]
    if current:
        left_out += [f"{path} is left out: a run that was set aside" for path in found if path not in current]
    return current or found, left_out


def _why_no_run(path: Path) -> str:
    """Why nothing can be read there although something is there; empty for what `read_runs` can judge."""
    metrics = path / METRICS_FILE
    if not path.exists():
        return ""
    if path.is_file():
        return "a file, and no folder of a training run"
    if metrics.is_file():
        return "" if b"\n" in metrics.read_bytes() else f"its {EMPTY}"
    if (path / "samples.jsonl").is_file():
        return "an evaluation; eval_math --compare shows those"
    return f"there is no {METRICS_FILE} of a training run in it"


def read_runs(folders: Sequence[str]) -> list[Run]:
    """The runs of these folders, in their order; ConfigError for none, one given twice, or one without a run."""
    paths = [Path(folder) for folder in folders]
    if not paths:
        raise ConfigError("--runs is missing: give the folders of training runs (--logger.run_dir)")
    for path, times in Counter(path.resolve() for path in paths).items():
        if times > 1:
            raise ConfigError(f"--runs {path}: is given {times} times")
    called = Counter(path.resolve().name for path in paths)
    above = os.path.commonpath([path.resolve().parent for path in paths])
    return [
        _read_run(path, whole.name if called[whole.name] == 1 else str(whole.relative_to(above)))
        for path, whole in ((path, path.resolve()) for path in paths)
    ]


def _read_run(folder: Path, name: str) -> Run:
    if not folder.is_dir():
        raise ConfigError(f"--runs {folder}: there is no such folder")
    if not (folder / METRICS_FILE).is_file():
        raise ConfigError(f"--runs {folder}: there is no {METRICS_FILE} of a training run in it")
    rows = _read_rows(folder, METRICS_FILE)
    if not rows:
        raise ConfigError(f"--runs {folder}: its {EMPTY}")
    prompts = _read_rows(folder, PROMPTS_FILE) if (folder / PROMPTS_FILE).is_file() else []
    return Run(name, folder, _read_options(folder), _steps(rows), _prompts(prompts))


def _read_rows(folder: Path, file: str) -> list[dict[str, Any]]:
    try:
        return read_step_rows(folder / file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--runs {folder}: its records can't be read: {error}") from error


def _read_options(folder: Path) -> dict[str, Any]:
    try:
        options = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"--runs {folder}: its config.yaml can't be read ({error})") from error
    if not isinstance(options, dict):
        raise ConfigError(f"--runs {folder}: its config.yaml holds no options")
    return dict(flatten(GivenConfig().to_dict())) | dict(flatten(options))


def _steps(rows: list[dict[str, Any]]) -> pd.DataFrame:
    steps = pd.DataFrame(rows).replace(UNDRAWABLE, np.nan)
    steps = steps.reindex(columns=list(dict.fromkeys([*steps.columns, ROLLOUTS, TOKENS])))
    steps.loc[steps["step"] == 0, [ROLLOUTS, TOKENS]] = 0.0
    return steps


def _prompts(rows: list[dict[str, Any]]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"step": row["step"]} | {name: row.get(key) for key, name in PROMPT_COLUMNS.items()})
        for row in rows
    ]
    columns = ["step", *PROMPT_COLUMNS.values()]
    prompts = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    numbers = [name for name in columns if name not in ("step", "row")]
    return prompts.astype(dict.fromkeys(numbers, float)).replace(UNDRAWABLE, np.nan)
