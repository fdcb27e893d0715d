"""The datasets that an option names become one table of rows: files and folders here, names on the hub.

Files are read by `files.rows`, so that a row is the same whoever reads it. The rest is `datasets`' work: saved
datasets, splits of folders, downloads, blending by probabilities.
Boundary: names in, rows out; what rows must hold is not looked at.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from glob import glob
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.files.rows import SUFFIXES, Table, read_table, row_suffix

_SAVED = ("state.json", "dataset_dict.json")  # what `save_to_disk` leaves


@dataclass(frozen=True)
class Source:
    """What a user has named, and with which options, for messages.

    Attributes:
        option, split_option: of the names and of the split.
        names: separated by commas, as OpenRLHF has it; `name@folder` is a folder within a dataset. A file or folder
            whose own name holds commas or an @ is taken as it is.
        split: which is read where there are several.
        probabilities: how often a row comes from which, separated by commas; None puts one after the other.
        seed: of that choice.
        max_rows: of each, and of all.
        use_ms: names are those of ModelScope's hub.
    """

    option: str
    split_option: str
    names: str
    split: str
    probabilities: str | None = None
    seed: int = 0
    max_rows: int | None = None
    use_ms: bool = False

    def __str__(self) -> str:
        return f"{self.option} {self.names}"


def load_source(source: Source) -> Table:
    """All rows. Raises ConfigError: something is missing, cannot be read, or empty."""
    names = split_names(source.names)
    if "" in names:
        raise ConfigError(f"{source}: names nothing, or nothing between two commas")
    tables = [_load(name, source) for name in names]
    if source.max_rows is not None:
        tables = [table.take(range(min(source.max_rows, len(table)))) for table in tables]
    joined = tables[0]
    if len(names) > 1:
        places = [
            f"{Path(name).name}, {place}" for name, table in zip(names, tables, strict=True) for place in table.places
        ]
        joined = Table([row for table in tables for row in table.rows], places)
    if len(joined) == 0:
        raise ConfigError(f"{source}: the dataset is empty")
    if source.probabilities is not None:
        joined = joined.take(_blended(list(map(len, tables)), source))
    return joined if source.max_rows is None else joined.take(range(min(source.max_rows, len(joined))))


def split_names(names: str) -> list[str]:
    """The names between commas; as many of them together as name a file or folder are one."""
    parts, found = names.split(","), []
    while parts:
        ends = range(len(parts), 0, -1)
        tried = [(end, text) for end in ends for whole in [",".join(parts[:end])] for text in (whole, whole.strip())]
        end, name = next(((end, text) for end, text in tried if os.path.exists(text)), (1, parts[0].strip()))
        found.append(name)
        parts = parts[end:]
    return found


def _load(name: str, source: Source) -> Table:
    path = Path(name)
    if os.path.isfile(name):
        return _file(path, source)
    if os.path.isdir(name):
        return _folder(path, None, source)
    for at in (i for i in range(len(name), 0, -1) if name[i - 1] == "@"):
        if os.path.isdir(name[: at - 1]):
            return _folder(Path(name[: at - 1]), name[at:].strip(), source)
    if "://" not in name:
        if files := sorted(glob(name)):
            return _files([Path(file) for file in files], source)
        if row_suffix(path) or name.startswith(("/", ".", "~")):
            raise ConfigError(f"{source.option} {name}: there is no such file or folder")
    return _remote(name, source)


def _file(path: Path, source: Source) -> Table:
    if source.split != "train":
        raise ConfigError(f"{source.split_option} {source.split}: {path} is a single file, whose split is train")
    return _files([path], source)


def _files(paths: Sequence[Path], source: Source) -> Table:
    rows, places = [], []
    for path in paths:
        try:
            table = read_table(path)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{source.option} {path}: cannot be read ({error})") from error
        rows += table.rows
        places += table.places if len(paths) == 1 else [f"{path.name}, {place}" for place in table.places]
    return Table(rows, places)


def _folder(path: Path, data_dir: str | None, source: Source) -> Table:
    from datasets import load_dataset, load_dataset_builder, load_from_disk

    if any((path / name).is_file() for name in _SAVED):
        return _dataset(lambda: load_from_disk(str(path)), str(path), source)
    try:
        files = load_dataset_builder(str(path), data_dir=data_dir).config.data_files or {}
    except Exception as error:  # whatever `datasets` raises for a folder that it cannot make out
        raise _unloadable(str(path), source, error) from error
    paths = [Path(file) for file in _of_split(files, str(path), source)]
    if all(row_suffix(file) for file in paths):
        return _files(paths, source)
    return _dataset(lambda: load_dataset(str(path), data_dir=data_dir), str(path), source)


def _remote(name: str, source: Source) -> Table:
    if source.use_ms:
        from openrlhf.datasets.utils import blending_datasets

        args = SimpleNamespace(use_ms=True)
        quiet = SimpleNamespace(print=lambda *_: None, is_rank_0=lambda: False, args=args)
        return _dataset(lambda: blending_datasets(name, None, quiet, dataset_split=source.split), name, source)
    from datasets import load_dataset

    suffix = row_suffix(Path(name))
    if suffix is not None:  # an URL
        kind = "json" if suffix == ".jsonl" else suffix.removeprefix(".")
        return _dataset(lambda: load_dataset(kind, data_files=name), name, source)
    dataset, _, data_dir = name.partition("@")
    return _dataset(lambda: load_dataset(dataset.strip(), data_dir=data_dir.strip() or None), name, source)


def _dataset(load: Callable[[], Any], name: str, source: Source) -> Table:
    """The rows of what `datasets` loads: a dataset, or one of several splits."""
    try:
        loaded = load()
        rows = list(_of_split(loaded, name, source) if isinstance(loaded, dict) else loaded)
    except ConfigError:
        raise
    except Exception as error:  # whatever `datasets` and the hub raise
        raise _unloadable(name, source, error) from error
    return Table(rows, [f"row {number}" for number in range(1, len(rows) + 1)])


def _of_split(splits: Any, name: str, source: Source) -> Any:
    if source.split not in splits:
        known = ", ".join(map(str, splits)) or "none"
        raise ConfigError(f"{source.split_option} {source.split}: {name} has no such split, but {known}")
    return splits[source.split]


def _unloadable(name: str, source: Source, error: Exception) -> ConfigError:
    return ConfigError(
        f"{source.option} {name}: cannot be loaded ({type(error).__name__}: {error}); give a file in "
        f"{', '.join(SUFFIXES)}, a folder of such, or a dataset of the hub"
    )


def _blended(lengths: list[int], source: Source) -> list[int]:
    """Numbers of rows of the joined tables, drawn as OpenRLHF draws them, until every table is used up."""
    from datasets import Dataset, interleave_datasets

    given = str(source.probabilities)
    try:
        probabilities = [float(text) for text in given.split(",")]
    except ValueError:
        probabilities = []
    if len(probabilities) != len(lengths) or not all(0 < p <= 1 for p in probabilities) or not all(lengths):
        raise ConfigError(f"--data.prompt_probs {given}: give a number above 0 for each of the {len(lengths)} datasets")
    if not math.isclose(sum(probabilities), 1, abs_tol=1e-6):
        raise ConfigError(f"--data.prompt_probs {given}: add up to {sum(probabilities):g}, and must to 1")
    starts = [0, *accumulate(lengths)]
    numbers = [Dataset.from_dict({"row": range(a, b)}) for a, b in zip(starts, starts[1:], strict=False)]
    blended = interleave_datasets(
        numbers, probabilities=probabilities, seed=source.seed, stopping_strategy="all_exhausted"
    )
    return list(blended["row"])
