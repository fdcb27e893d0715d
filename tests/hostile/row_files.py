"""Files of rows for the tests here, and what the product makes of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from tiny_tasks import question_rows
from transformers import PreTrainedTokenizerBase

from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.prompts.load import load_prompts

RowJob = Callable[..., Config]
GOOD = question_rows(6)
NAN, QUESTION = float("nan"), "What is 1 + 1?"


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def loaded(config: Config, tokenizer: PreTrainedTokenizerBase) -> list[tuple[str, Any, int]]:
    """Text, label and length of every prompt, as the plain reader has them."""
    return [(p.text, p.label, len(p.token_ids)) for p in load_prompts(config, tokenizer).prompts]


def refusal(config: Config, tokenizer: PreTrainedTokenizerBase) -> str:
    """The sentence that the job is refused with."""
    with pytest.raises(ConfigError) as caught:
        load_prompts(config, tokenizer)
    return str(caught.value)


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["question", "answer"], lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_table(rows: list[dict[str, Any]], name: str) -> bytes:
    """A Parquet file, or Arrow's `stream` or `file`."""
    table, file = pa.Table.from_pylist(rows), io.BytesIO()
    if name == "parquet":
        parquet.write_table(table, file)
    else:
        make = pa.ipc.new_stream if name == "stream" else pa.ipc.new_file
        with make(file, table.schema) as writer:
            writer.write_table(table)
    return file.getvalue()
