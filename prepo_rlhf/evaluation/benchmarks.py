"""The mathematics benchmarks, and any file of problems, loaded from the hub, a folder or a path.

Reference answers stay as the data has them; the verifier interprets them.
Boundary: imports `datasets` only to download; knows no models or prompts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.files.rows import SUFFIXES, lookup, read_rows


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

    `name` is one of BENCHMARKS, which are read from `data_dir` or else from the hub, or the path of a .jsonl, .json or
    .parquet file whose columns are `keys`. Raises ConfigError if there are no such data, they can't be read, or their
    columns are not as expected.
    """
    rows, where = _rows(name, data_dir)
    if not rows:
        raise ConfigError(f"{where}: there are no rows")
    if name in BENCHMARKS:
        keys = BENCHMARKS[name].keys
    problems = [_problem(row, number, keys, f"{where}, row {number}") for number, row in enumerate(rows[:limit])]
    repeated = [f"`{one}`" for one, count in Counter(problem.id for problem in problems).items() if count > 1]
    if repeated:
        raise ConfigError(f"{where}: more than one row has the {keys.id} {', '.join(repeated[:5])}; leave one of each")
    return problems


def display_name(name: str) -> str:
    """What results call a benchmark: its name, or its file's without folder and suffix."""
    return name if name in BENCHMARKS else Path(name).stem


def _rows(name: str, data_dir: str | None) -> tuple[list[dict[str, Any]], str]:
    """All rows, and the option and the source that they are from, for messages."""
    if name not in BENCHMARKS:
        path, option = Path(name), f"--benchmarks {name}"
        if path.suffix not in SUFFIXES:
            raise ConfigError(
                f"{option}: give {', '.join(BENCHMARKS)}, or the path of a file in {', '.join(SUFFIXES)}"
            )
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
    names = [stem + suffix for stem in stems for suffix in SUFFIXES]
    found = [path for name in names if (path := Path(data_dir, name)).is_file()]
    if not found:
        raise ConfigError(
            f"--data_dir {data_dir}: no {benchmark.name} there; put it in that folder as {' or '.join(names)}"
        )
    return found[0]


def _read_file(path: Path, option: str) -> list[dict[str, Any]]:
    try:
        return read_rows(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{option}: {path} can't be read ({error})") from error


def _download(benchmark: Benchmark) -> list[dict[str, Any]]:
    from datasets import load_dataset

    try:
        rows: Any = load_dataset(benchmark.dataset, benchmark.config, split=benchmark.split)  # for a split, a Dataset
        return list(rows)
    except Exception as error:  # whatever `datasets` raises for a hub that is out of reach
        raise ConfigError(
            f"--benchmarks {benchmark.name}: {benchmark.dataset} can't be loaded from the Hugging Face hub "
            f"({type(error).__name__}: {error}); where the hub is out of reach, give --data_dir FOLDER with "
            f"{benchmark.file or benchmark.name}.jsonl in it"
        ) from error


def _problem(row: dict[str, Any], number: int, keys: Keys, where: str) -> Problem:
    return Problem(
        id=str(number) if keys.id is None else str(_value(row, keys.id, where)),
        question=_question(_value(row, keys.question, where), f"{where}, {keys.question}"),
        gold=_gold(_value(row, keys.answer, where), f"{where}, {keys.answer}"),
        subject=_label(row, keys.subject, where),
        level=_label(row, keys.level, where),
    )


def _value(row: dict[str, Any], key: str, where: str) -> Any:
    try:
        return lookup(row, key)
    except (KeyError, TypeError) as error:
        raise ConfigError(
            f"{where}: has no key {key}, but {', '.join(row)}; for a file given by its path, --question_key, "
            "--answer_key, --subject_key and --level_key name its columns"
        ) from error


def _label(row: dict[str, Any], key: str | None, where: str) -> str | None:
    value = None if key is None else _value(row, key, where)
    return None if value is None else str(value)


def _question(value: Any, where: str) -> str:
    """The text itself, or the last message of a chat."""
    text = value[-1].get("content") if isinstance(value, list) and value and isinstance(value[-1], dict) else value
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(f"{where}: is no question, neither text nor chat messages; --question_key names the column")
    return text


def _gold(value: Any, where: str) -> str | list[str]:
    answers = value if isinstance(value, list) else [value]
    if not answers or not all(isinstance(answer, (str, int, float)) and str(answer).strip() for answer in answers):
        raise ConfigError(f"{where}: is no answer, neither text, number nor a list; --answer_key names the column")
    return [str(answer) for answer in answers] if isinstance(value, list) else str(value)
