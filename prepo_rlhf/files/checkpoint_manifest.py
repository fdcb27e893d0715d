"""Checkpoints as files: which are complete, which one to resume from, which to remove.

A checkpoint is a folder of DeepSpeed's files, global_stepN or best_global_stepN. It is complete once it has a manifest,
which is written last: an interrupted save leaves a folder without one.
Boundary: files and their sizes, not their contents.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prepo_rlhf.files.atomic import replace_text

MANIFEST = "manifest.json"  # {"format": FORMAT, "prompts": digest, "sizes": of the folder's other files, by name}
FORMAT = 2  # of the control loop's state; 1, without a format, knew prompts by their position among those kept
LATEST = "latest"  # the file in which DeepSpeed looks for the name of the checkpoint to load
TAG = re.compile(r"(best_)?global_step\d+")


class DamagedCheckpoints(Exception):
    """Every checkpoint is damaged."""


@dataclass
class Resumable:
    """The checkpoint to resume from, None if there is none; and what is wrong with those that were passed over.

    `prompts` is the digest that it was sealed with, empty if with none.
    """

    tag: str | None = None
    prompts: str = ""
    passed_over: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Finished:
    """That a run came to its end after `step`, in so many episodes; `tag` is the last checkpoint that it saved."""

    step: int
    num_episodes: int
    tag: str | None


def seal(folder: Path, prompts: str = "") -> None:
    """Flush the checkpoint's files to disk, then write its manifest, which makes it count as complete.

    `prompts` is a digest of what the run is trained on.
    """
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    for file in files:
        with file.open("rb") as written:
            os.fsync(written.fileno())
    sizes = {str(file.relative_to(folder)): file.stat().st_size for file in files}
    replace_text(folder / MANIFEST, json.dumps({"format": FORMAT, "prompts": prompts, "sizes": sizes}, indent=1) + "\n")


def damage(folder: Path) -> str | None:
    """What is wrong with a sealed checkpoint, None if nothing. Reads every byte: torch's files are zip archives, with a
    checksum for each tensor."""
    manifest = _manifest(folder)
    if manifest is None:
        return f"its {MANIFEST} is damaged"
    if manifest.get("format") != FORMAT:
        return "it was saved by another version of prepo_rlhf, which alone can go on from it"
    sizes = manifest.get("sizes")
    if not isinstance(sizes, dict) or not sizes:
        return f"its {MANIFEST} lists no files"
    for name, size in sizes.items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size} bytes and was saved with {size}"
        if zipfile.is_zipfile(file):
            try:
                with zipfile.ZipFile(file) as archive:
                    broken = archive.testzip()
            except (zipfile.BadZipFile, OSError, EOFError) as error:
                return f"{name} cannot be read ({error})"
            if broken:
                return f"{name} is damaged: {broken} has another checksum than it was saved with"
    return None


def find_resumable(checkpoints: Path) -> Resumable:
    """The checkpoint that `latest` names, or if that is damaged the newest one that is whole.

    Raises DamagedCheckpoints if all sealed ones are damaged; interrupted saves do not count.
    """
    latest = checkpoints / LATEST
    named = latest.read_text(errors="replace").strip() if latest.is_file() else ""
    sealed = [tag for tag in _oldest_first(checkpoints) if (checkpoints / tag / MANIFEST).is_file()]
    found = Resumable()
    for tag in sorted(reversed(sealed), key=lambda tag: tag != named):
        fault = damage(checkpoints / tag)
        if fault is None:
            found.tag, found.prompts = tag, str((_manifest(checkpoints / tag) or {}).get("prompts") or "")
            return found
        found.passed_over.append(f"{tag}: {fault}")
    if found.passed_over:
        raise DamagedCheckpoints("; ".join(found.passed_over))
    return found


def point_latest(checkpoints: Path, tag: str) -> None:
    """Make `tag` the checkpoint that DeepSpeed loads."""
    replace_text(checkpoints / LATEST, tag)


def newest(checkpoints: Path) -> str | None:
    """The checkpoint that `latest` names, if it was sealed, without a look at its other files."""
    try:
        tag = (checkpoints / LATEST).read_text(errors="replace").strip()
    except OSError:
        return None
    return tag if TAG.fullmatch(tag) and (checkpoints / tag / MANIFEST).is_file() else None


def step_of(tag: str) -> int:
    """The step after which the checkpoint `tag` was saved."""
    return int(tag.rpartition("step")[2])


def write_finished(file: Path, finished: Finished) -> None:
    """Note that a run is finished."""
    replace_text(file, json.dumps(asdict(finished)) + "\n")


def read_finished(file: Path) -> Finished | None:
    """What `write_finished` has written; None if it has not, or it can no longer be read."""
    try:
        finished = Finished(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    known = isinstance(finished.step, int) and isinstance(finished.num_episodes, int)
    return finished if known and (finished.tag is None or isinstance(finished.tag, str)) else None


def rotate(checkpoints: Path, newest: str, max_num: int, max_gigabytes: float) -> None:
    """Remove what is beyond the limits, oldest first, but never `newest`, which has just been sealed.

    The best model is not counted, and an earlier best is removed.
    """
    tags = [tag for tag in _oldest_first(checkpoints) if tag != newest]
    if newest.startswith("best_"):
        for tag in (tag for tag in tags if tag.startswith("best_")):
            shutil.rmtree(checkpoints / tag)
    regular = [tag for tag in tags if not tag.startswith("best_")]
    kept = max_num if newest.startswith("best_") else max_num - 1
    while regular and (len(regular) > kept or _size(checkpoints) > max_gigabytes * 2**30):
        shutil.rmtree(checkpoints / regular.pop(0))


def _manifest(folder: Path) -> dict[str, Any] | None:
    """The checkpoint's manifest, None if it is damaged."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


def _oldest_first(checkpoints: Path) -> list[str]:
    """By when they were sealed, not by step: another run may have used the folder before."""
    tags = [path for path in checkpoints.glob("*") if path.is_dir() and TAG.fullmatch(path.name)]
    manifests = {path.name: path / MANIFEST for path in tags}
    return sorted(manifests, key=lambda tag: manifests[tag].stat().st_mtime_ns if manifests[tag].is_file() else 0)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
