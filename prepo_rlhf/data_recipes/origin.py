"""Where the rows of a recipe come from: a file, a folder laid out as on the hub, or the Hugging Face hub itself.

A hub that cannot be reached is found out before `datasets` is imported, which would try again for half a minute.
Boundary: rows in, one after another; what they must hold is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.data_recipes.recipes import Recipe
from prepo_rlhf.files.rows import GZIP, SUFFIXES, iterate_rows, row_suffix

Rows = Iterator[tuple[str, dict[str, Any]]]


class Origin(NamedTuple):
    """The rows, each with its place there; what messages call their source, and its short name for the records."""

    rows: Rows
    told: str
    name: str


def origin(recipe: Recipe, given: str | None) -> Origin:
    """The rows of a recipe: of the file or folder `given` by --from, or else of the hub.

    Raises ConfigError at once where there is no such file or the hub cannot be reached; `rows` raises it for what
    cannot be read.
    """
    if given is None:
        return Origin(_downloaded(recipe), recipe.data.dataset, recipe.data.dataset)
    path = Path(given)
    if path.is_dir():
        copy = local_copy(recipe, path)
        if copy is None:
            return Origin(_of_folder(recipe, path), f"--from {given}", path.absolute().name)
        path = copy
    if not path.is_file():
        raise ConfigError(f"--from {given}: there is no such file or folder")
    if row_suffix(path) is None:
        raise ConfigError(f"--from {given}: give a file in {', '.join(SUFFIXES)}, or a folder with one")
    return Origin(_of_file(path), f"--from {path}", path.name)


def local_copy(recipe: Recipe, folder: Path) -> Path | None:
    """The file in `folder` that has a usual name of a copy, if there is one."""
    names = [stem + suffix + end for stem in recipe.copies for suffix in SUFFIXES for end in ("", GZIP)]
    return next((copy for name in names if (copy := folder / name).is_file()), None)


def _of_file(path: Path) -> Rows:
    try:
        yield from iterate_rows(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--from {path}: cannot be read ({error})") from error


def _of_folder(recipe: Recipe, folder: Path) -> Rows:
    try:
        rows = _loaded(recipe, str(folder))
    except Exception as error:  # whatever `datasets` raises for a folder that it cannot make out
        raise ConfigError(
            f"--from {folder}: has no {' or '.join(recipe.copies)} in {', '.join(SUFFIXES)}, and is no copy of "
            f"{recipe.data.dataset} ({_first_line(error)}); give the file itself"
        ) from error
    yield from rows


def _downloaded(recipe: Recipe) -> Rows:
    from huggingface_hub import is_offline_mode

    from prepo_rlhf.files import hub

    dataset = recipe.data.dataset
    reason = "HF_HUB_OFFLINE is set" if is_offline_mode() else hub.silence()
    if reason:
        hub.stay_offline()  # what an earlier download has left is still found
    try:
        return _loaded(recipe, dataset)
    except Exception as error:  # whatever `datasets` raises for a hub that is out of reach
        folder = dataset.rpartition("/")[2]
        raise ConfigError(
            f"{dataset} cannot be loaded from the Hugging Face hub ({reason or _first_line(error)}): where there is a "
            f"network run `hf download --repo-type dataset {dataset} --local-dir {folder}`, bring that folder here "
            f"and give --from {folder}"
        ) from error


def _loaded(recipe: Recipe, where: str) -> Rows:
    from datasets import load_dataset

    data: Any = load_dataset(where, recipe.data.config, split=recipe.data.split)  # for a split, a Dataset
    return ((f"row {number}", row) for number, row in enumerate(data, start=1))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
