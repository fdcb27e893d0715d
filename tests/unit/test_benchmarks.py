"""Benchmarks: the real files, files of the user's own, the hub's layout, and every error message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from tiny_tasks import ROOT

from prepo_rlhf.config import ConfigError
from prepo_rlhf.evaluation.benchmarks import Keys, Problem, display_name, load_benchmark

ROWS = [
    {"task": {"text": "1 + 1?", "gold": 2}, "topic": "sums", "grade": 1},
    {"task": {"text": "Roots of $x^2=4$?", "gold": ["2", -2]}, "topic": "roots", "grade": None},
]
HUB = [
    ("openai/gsm8k", "main", "test"),
    ("HuggingFaceH4/MATH-500", "default", "test"),
    ("HuggingFaceH4/aime_2024", "default", "train"),
    ("math-ai/aime25", "default", "test"),
    ("Hothan/OlympiadBench", "OE_TO_maths_en_COMP", "train"),
]
NESTED = Keys(question="task.text", answer="task.gold", subject="topic", level="grade")


def write_lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def message_of(name: str, data_dir: str | None = None, keys: Keys | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_benchmark(name, data_dir, keys or Keys())
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "count"), [("gsm8k", 1319), ("math500", 500), ("aime24", 30), ("aime25", 30), ("olympiadbench", 675)]
)
def test_reads_the_real_files(benchmarks: Path, name: str, count: int) -> None:
    problems = load_benchmark(name, str(benchmarks))
    assert len(problems) == len({problem.id for problem in problems}) == count
    assert all(problem.question.strip() for problem in problems)


def test_gsm8k_keeps_the_whole_solution(benchmarks: Path) -> None:
    problems = load_benchmark("gsm8k", str(benchmarks), limit=3)
    assert [problem.id for problem in problems] == ["0", "1", "2"]
    assert problems[0].question.startswith("Janet\u2019s ducks lay 16 eggs per day.")
    assert problems[0].gold == (
        "Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 duck eggs a day.\n"
        "She makes 9 * 2 = $<<9*2=18>>18 every day at the farmer\u2019s market.\n#### 18"
    )


def test_math500_has_subjects_and_levels(benchmarks: Path) -> None:
    problems = load_benchmark("math500", str(benchmarks))
    assert Counter(problem.subject for problem in problems) == {
        "Algebra": 124,
        "Intermediate Algebra": 97,
        "Prealgebra": 82,
        "Number Theory": 62,
        "Precalculus": 56,
        "Geometry": 41,
        "Counting & Probability": 38,
    }
    assert Counter(problem.level for problem in problems) == {"1": 43, "2": 90, "3": 105, "4": 128, "5": 134}
    assert problems[0].id == "test/precalculus/807.json"
    assert problems[0].gold == "\\left( 3, \\frac{\\pi}{2} \\right)"


def test_aime_golds_are_texts(benchmarks: Path) -> None:
    golds = {problem.gold for name in ("aime24", "aime25") for problem in load_benchmark(name, str(benchmarks))}
    assert {"025", "045", "336^\\circ"} <= golds
    assert [problem.id for problem in load_benchmark("aime24", str(benchmarks), limit=2)] == ["60", "61"]


def test_olympiadbench_golds_are_lists(benchmarks: Path) -> None:
    problems = load_benchmark("olympiadbench", str(benchmarks))
    assert Counter(problem.subject for problem in problems) == {
        "Algebra": 264,
        "Combinatorics": 154,
        "Geometry": 129,
        "Number Theory": 128,
    }
    assert all(isinstance(problem.gold, list) and len(problem.gold) == 1 for problem in problems)
    assert ["1,3,5"] in [problem.gold for problem in problems]


def test_dapo_questions_are_the_last_message(benchmarks: Path) -> None:
    path = str(benchmarks / "dapo_math_17k.parquet")
    first, second = load_benchmark(path, keys=Keys("prompt", "reward_model.ground_truth"), limit=2)
    assert first.question.startswith("Please solve the following math problem: In triangle $ABC$")
    assert (first.id, first.gold, second.id) == ("0", "34", "1")
    assert display_name(path) == "dapo_math_17k" and display_name("math500") == "math500"


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_reads_a_file_with_nested_keys(tmp_path: Path, suffix: str) -> None:
    path, rows = tmp_path / f"mine{suffix}", ROWS
    if suffix == ".parquet":  # a column has one type
        rows = [row | {"task": row["task"] | {"gold": ["2", "-2"][:n]}} for n, row in enumerate(ROWS, start=1)]
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        write_lines(path, rows)
    one = ["2"] if suffix == ".parquet" else "2"
    assert load_benchmark(str(path), keys=NESTED) == [
        Problem(id="0", question="1 + 1?", gold=one, subject="sums", level="1"),
        Problem(id="1", question="Roots of $x^2=4$?", gold=["2", "-2"], subject="roots", level=None),
    ]


def test_reads_lines_with_unusual_separators(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"question": "one\u2028two\u0085three", "answer": 0.5}])
    Path(path).open("a").write("\n")
    assert load_benchmark(path) == [Problem("0", "one\u2028two\u0085three", "0.5", None, None)]


def test_the_question_of_a_chat_is_its_last_message(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}]
    path = write_lines(tmp_path / "a.jsonl", [{"question": chat, "answer": "2"}])
    assert load_benchmark(path)[0].question == "1 + 1?"


def test_a_local_copy_may_bear_the_plain_name(tmp_path: Path) -> None:
    rows = [{"question": "1 + 1?", "answer": "#### 2"}, {"question": "2 + 2?", "answer": "#### 4"}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "gsm8k.parquet")
    ignored = Keys("no", "such")  # the columns of a benchmark are known
    assert [p.gold for p in load_benchmark("gsm8k", str(tmp_path), ignored)] == ["#### 2", "#### 4"]
    assert [p.gold for p in load_benchmark("gsm8k", str(tmp_path), limit=1)] == ["#### 2"]
    assert len(load_benchmark("gsm8k", str(tmp_path), limit=9)) == 2


def test_loads_from_a_folder_laid_out_as_on_the_hub(tmp_path: Path) -> None:
    """`datasets` takes a folder of that name in place of the hub's: same configuration, split and columns."""
    row = {"id": 7, "unique_id": "u7", "problem": "Why?", "question": "How?", "answer": "1", "final_answer": ["2"]}
    for dataset, config, split in HUB:
        folder = tmp_path / dataset
        write_lines(folder / "data.jsonl", [row | {"subject": "s", "level": 3, "subfield": "f"}])
        (folder / "README.md").write_text(
            f"---\nconfigs:\n- config_name: {config}\n  data_files:\n  - split: {split}\n    path: data.jsonl\n---\n"
        )
    code = (
        "from prepo_rlhf.evaluation.benchmarks import *\n"
        "for name in BENCHMARKS: print([(p.id, p.question, p.gold, p.subject, p.level) for p in load_benchmark(name)])"
    )
    assert _offline(code, tmp_path).stdout.splitlines() == [
        "[('0', 'How?', '1', None, None)]",
        "[('u7', 'Why?', '1', 's', '3')]",
        "[('7', 'Why?', '1', None, None)]",
        "[('7', 'Why?', '1', None, None)]",
        "[('7', 'How?', ['2'], 'f', None)]",
    ]


