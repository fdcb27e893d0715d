"""What a training job writes: the names in each of its folders, and how what another run wrote is set aside.

Boundary: names and renames; nothing is copied or deleted, and nothing else in the folders is touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from prepo_rlhf.config.root import GivenConfig
from prepo_rlhf.files.step_rows import METRICS_FILE, PROMPTS_FILE

EVENTS_FILE = "events.jsonl"  # a line each time the job started its actors, or an engine, again
HANG_FOLDER = "hang-{}"  # the stacks of the job's processes when it hung, numbered from 1
CONFIG_FILE = "config.yaml"  # the options of a run: among its records, and beside its checkpoints
ACTOR_FOLDER = "_actor"  # of DeepSpeed's checkpoints, as in OpenRLHF
FINISHED_FILE = "finished.json"
_HF = "global_step*_hf"  # of --ckpt.save_hf


@dataclass(frozen=True)
class Place:
    """A folder that a job writes to, by its option. `telling` are the names that show that another run wrote there,
    `others` those that belong to them, but may be there without them."""

    option: str
    folder: Path
    telling: tuple[str, ...]
    others: tuple[str, ...] = ()

    def held(self) -> list[Path]:
        """What another run wrote here, if it did."""
        found = list(self._matching(self.telling))
        return sorted({*found, *self._matching(self.others)}) if found else []

    def _matching(self, names: Sequence[str]) -> Iterator[Path]:
        return (path for name in names for path in self.folder.glob(name))


def places(config: GivenConfig) -> list[Place]:
    """The folders of a job whose options are complete, as absolute paths."""
    run_dir = _absolute(config.logger.run_dir)
    tensorboard = config.logger.tensorboard_dir
    return [
        Place(
            "--logger.run_dir",
            run_dir,
            (CONFIG_FILE, METRICS_FILE, PROMPTS_FILE),
            (EVENTS_FILE, "traceback*.txt", HANG_FOLDER.format("*")),
        ),
        Place(
            "--logger.tensorboard_dir",
            _absolute(tensorboard) if tensorboard else run_dir / "tensorboard",
            ("events.out.tfevents.*",),
        ),
        Place(
            "--ckpt.path",
            _absolute(config.ckpt.path),
            (ACTOR_FOLDER, CONFIG_FILE, FINISHED_FILE, _HF, f"best_{_HF}"),
        ),
        Place(
            "--ckpt.output_dir",
            _absolute(config.ckpt.output_dir),
            ("config.json", "adapter_config.json", "model*.safetensors", "pytorch_model*.bin", "adapter_model.*"),
            (
                "generation_config.json", "*.index.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json",
                "vocab.*", "merges.txt", "chat_template*", "adapter",
            ),
        ),
    ]  # fmt: skip


def set_aside(job_places: Sequence[Place]) -> list[Path]:
    """Move what the places hold into dated folders, and return those.

    A folder inside another of the job's folders is moved with it, so that a run stays together; but never to another
    file system. Raises OSError for what cannot be moved; what was moved before it stays where it is then.
    """
    roots = {place: _root(place, job_places) for place in job_places}
    name = _free_name(set(roots.values()))
    folders = []
    for place, root in roots.items():
        for path in place.held():
            target = root / name / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(path, target)
            if root / name not in folders:
                folders.append(root / name)
    return folders


def _root(place: Place, job_places: Sequence[Place]) -> Path:
    """The outermost of the job's folders that this one is in, on the same file system; its own if in no other."""
    if not place.folder.is_dir():
        return place.folder
    device = place.folder.stat().st_dev
    around = [
        other.folder
        for other in job_places
        if place.folder.is_relative_to(other.folder) and other.folder.stat().st_dev == device
    ]
    return min(around, key=lambda folder: len(folder.parts))


def _free_name(roots: set[Path]) -> str:
    name = stem = f"before-{datetime.now():%Y-%m-%d-%H%M%S}"
    number = 1
    while any((root / name).exists() for root in roots):
        number += 1
        name = f"{stem}-{number}"
    return name


def _absolute(folder: str) -> Path:
    return Path(os.path.abspath(folder))
