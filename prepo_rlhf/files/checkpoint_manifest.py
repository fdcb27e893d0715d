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
from dataclasses import dataclass, field
from pathlib import Path

from prepo_rlhf.files.atomic import replace_text

MANIFEST = "manifest.json"  # {"format": FORMAT, "sizes": of the other files of the folder, by name}
FORMAT = 2  # of the control loop's state; 1, without a format, knew prompts by their position among those kept
LATEST = "latest"  # the file in which DeepSpeed looks for the name of the checkpoint to load
TAG = re.compile(r"(best_)?global_step\d+")


class DamagedCheckpoints(Exception):
    """Every checkpoint is damaged."""


@dataclass
class Resumable:
    """The checkpoint to resume from, None if there is none; and what is wrong with those that were passed over."""

    tag: str | None = None
    passed_over: list[str] = field(default_factory=list)


def seal(folder: Path) -> None:
    """Flush the checkpoint's files to disk, then write its manifest, which makes it count as complete."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    for file in files:
        with file.open("rb") as written:
            os.fsync(written.fileno())
    sizes = {str(file.relative_to(folder)): file.stat().st_size for file in files}
    replace_text(folder / MANIFEST, json.dumps({"format": FORMAT, "sizes": sizes}, indent=1) + "\n")


def damage(folder: Path) -> str | None:
    """What is wrong with a sealed checkpoint, None if nothing. Reads every byte: torch's files are zip archives, with a
    checksum for each tensor."""
    manifest = json.loads((folder / MANIFEST).read_text())
    if manifest.get("format") != FORMAT:
        return "it was saved by another version of prepo_rlhf, which alone can go on from it"
    for name, size in manifest["sizes"].items():
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
    named = latest.read_text().strip() if latest.is_file() else ""
    sealed = [tag for tag in _oldest_first(checkpoints) if (checkpoints / tag / MANIFEST).is_file()]
    found = Resumable()
    for tag in sorted(reversed(sealed), key=lambda tag: tag != named):
        fault = damage(checkpoints / tag)
        if fault is None:
            found.tag = tag
            return found
        found.passed_over.append(f"{tag}: {fault}")
    if found.passed_over:
        raise DamagedCheckpoints("; ".join(found.passed_over))
    return found


def point_latest(checkpoints: Path, tag: str) -> None:
    """Make `tag` the checkpoint that DeepSpeed loads."""
    replace_text(checkpoints / LATEST, tag)


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


def _oldest_first(checkpoints: Path) -> list[str]:
    """By when they were sealed, not by step: another run may have used the folder before."""
    tags = [path for path in checkpoints.glob("*") if path.is_dir() and TAG.fullmatch(path.name)]
    manifests = {path.name: path / MANIFEST for path in tags}
    return sorted(manifests, key=lambda tag: manifests[tag].stat().st_mtime_ns if manifests[tag].is_file() else 0)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
