"""Files of JSON lines, one row a training step; a resumed run drops the rows after its checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prepo_rlhf.files.atomic import replace_text
from prepo_rlhf.files.rows import complete_lines, json_lines

METRICS_FILE = "metrics.jsonl"
PROMPTS_FILE = "prompts.jsonl"
PHASES = ("score_prompts", "generation", "make_experience", "train", "weight_sync")  # of a step, each timing/<phase>


def read_step_rows(path: Path) -> list[dict[str, Any]]:
    """The rows so far; a last line that is cut off, by a crash or in the middle of a write, is left out.

    Raises OSError, or ValueError for a line that is no row of a step, by the file's name and the line's number.
    """
    try:
        rows = json_lines(complete_lines(path))
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or type(row.get("step")) is not int:
            raise ValueError(f"{path.name}: line {number} is no row of a step")
    return rows


class StepRows:
    """Appends rows `{"step": ..., ...}`; each is on disk when the call returns."""

    def __init__(self, path: Path, resumed_step: int | None) -> None:
        """`resumed_step`: the step of the checkpoint, after which earlier rows are dropped; None for a new run."""
        rows = read_step_rows(path) if resumed_step is not None and path.is_file() else []
        self._path = path
        self._replace([row for row in rows if row["step"] <= resumed_step])

    def write(self, step: int, values: dict[str, Any]) -> None:
        self._file.write(json.dumps({"step": step} | values) + "\n")
        self._file.flush()

    def add_to_last(self, values: dict[str, Any]) -> None:
        """More values of the last row's step, which were not known yet when it was written."""
        self._file.close()
        *before, last = read_step_rows(self._path)
        self._replace([*before, last | values])

    def close(self) -> None:
        self._file.close()

    def _replace(self, rows: list[dict[str, Any]]) -> None:
        replace_text(self._path, "".join(json.dumps(row) + "\n" for row in rows))
        self._file = self._path.open("a")
