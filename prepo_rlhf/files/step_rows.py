"""Files of JSON lines with a row a training step, which a resumed run takes up where its checkpoint left them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prepo_rlhf.files.atomic import replace_text
from prepo_rlhf.files.rows import complete_lines

METRICS_FILE = "metrics.jsonl"
PROMPTS_FILE = "prompts.jsonl"
PHASES = ("score_prompts", "generation", "make_experience", "train", "weight_sync")  # of a step, each timing/<phase>


class StepRows:
    """Appends rows `{"step": ..., ...}`; each is on disk when the call returns."""

    def __init__(self, path: Path, resumed_step: int | None) -> None:
        """`resumed_step`: the step of the checkpoint, after which earlier rows are dropped; None for a new run."""
        lines = complete_lines(path) if resumed_step is not None and path.is_file() else []
        kept = [line for line in lines if json.loads(line)["step"] <= resumed_step]
        replace_text(path, "".join(row + "\n" for row in kept))
        self._path, self._file = path, path.open("a")

    def write(self, step: int, values: dict[str, Any]) -> None:
        self._file.write(json.dumps({"step": step} | values) + "\n")
        self._file.flush()

    def add_to_last(self, values: dict[str, Any]) -> None:
        """More values of the last row's step, which were not known yet when it was written."""
        *before, last = complete_lines(self._path)
        self._file.close()
        replace_text(self._path, "".join(row + "\n" for row in [*before, json.dumps(json.loads(last) | values)]))
        self._file = self._path.open("a")

    def close(self) -> None:
        self._file.close()
