"""Folders as training jobs leave them, made by hand around small files, and what may be asked of them afterwards."""

from __future__ import annotations

import json
import os
from collections import Counter
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_tasks import job_options

from prepo_rlhf.cli.train_prepo_ray import job_config
from prepo_rlhf.config import Config, ConfigError, to_yaml
from prepo_rlhf.files.checkpoint_manifest import LATEST, MANIFEST, Finished, point_latest, seal, write_finished
from prepo_rlhf.files.run_start import Start, find_start, make_way

RESUME, OVERWRITE = {"ckpt__load_enable": True}, {"logger__overwrite": True}
# Where a job writes, in a folder: as most users do, as the defaults are, and apart.
LAYOUTS = {
    "inside": ("run", "run/tensorboard", "run/checkpoints", "run/model"),
    "checkpoints in the model's": ("runs/prepo", "runs/prepo/tensorboard", "ckpt/checkpoints_prepo", "ckpt"),
    "apart": ("records", "logs", "checkpoints", "model"),
    "one for all": ("all", "all", "all", "all"),
    "one for all but tensorboard": ("all", "all/tensorboard", "all", "all"),
    "names with spaces": ("läufe 1", "läufe 1/tensorboard", "läufe 1/stände, alle", "läufe 1/modell"),
}


@cache
def _job() -> Config:
    return job_config(job_options("a-model", "rows.jsonl", "reward.py", Path("run"), ckpt__save_steps=2))


def job_in(folder: Path, layout: str = "inside", **changes: Any) -> Config:
    """The options of a job of 6 steps that writes into `folder`; `changes` name others with `__` for the dot."""
    run_dir, tensorboard, checkpoints, model = (str(folder / name) for name in LAYOUTS[layout])
    where = {"logger.run_dir": run_dir, "logger.tensorboard_dir": tensorboard}
    where |= {"ckpt.path": checkpoints, "ckpt.output_dir": model}
    return _job().replaced(where | {name.replace("__", "."): value for name, value in changes.items()})


def leave_records(config: Config, last_step: int) -> None:
    """What a run has recorded after so many steps."""
    run_dir = Path(config.logger.run_dir)
    write(run_dir / "config.yaml", to_yaml(config))
    for name in ("metrics.jsonl", "prompts.jsonl"):
        rows = ({"step": step, "of": config.train.seed, "in": name} for step in range(1, last_step + 1))
        write(run_dir / name, "".join(json.dumps(row) + "\n" for row in rows))
    write(Path(config.logger.tensorboard_dir) / f"events.out.tfevents.{config.train.seed}.host", f"{last_step}")


def leave_checkpoints(config: Config, *tags: str, prompts: str = "") -> Path:
    """Whole checkpoints, the last of which is the newest; returns their folder."""
    folder = Path(config.ckpt.path) / "_actor"
    write(Path(config.ckpt.path) / "config.yaml", to_yaml(config))
    for age, tag in enumerate(reversed(tags)):
        (folder / tag).mkdir(parents=True)
        torch.save(torch.full((20,), float(config.train.seed)), folder / tag / "rank0.pt")
        write(folder / tag / "notes.txt", f"{tag} of seed {config.train.seed}")
        seal(folder / tag, prompts)
        os.utime(folder / tag / MANIFEST, (1e9 - age, 1e9 - age))
    if tags:
        point_latest(folder, tags[-1])
    return folder


def leave_model(config: Config) -> None:
    """The final model of a run."""
    for name in ("config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json"):
        write(Path(config.ckpt.output_dir) / name, f"{name} of seed {config.train.seed}")


def leave_run(config: Config, *, finished: bool = True) -> None:
    """All that a run of 6 steps leaves, checkpoints of steps 2 and 4 among it."""
    leave_records(config, last_step=6)
    leave_checkpoints(config, "global_step2", "global_step4")
    if finished:
        leave_model(config)
        file = Path(config.ckpt.path) / "finished.json"
        write_finished(file, Finished(6, config.train.num_episodes, "global_step4"))


def begin(config: Config) -> Start:
    """What a job does before it loads its models."""
    start = find_start(config)
    if not start.finished:
        make_way(start)
    return start


def refusal(config: Config) -> str:
    """Why the job is refused, before anything in its folders has changed."""
    with pytest.raises(ConfigError) as refused:
        find_start(config)
    return str(refused.value)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def contents(folder: Path) -> Counter[str]:
    """How often each content is in the files of a folder, but for DeepSpeed's pointer, which may be set anew."""
    files = (Path(top) / name for top, _, names in os.walk(folder, followlinks=True) for name in names)
    return Counter(sha256(file.read_bytes()).hexdigest() for file in files if file.name != LATEST)


def names(folder: Path) -> set[str]:
    """Of all files of a folder, relative to it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
