"""Rows of data files: read from disk, and looked into by key.

Boundary: standard library only, and pyarrow when a Parquet file is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SUFFIXES = (".jsonl", ".parquet", ".json")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines, of a JSON list or of a Parquet table, by the suffix of its name.

    Raises OSError, or ValueError if its suffix is none of SUFFIXES or its content is not what the suffix says.
    """
    if path.suffix == ".jsonl":
        with path.open(encoding="utf-8") as file:
            rows = json_lines(file)
    elif path.suffix == ".json":
        rows = json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".parquet":
        from pyarrow import parquet

        rows = parquet.read_table(path).to_pylist()
    else:
        raise ValueError(f"the name ends in none of {', '.join(SUFFIXES)}")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("its rows are not JSON objects")
    return rows


def json_lines(lines: Iterable[str]) -> list[Any]:
    """The values of lines of JSON; empty lines are left out. Raises ValueError for others, by their number."""
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            if line.strip():
                rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} is not JSON: {error}") from error
    return rows


def complete_lines(path: Path) -> list[str]:
    """The lines of a file that a process appends to; a last one without its end was cut off when the process died."""
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def lookup(row: dict[str, Any], key: str) -> Any:
    """A row's value under `key`; dots reach into nested fields (`reward_model.ground_truth`). Without such a key it
    raises KeyError or TypeError."""
    if key in row:
        return row[key]
    value: Any = row
    for part in key.split("."):
        value = value[part]
    return value
