"""Tiny training tasks for the tests: questions, a reward, and the command line of a job on them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from prepo_rlhf.config import Config, GivenConfig, Machine, check, parse_args, resolve

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT.parent / "shared" / "benchmarks"
REWARD_FILE = '''
import torch

def reward_func(queries, prompts, labels):
    scores = torch.tensor([float(len(query) % 2) for query in queries])
    return {"rewards": scores, "scores": scores, "extra_logs": {"characters": torch.tensor([len(queries[0])])}}
'''


def question_rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Word problems of different lengths and wordings."""
    rng = random.Random(seed)
    names, things = ("Ann", "Bo", "Cem", "Dana", "Eli"), ("apples", "marbles", "stamps", "old copper coins")
    rows = []
    for _ in range(count):
        total, text = rng.randint(1, 50), ""
        for _ in range(rng.randint(1, 5)):
            more = rng.randint(1, 50)
            total += more
            text += f" {rng.choice(names)} brings {more} more {rng.choice(things)}."
        rows.append({"question": f"There are {total} things.{text} How many are there?", "answer": str(total)})
    return rows


def job_options(model: str, data: str, reward: str, run_dir: Path, **changes: Any) -> list[str]:
    """Command line of a job of 6 steps: |B| = 20, K = 4, n = 4, one GPU for the policy and one for an engine.

    `changes` name options with `__` for the dot; True stands for a switch, None takes an option away.
    """
    options: dict[str, Any] = {
        "actor__model_name_or_path": model,
        "data__prompt_dataset": data,
        "data__input_key": "question",
        "data__label_key": "answer",
        "data__max_len": 256,
        "ds__param_dtype": "fp32",  # not every CPU computes in bf16
        "reward__remote_url": reward,
        "rollout__batch_size": 4,
        "rollout__n_samples_per_prompt": 4,
        "rollout__micro_batch_size": 8,
        "rollout__max_new_tokens": 16,
        "train__batch_size": 8,
        "train__micro_batch_size": 4,
        "prepo__candidate_batch_size": 20,
        "actor__num_gpus_per_node": 1,
        "actor__adam__lr": 1e-3,
        "logger__run_dir": run_dir,
        "ckpt__path": run_dir / "checkpoints",
        "ckpt__output_dir": run_dir / "model",
    }
    arguments: list[str] = []
    for name, value in (options | changes).items():
        if value is None:
            continue
        arguments.append("--" + name.replace("__", "."))
        if value is not True:
            arguments += [str(item) for item in value] if isinstance(value, tuple) else [str(value)]
    return arguments


def gpu_config(given: GivenConfig | None = None) -> Config:
    """The options of a run on a machine with flash-attn and, but for `--backend cpu`, GPUs; not validated."""
    given = given or GivenConfig()
    backend = "cuda" if given.backend == "auto" else given.backend
    return resolve(given, Machine(backend, has_flash_attention=True, folder=os.getcwd()))


def gpu_job(arguments: list[str]) -> Config:
    """The complete, valid options of a command line on such a machine."""
    return check(gpu_config(parse_args(arguments)))


def run_job(arguments: list[str], timeout: int = 400, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the training command line as a user would, in `folder`; returns its output and exit code."""
    command = [sys.executable, "-m", "prepo_rlhf.cli.train_prepo_ray", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=os.environ, cwd=folder)


def read_metrics(run_dir: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def without_timings(row: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if not name.startswith(("timing/", "run/"))}
