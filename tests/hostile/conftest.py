"""A good job, for the tables of inputs that nobody here wrote: each test changes one thing of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from row_files import RowJob
from tiny_tasks import gpu_config, job_options, question_rows
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from prepo_rlhf.config import Config, GivenConfig, parse_args

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


@pytest.fixture(scope="session")
def tokenizer(tiny_llama: str) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tiny_llama)


@pytest.fixture(scope="session")
def row_options(tiny_llama: str, tmp_path_factory: pytest.TempPathFactory) -> GivenConfig:
    folder = tmp_path_factory.mktemp("row_jobs")
    return parse_args(job_options(tiny_llama, "rows", "reward.py", folder, data__max_len=512))


@pytest.fixture
def row_job(row_options: GivenConfig) -> RowJob:
    """The options of a job on the rows of a path, with changes as `job_options` takes them; no command line is read."""

    def make(path: Path | str, **changes: Any) -> Config:
        named = {name.replace("__", "."): value for name, value in changes.items()}
        return gpu_config(row_options.replaced({"data.prompt_dataset": str(path)} | named))

    return make
