"""A good job, for the tables of inputs that nobody here wrote: each test changes one thing of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_tasks import job_options, question_rows

GoodJob = Callable[..., list[str]]


@pytest.fixture
def good_job(tiny_llama: str, parity_reward: str, tmp_path: Path) -> GoodJob:
    """The command line of a job in `tmp_path` that passes all checks, with changes as `job_options` takes them.

    Its data is `tmp_path/rows.jsonl` (60 rows) and its model `tmp_path/policy`, a copy: both are there to be damaged
    before the command is tried.
    """
    model, data = tmp_path / "policy", tmp_path / "rows.jsonl"
    shutil.copytree(tiny_llama, model)
    data.write_text("".join(json.dumps(row) + "\n" for row in question_rows(60)))

    def make(**changes: Any) -> list[str]:
        return job_options(str(model), str(data), parity_reward, tmp_path / "run", **changes)

    return make
