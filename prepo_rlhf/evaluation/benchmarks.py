"""The mathematics benchmarks, and any file of problems, loaded from the hub, a folder or a path.

Reference answers stay as the data has them; the verifier interprets them.
Boundary: imports `datasets` only to download; knows no models or prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from warnings import warn

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.files.rows import GZIP, SUFFIXES, Table, read_table, row_suffix
from prepo_rlhf.prompts.values import BadField, BadRows, BadValue, chat_of, label_of, repeated, told_copies, value_of


class Keys(NamedTuple):
    """Names of the columns; dots reach into nested fields. None: there is no such column."""

    question: str = "question"
    answer: str = "answer"
    subject: str | None = None
    level: str | None = None
    id: str | None = None


class Benchmark(NamedTuple):
    """A set of problems by name: its place on the Hugging Face hub, and its columns there and in a local copy."""

    name: str
    dataset: str
    config: str | None
    split: str
    keys: Keys
    file: str | None = None  # usual name of a local copy, without suffix, if it is another than `name`


@dataclass(frozen=True)
class Problem:
    """A question with its reference answer `gold`: text (numbers become text), or a list of texts.

    GSM8K's is a whole solution that ends in `#### 18`; one of OlympiadBench's may hold several answers, with commas
    between them.
    """

    id: str  # unique within its benchmark: the id column, or the number of the row, counted from 0
    question: str
    gold: str | list[str]
    subject: str | None
    level: str | None


_MATH500_KEYS = Keys("problem", "answer", "subject", "level", "unique_id")
_OLYMPIADBENCH_KEYS = Keys("question", "final_answer", subject="subfield", id="id")
# On the hub OlympiadBench has 674 of these problems; the copy in QwenLM/Qwen2.5-Math has 675.
BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("gsm8k", "openai/gsm8k", "main", "test", Keys(), "gsm8k_test"),
        Benchmark("math500", "HuggingFaceH4/MATH-500", None, "test", _MATH500_KEYS),
        Benchmark("aime24", "HuggingFaceH4/aime_2024", None, "train", Keys("problem", "answer", id="id")),
        Benchmark("aime25", "math-ai/aime25", None, "test", Keys("problem", "answer", id="id")),
        Benchmark("olympiadbench", "Hothan/OlympiadBench", "OE_TO_maths_en_COMP", "train", _OLYMPIADBENCH_KEYS),
    )
}
DEFAULT_KEYS = Keys()


def load_benchmark(
    name: str, data_dir: str | None = None, keys: Keys = DEFAULT_KEYS, limit: int | None = None
) -> list[Problem]:
    """The problems of a benchmark, or the first `limit`, in the order of the data.

    `name` is one of BENCHMARKS, which are read from `data_dir` or else from the hub, or the path of a file of rows with
    the columns `keys`. Raises ConfigError if there are no such data, they can't be read, or rows are no problems.
    """
    table, where = _table(name, data_dir)
    if not len(table):
        raise ConfigError(f"{where}: there are no rows")
    if limit is not None:
        table = table.take(range(min(limit, len(table))))
    if name in BENCHMARKS:
        keys = BENCHMARKS[name].keys
    problems, bad = [], BadRows()
    for number, row in enumerate(table.rows):
        try:
            problems.append(problem_of(row, number, keys, by_name=name in BENCHMARKS))
        except BadField as fault:
            bad.add(table.places[number], fault)
    bad.check(len(table), where)
    if copies := repeated([problem.question for problem in problems], table.places):
        warn(f"{where}: {told_copies(copies, len(table), 'question', table.places)}", stacklevel=2)
    return _unique(problems, keys, where)


def display_name(name: str) -> str:
    """What results call a benchmark: its name, or its file's without folder and suffix."""
    return name if name in BENCHMARKS else Path(Path(name).name.removesuffix(GZIP)).stem


def _table(name: str, data_dir: str | None) -> tuple[Table, str]:
    """All rows, and the option and the source that they are from, for messages."""
    if name not in BENCHMARKS:
        path, option = Path(name), f"--benchmarks {name}"
        if row_suffix(path) is None:
            raise ConfigError(f"{option}: give {', '.join(BENCHMARKS)}, or the path of a file in {', '.join(SUFFIXES)}")
        if not path.is_file():
            raise ConfigError(f"{option}: there is no such file")
        return _read_file(path, "--benchmarks"), option
    benchmark = BENCHMARKS[name]
    if data_dir is None:
        return _download(benchmark), f"--benchmarks {name}: {benchmark.dataset}"
    path = _local_copy(benchmark, data_dir)
    return _read_file(path, "--data_dir"), f"--data_dir {data_dir}: {path.name}"


def _local_copy(benchmark: Benchmark, data_dir: str) -> Path:
    stems = dict.fromkeys((benchmark.file or benchmark.name, benchmark.name))
    names = [stem + suffix + end for stem in stems for suffix in SUFFIXES for end in ("", GZIP)]
    found = [path for name in names if (path := Path(data_dir, name)).is_file()]
    if not found:
        raise ConfigError(
            f"--data_dir {data_dir}: no {benchmark.name} there; put it in that folder as {' or '.join(stems)}, a file "
            f"in {', '.join(SUFFIXES)}"
        )
    return found[0]


def _read_file(path: Path, option: str) -> Table:
    try:
        return read_table(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{option}: {path} can't be read ({error})") from error


def _download(benchmark: Benchmark) -> Table:
    from datasets import load_dataset

    try:
        data: Any = load_dataset(benchmark.dataset, benchmark.config, split=benchmark.split)  # for a split, a Dataset
        rows = list(data)
    except Exception as error:  # whatever `datasets` raises for a hub that is out of reach
        raise ConfigError(
            f"--benchmarks {benchmark.name}: {benchmark.dataset} can't be loaded from the Hugging Face hub "
            f"({type(error).__name__}: {error}); where the hub is out of reach, give --data_dir FOLDER with "
            f"{benchmark.file or benchmark.name}.jsonl in it"
        ) from error
    return Table(rows, [f"row {number}" for number in range(1, len(rows) + 1)])


def _unique(problems: list[Problem], keys: Keys, where: str) -> list[Problem]:
    ids = [f"`{one}`" for one, count in Counter(problem.id for problem in problems).items() if count > 1]
    if ids:
        raise ConfigError(f"{where}: more than one row has the {keys.id} {', '.join(ids[:5])}; leave one of each")
    return problems


def problem_of(row: dict[str, Any], number: int, keys: Keys, by_name: bool) -> Problem:
    """The problem of a row; BadField if it has none. The columns of a benchmark known by name are no options."""

    def read(column: str, convert: Callable[[Any], Any]) -> Any:
        key = getattr(keys, column)
        try:
            return None if key is None else convert(value_of(row, key))
        except BadValue as error:
            raise BadField(f"column {key}" if by_name else f"--{column}_key {key}", error) from error

    return Problem(
        id=str(number) if keys.id is None else read("id", str),
        question=read("question", lambda value: chat_of(value)[-1]["content"]),  # of a chat, the last message
        gold=read("answer", _gold),
        subject=read("subject", _label),
        level=read("level", _label),
    )


def _gold(value: Any) -> str | list[str]:
    label = label_of(value, for_verifier=True)
    return [str(answer) for answer in label] if isinstance(label, list) else str(label)


def _label(value: Any) -> str | None:
    return None if value is None else str(value)
