"""Checkpoints as files: which of them are whole, which one to go on from, which to remove.

A checkpoint is a folder of DeepSpeed's files, global_stepN or best_global_stepN. It counts from the moment that its
manifest lies in it, which is written last: a save that was cut short leaves a folder without one, and no harm done.
Boundary: files and their sizes; knows neither Ray nor torch, nor what is in them.
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
    """There are checkpoints, and none that can be gone on from."""


@dataclass
class Resumable:
    """The checkpoint to go on from, None if there is none; and what is wrong with those that were passed over."""

    tag: str | None = None
    passed_over: list[str] = field(default_factory=list)


def seal(folder: Path) -> None:
    """Make the checkpoint in `folder` count: its files are on the disk, and nothing is missing."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    for file in files:
        with file.open("rb") as written:
            os.fsync(written.fileno())
    sizes = {str(file.relative_to(folder)): file.stat().st_size for file in files}
    replace_text(folder / MANIFEST, json.dumps({"format": FORMAT, "sizes": sizes}, indent=1) + "\n")


def damage(folder: Path) -> str | None:
    """What is wrong with the sealed checkpoint in `folder`, None for a whole one. Reads every byte: torch's files are
    zip archives, with a checksum for each tensor."""
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

    Raises:
        DamagedCheckpoints: all are damaged. Saves that were cut short alone are no checkpoints: there is just none.
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

    The best model is not counted, and an earlier best goes. Done after the new one is whole, so that there is always
    something to go on from.
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
