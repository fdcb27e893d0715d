"""samples.jsonl: graded samples appended as they finish, from which a stopped evaluation resumes.

Boundary: files and rows; knows neither models nor metrics.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from prepo_rlhf.config.base import ConfigError, differences
from prepo_rlhf.files.atomic import replace_text
from prepo_rlhf.files.rows import complete_lines, json_lines
from prepo_rlhf.metrics.samples import ProblemSamples, Sample

SAMPLES_FILE = "samples.jsonl"
SETTINGS_FILE = "settings.json"
ProblemKey = tuple[str, str]  # benchmark, id of the problem
SampleRows = list[dict[str, Any]]  # rows of one problem, in the order of its samples


class SampleLog:
    """The samples of an evaluation on disk, a row each; a problem's are written together."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], n: int) -> None:
        """Resume from `folder`, or start there; a problem with fewer than `n` samples was cut off and is dropped.

        Raises ConfigError if the samples there were made under other `settings`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / SAMPLES_FILE
        _check_settings(folder, settings)
        found = read_samples(folder) if path.is_file() else {}
        self.done = {key: rows for key, rows in found.items() if len(rows) == n}
        replace_text(path, "".join(map(_lines, self.done.values())))
        self._file = path.open("a", encoding="utf-8")

    def append(self, key: ProblemKey, rows: SampleRows) -> None:
        """Add a problem's samples and flush them to the operating system."""
        self._file.write(_lines(rows))
        self._file.flush()
        self.done[key] = rows

    def close(self) -> None:
        self._file.close()


def read_samples(folder: Path) -> dict[ProblemKey, SampleRows]:
    """All complete rows of a folder's samples.jsonl, by problem; FileNotFoundError if there is none."""
    problems: dict[ProblemKey, SampleRows] = {}
    for row in json_lines(complete_lines(folder / SAMPLES_FILE)):
        problems.setdefault((row["benchmark"], row["problem"]), []).append(row)
    return problems


def problem_samples(rows: SampleRows) -> ProblemSamples:
    """A problem's rows as what metrics are computed from."""
    samples = tuple(Sample(**{field.name: row[field.name] for field in fields(Sample)}) for row in rows)
    return ProblemSamples(samples, rows[0]["subject"], rows[0]["level"])


def _lines(rows: SampleRows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    path = folder / SETTINGS_FILE
    if path.is_file() and (folder / SAMPLES_FILE).is_file():
        if changed := differences(json.loads(path.read_text()), settings):
            raise ConfigError(
                f"--output_dir {folder}: holds samples of other options: {'; '.join(changed)}. Give the old values "
                "to go on, or another folder"
            )
    path.write_text(json.dumps(settings, indent=2) + "\n")