def test_says_what_to_do_without_the_hub(tmp_path: Path) -> None:
    done = _offline("from prepo_rlhf.evaluation.benchmarks import *\nload_benchmark('gsm8k')", tmp_path)
    message = done.stderr.splitlines()[-1]
    assert message.startswith("prepo_rlhf.config.base.ConfigError: --benchmarks gsm8k: openai/gsm8k can't be loaded")
    assert message.endswith("give --data_dir FOLDER with gsm8k_test.jsonl in it")


def _offline(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    changes = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=os.environ | changes
    )


def test_names_a_benchmark_or_file_that_is_not_there(tmp_path: Path) -> None:
    assert message_of("math") == (
        "--benchmarks math: give gsm8k, math500, aime24, aime25, olympiadbench, or the path of a file in "
        ".jsonl, .parquet, .json, .csv, .arrow"
    )
    assert message_of(f"{tmp_path}/no.jsonl") == f"--benchmarks {tmp_path}/no.jsonl: there is no such file"
    assert message_of("aime24", str(tmp_path)) == (
        f"--data_dir {tmp_path}: no aime24 there; put it in that folder as aime24, a file in .jsonl, .parquet, .json, "
        ".csv, .arrow"
    )


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.jsonl", '{"question": "1?"}\n{"question', "line 2 is not JSON: Unterminated string"),
        ("a.jsonl", "[1, 2]\n", "its rows are not JSON objects"),
        ("a.json", '{"question": "1?"}', "its rows are not JSON objects"),
        ("a.parquet", "no table", "Parquet"),
        ("a.jsonl", "", "there are no rows"),
    ],
)
def test_names_a_broken_file(tmp_path: Path, name: str, content: str, complaint: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    message = message_of(str(path))
    assert message.startswith("--benchmarks") and str(path) in message and complaint in message


def test_names_missing_columns(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", ROWS)
    assert message_of(path) == (
        f"--question_key question: 2 of the 2 rows of --benchmarks {path} cannot be used (line 1, line 2: has no such "
        "key, but task, topic, grade); correct or remove them"
    )
    assert "--answer_key task.answer: 2 of the 2 rows" in message_of(path, keys=Keys("task.text", "task.answer"))
    nowhere = message_of(path, keys=Keys("task.text", "task.gold", "topic.name"))
    assert "--subject_key topic.name: 2 of the 2 rows" in nowhere
    assert "--level_key kind: 2 of the 2 rows" in message_of(path, keys=Keys("task.text", "task.gold", level="kind"))
    write_lines(tmp_path / "aime25.jsonl", [{"id": 1, "problem": "1?", "answer": "1"}, {"id": 2, "answer": "1"}])
    assert message_of("aime25", str(tmp_path)).startswith(
        f"column problem: 1 of the 2 rows of --data_dir {tmp_path}: aime25.jsonl cannot be used (line 2: has no such "
        "key, but id, answer)"
    )


@pytest.mark.parametrize("question", [None, 7, " ", [], ["text"], [{"role": "user"}]])
def test_names_a_question_that_is_none(tmp_path: Path, question: Any) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"question": question, "answer": "1"}])
    assert message_of(path).startswith("--question_key question: 1 of the 1 rows")
    assert f"{path} cannot be used (line 1: " in message_of(path)


@pytest.mark.parametrize("answer", [None, "", " ", [], ["1", None], {"value": 1}, float("nan"), ["1", float("nan")]])
def test_names_an_answer_that_is_none(tmp_path: Path, answer: Any) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"question": "1?", "answer": answer}])
    assert message_of(path).startswith("--answer_key answer: 1 of the 1 rows")
    assert f"{path} cannot be used (line 1: " in message_of(path)


def test_names_repeated_ids(tmp_path: Path) -> None:
    rows = [{"id": n, "problem": "1?", "answer": n} for n in (60, 61, 60)]
    write_lines(tmp_path / "aime24.jsonl", rows)
    assert message_of("aime24", str(tmp_path)) == (
        f"--data_dir {tmp_path}: aime24.jsonl: more than one row has the id `60`; leave one of each"
    )
    assert len(load_benchmark("aime24", str(tmp_path), limit=2)) == 2
