"""Rows of data files: read from disk, each with its place in the file, and looked into by key.

Boundary: standard library only, and pyarrow when a Parquet or Arrow file is read. Knows formats, not what rows are for.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUFFIXES = (".jsonl", ".parquet", ".json", ".csv", ".arrow")
GZIP = ".gz"
SHOWN = 5  # faulty lines in a message
# What a table without types writes where there is no value.
_CSV_NULLS = ("", "nan", "null")
_UNDECODED = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True)
class Table:
    """Rows, and where a user finds each of them: "line 7", counted from 1."""

    rows: list[dict[str, Any]]
    places: list[str]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, numbers: Iterable[int]) -> Table:
        """The rows with these numbers, counted from 0, in this order."""
        pairs = [(self.rows[number], self.places[number]) for number in numbers]
        return Table([row for row, _ in pairs], [place for _, place in pairs])


def row_suffix(path: Path) -> str | None:
    """Which of SUFFIXES the name ends in, `.gz` aside; None if in none of them."""
    name = path.name.lower().removesuffix(GZIP)
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of `read_table`, without their places."""
    return read_table(path).rows


def read_table(path: Path) -> Table:
    """The rows of a file by its suffix: JSON lines, a JSON list, comma-separated values, a Parquet or an Arrow table.

    Files of text are UTF-8, with or without a byte order mark; `.gz` after the suffix means gzip.

    Raises OSError, or ValueError if its suffix is none of SUFFIXES or its content is not what the suffix says.
    """
    suffix = row_suffix(path)
    if suffix is None:
        raise ValueError(f"the name ends in none of {', '.join(SUFFIXES)}, with or without {GZIP}")
    data = path.read_bytes()
    if path.name.lower().endswith(GZIP):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"is no whole gzip file: {error}") from error
    if suffix in (".parquet", ".arrow"):
        return _arrow_table(data, suffix)
    text = _decoded(data)
    return _csv_table(text) if suffix == ".csv" else _json_table(text, suffix)


def iterate_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and row of all that `read_table` reads, one after another; a Parquet table, which may be larger than the
    memory once it is rows, is read in batches. Raises as `read_table`."""
    if path.name.lower().endswith(".parquet"):
        return ((f"row {number}", row) for number, row in enumerate(_parquet_rows(path), start=1))
    table = read_table(path)
    return zip(table.places, table.rows, strict=True)


def json_lines(lines: Iterable[str]) -> list[Any]:
    """The values of lines of JSON; empty lines are left out. Raises ValueError for others, by their number."""
    return [value for _, value in _numbered_values(lines)]


def complete_lines(path: Path) -> list[str]:
    """The lines of a file that a process appends to; a last one without its end was cut off when the process died."""
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def lookup(row: Any, key: str) -> Any:
    """A row's value under `key`; dots reach into nested fields (`reward_model.ground_truth`), and numbers, counted from
    0, into lists (`prompt.0.content`). Without such a key it raises KeyError."""
    if isinstance(row, list):
        row = {str(number): item for number, item in enumerate(row)}
    if isinstance(row, dict):
        if key in row:
            return row[key]
        for dot in (i for i, character in enumerate(key) if character == "." and key[:i] in row):
            with suppress(KeyError):
                return lookup(row[key[:dot]], key[dot + 1 :])
    raise KeyError(key)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        lines = data.decode("utf-8", "surrogateescape").split("\n")
        wrong = [f"line {number}" for number, line in enumerate(lines, start=1) if _UNDECODED.search(line)]
        raise ValueError(f"{_listed(wrong)}: not UTF-8; save the file as UTF-8") from None


def _json_table(text: str, suffix: str) -> Table:
    """JSON lines or one JSON list, whichever it is: both suffixes are in use for both."""
    if suffix == ".json" or text.lstrip().startswith("["):
        try:
            value = _parsed(text)
        except json.JSONDecodeError as error:
            if not (error.msg == "Extra data" or not text.strip()):
                raise ValueError(f"line {error.lineno} is not JSON: {_told(error)}") from error
        else:
            if not isinstance(value, list):
                raise ValueError("its rows are not JSON objects in a list, or one on each line")
            return _objects([(f"row {number}", item) for number, item in enumerate(value, start=1)])
    # Text of any system: line breaks of Windows too.
    values = _numbered_values(io.StringIO(text, newline=None))
    return _objects([(f"line {number}", value) for number, value in values])


def _objects(values: list[tuple[str, Any]]) -> Table:
    if wrong := [place for place, value in values if not isinstance(value, dict)]:
        raise ValueError(f"its rows are not JSON objects: {_listed(wrong)}")
    return Table([value for _, value in values], [place for place, _ in values])


def _numbered_values(lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    wrong = []
    for number, line in enumerate(lines, start=1):
        line = line.lstrip("\ufeff")  # files with a byte order mark that were put together
        try:
            if line.strip():
                yield number, _parsed(line.rstrip())
        except ValueError as error:
            wrong.append(f"line {number} is not JSON: {_told(error)}")
    if wrong:
        raise ValueError(_listed(wrong, "; "))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _told(error: ValueError) -> str:
    return f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)


def _csv_table(text: str) -> Table:
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, places, before = [], [], 0
    try:
        header = next(reader, [])
        if len(set(header)) < len(header):
            raise ValueError(f"its first line names a column twice: {', '.join(header)}")
        before = reader.line_num
        for cells in reader:
            place, before = f"line {before + 1}", reader.line_num
            if len(cells) > len(header):
                raise ValueError(f"{place} has {len(cells)} values, and the first line names {len(header)} columns")
            if cells:
                values = [None if cell.strip().lower() in _CSV_NULLS else cell for cell in cells]
                rows.append(dict(zip(header, values, strict=False)))
                places.append(place)
    except csv.Error as error:
        raise ValueError(f"the row after line {before} is not CSV: {error}") from error
    return Table(rows, places)


def _parquet_rows(source: Any) -> Iterator[dict[str, Any]]:
    """Of a path, or of what pyarrow reads like a file."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(source) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except (pa.ArrowException, OverflowError) as error:
        raise ValueError(f"is no Parquet table: {error}") from error


def _arrow_table(data: bytes, suffix: str) -> Table:
    import pyarrow as pa

    try:
        rows = list(_parquet_rows(pa.BufferReader(data))) if suffix == ".parquet" else _arrow(data).to_pylist()
    except (pa.ArrowException, OverflowError) as error:
        raise ValueError(f"is no Arrow table: {error}") from error
    return Table(rows, [f"row {number}" for number in range(1, len(rows) + 1)])


def _arrow(data: bytes) -> Any:
    import pyarrow as pa

    try:
        return pa.ipc.open_stream(data).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_file(data).read_all()


def _listed(texts: list[str], separator: str = ", ") -> str:
    """The first few, and how many more there are."""
    more = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return separator.join([*texts[:SHOWN], *more])
