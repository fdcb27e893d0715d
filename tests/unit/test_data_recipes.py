"""`prepo data` on small files made on the spot: what is kept, what is dropped and why, and what is refused."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from tiny_tasks import ROOT

from prepo_rlhf.cli.data import main
from prepo_rlhf.data_recipes.questions import same_problem_key, without_instruction
from prepo_rlhf.data_recipes.recipes import RECIPES
from prepo_rlhf.evaluation.benchmarks import BENCHMARKS, Problem, load_benchmark
from prepo_rlhf.files.rows import iterate_rows, read_table

DAPO = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: "
    "$Answer (without quotes) where $Answer is the answer to the problem.\n\n{}\n\n"
    'Remember to put your answer on its own line after "Answer:".'
)
QUESTIONS = [
    ("How many primes are below $10$?", "4"),
    ("What is $\\frac{1}{2} + \\frac14$?", "3/4"),
    ("How many primes are below $10$?", "4"),  # a copy
    ("How many primes are below 10 ?", "4"),  # the same in other typesetting
    ("How many primes are below $100$?", "25"),  # another problem
    ("Find $x$ if $2x = 6$.", "3"),  # contradicts the next
    ("Find \\(x\\) if \\(2x = 6\\)", "4"),
    ("What is $\\frac{1}{2} + \\frac14$?", "0.75"),  # a copy: the answers are equal
    ("Prove that $\\sqrt{2}$ is irrational.", "Suppose that it were rational; then so on."),
    ("Find $f'(0)$ for $f(x) = x^2$.", "0"),
    ("Name the kind of group that has prime order.", "\\text{cyclic}"),
    ("How many primes are below $10$?", "4"),  # a copy
]


@pytest.fixture
def dapo_file(tmp_path: Path) -> Path:
    """As on the hub, with a row that has no answer."""
    rows = [
        {
            "data_source": "math_dapo",
            "prompt": [{"role": "user", "content": DAPO.format(question)}],
            "reward_model": {"ground_truth": answer, "style": "rule-lighteval/MATH_v2"},
        }
        for question, answer in [*QUESTIONS, ("What is $1$?", None)]
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "dapo-math-17k.parquet")
    return tmp_path / "dapo-math-17k.parquet"


def read_lines(path: Path) -> list[dict[str, Any]]:
    return read_table(path).rows


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    return capsys.readouterr().err.strip()


def test_dapo_becomes_questions_and_a_table_of_what_was_dropped(
    dapo_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["dapo-math-17k", "--from", str(dapo_file), "--output_dir", str(out), "--held_out", "0"]) == 0
    assert read_lines(out / "dapo-math-17k_train.jsonl") == [
        {"prompt": QUESTIONS[number][0], "answer": QUESTIONS[number][1], "datasource": "math_dapo"}
        for number in (0, 1, 4, 9, 10)
    ]
    assert sorted(os.listdir(out)) == ["dapo-math-17k_report.json", "dapo-math-17k_train.jsonl"]
    report = json.loads((out / "dapo-math-17k_report.json").read_text())
    assert report["rows_read"] == 13 == report["problems"] + sum(report["dropped"].values())
    assert report["dropped"] == {
        "no question or no answer": 1,
        "the same text as an earlier row": 3,
        "the same problem in other typesetting": 1,
        "answers that contradict each other: all copies": 2,
        "an answer that the verifier cannot read": 1,
    }
    (conflict,) = report["contradicting_answers"]
    assert [(one["first_at"], one["answer"]) for one in conflict] == [("row 6", "3"), ("row 7", "4")]
    assert [one["first_at"] for one in report["unreadable_answers"]] == ["row 9"]
    assert report["instruction_removed"] == 12
    printed = capsys.readouterr().out
    lines = {line.split("│")[1].strip(): line.split("│")[2].strip() for line in printed.splitlines() if "│" in line}
    assert lines["rows read"] == "13" and lines["problems left"] == lines["train"] == "5"
    assert [lines[reason] for reason in report["dropped"]] == ["-1", "-3", "-1", "-2", "-1"]
    assert str(out / "dapo-math-17k_train.jsonl") in printed


def test_the_same_command_changes_nothing_and_another_only_when_asked(
    dapo_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["dapo-math-17k", "--from", str(dapo_file.parent), "--output_dir", str(tmp_path), "--held_out", "2"]
    names = [f"dapo-math-17k_{part}" for part in ("train.jsonl", "held_out.jsonl", "report.json")]
    assert main(command) == 0
    first = [(tmp_path / name).read_bytes() for name in names]
    held_out = [row["prompt"] for row in read_lines(tmp_path / names[1])]
    train = [row["prompt"] for row in read_lines(tmp_path / names[0])]
    order = [QUESTIONS[number][0] for number in (0, 1, 4, 9, 10)]
    assert len(held_out) == 2 and sorted(held_out + train) == sorted(order)
    assert train == [question for question in order if question in train]
    assert main(command) == 0
    assert [(tmp_path / name).read_bytes() for name in names] == first
    command[-1] = "1"
    told = refusal(capsys, *command)
    assert told == (
        f"data dapo-math-17k: --output_dir {tmp_path}: has {', '.join(names)} with another content; give --overwrite "
        "to replace what is there, or another folder"
    )
    assert [(tmp_path / name).read_bytes() for name in names] == first
    assert main([*command, "--overwrite"]) == 0
    assert len(read_lines(tmp_path / names[1])) == 1 and not list(tmp_path.glob("*.tmp"))


def test_the_seed_chooses_what_is_held_out(tmp_path: Path) -> None:
    rows = [{"question": f"What is {n} + {n}?", "answer": f"#### {2 * n}"} for n in range(99)]
    source = write_lines(tmp_path / "gsm8k_train.jsonl", rows)
    chosen = []
    for run, seed in enumerate((1, 1, 2)):
        out = tmp_path / str(run)
        command = ["gsm8k", "--from", str(source), "--output_dir", str(out), "--held_out", "20", "--seed", str(seed)]
        assert main(command) == 0
        chosen.append([row["prompt"] for row in read_lines(out / "gsm8k_held_out.jsonl")])
        train = [row["prompt"] for row in read_lines(out / "gsm8k_train.jsonl")]
        assert len(chosen[-1]) == 20 and len(train) == 79 and not set(chosen[-1]) & set(train)
    assert chosen[0] == chosen[1] != chosen[2]


def test_answers_are_taken_out_of_solutions(tmp_path: Path) -> None:
    math = {"problem": "Find $\\sqrt{x}$.", "level": "Level 2", "type": "Algebra", "solution": "So it is \\boxed{2}."}
    unanswered = {**math, "problem": "Which is it?", "solution": "It is hard to say which one it is."}
    command = ["--held_out", "0", "--output_dir", str(tmp_path / "out")]
    source = write_lines(tmp_path / "MATH.jsonl", [math, unanswered])
    assert main(["math", "--from", str(source), *command]) == 0
    assert read_lines(tmp_path / "out" / "math_train.jsonl") == [
        {"prompt": "Find $\\sqrt{x}$.", "answer": "2", "datasource": "math", "subject": "Algebra", "level": "Level 2"}
    ]
    report = json.loads((tmp_path / "out" / "math_report.json").read_text())
    assert report["dropped"]["an answer that the verifier cannot read"] == 1


@pytest.mark.filterwarnings("ignore:.*repeat the question")
def test_a_benchmark_stays_whole_and_is_found_by_evaluation_and_training(tmp_path: Path) -> None:
    rows = [
        {"id": n, "question": "Solve $x^2 = 4$.", "final_answer": ["2", "-2"], "subfield": "Algebra"} for n in (3, 4)
    ]
    write_lines(tmp_path / "olympiadbench.jsonl", [*rows, {**rows[0], "id": 5, "final_answer": ["no idea what"]}])
    out = tmp_path / "out"
    assert main(["olympiadbench", "--from", str(tmp_path), "--output_dir", str(out)]) == 0
    problems = load_benchmark("olympiadbench", str(out))
    assert problems[0] == Problem("3", "Solve $x^2 = 4$.", ["2", "-2"], "Algebra", None) and len(problems) == 3
    first = read_lines(out / "olympiadbench.jsonl")[0]
    assert (first["prompt"], first["answer"]) == ("Solve $x^2 = 4$.", ["2", "-2"])
    assert first["datasource"] == "olympiadbench"
    report = json.loads((out / "olympiadbench_report.json").read_text())
    assert (report["problems"], report["repeated_questions"], len(report["unreadable_answers"])) == (3, 2, 1)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["dapo"], "data dapo: no such data set; training problems: dapo-math-17k, gsm8k, math; benchmarks: "),
        (["gsm8k", "--from", "no/such"], "--from no/such: there is no such file or folder"),
        (["gsm8k", "--from", "notes.txt"], "--from notes.txt: give a file in .jsonl, .parquet,"),
        (["gsm8k", "--from", "empty.jsonl"], "--from empty.jsonl: there are no rows"),
        (["aime24", "--from", "empty.jsonl"], "--from empty.jsonl: there are no rows"),
        (["gsm8k", "--from", "broken.parquet"], "--from broken.parquet: cannot be read (is no Parquet table"),
        (["math", "--from", "rows.jsonl"], "column problem: 2 of the 2 rows of --from rows.jsonl cannot be used"),
        (["aime24", "--from", "rows.jsonl"], "column id: 2 of the 2 rows of --from rows.jsonl cannot be used (line 1"),
        (["gsm8k", "--from", "rows.jsonl"], "--held_out 200: of 2 problems, take from 0 to all but one"),
        (["gsm8k", "--from", "rows.jsonl", "--held_out", "-1"], "--held_out -1: of 2 problems"),
        (["gsm8k-test", "--from", "rows.jsonl", "--held_out", "1"], "--held_out 1: gsm8k-test is a benchmark"),
        (["benchmarks", "--from", "rows.jsonl"], "--from rows.jsonl: give a folder with copies of all benchmarks"),
        (["gsm8k", "--from", "rows.jsonl", "--held_out", "1", "--output_dir", "notes.txt"], "--output_dir notes.txt: "),
        (["math", "--from", "."], "--from .: has no math_train in .jsonl, .parquet,"),
    ],
)
def test_refusals_are_one_sentence(
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("notes.txt", "n"), ("empty.jsonl", ""), ("broken.parquet", "no table")):
        Path(name).write_text(text)
    write_lines(Path("rows.jsonl"), [{"question": f"1 + {n}?", "answer": f"#### {n + 1}"} for n in range(2)])
    before = sorted(os.listdir())
    told = refusal(capsys, *arguments)
    assert told.startswith(f"data {arguments[0]}: ") and complaint in told and "\n" not in told
    assert sorted(os.listdir()) == before


def test_a_hub_that_does_not_answer_is_told_at_once(tmp_path: Path) -> None:
    """By a server that takes connections and says nothing; `datasets` alone tries for a minute."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        variables = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        variables |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "prepo_rlhf.cli.data", "gsm8k"],
            capture_output=True, text=True, env=variables, cwd=tmp_path, timeout=60,
        )  # fmt: skip
    assert time.monotonic() - start < 25  # on a busy machine
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"openai/gsm8k cannot be loaded from the Hugging Face hub ({endpoint}" in done.stderr
    assert "`hf download --repo-type dataset openai/gsm8k --local-dir gsm8k`" in done.stderr
    assert done.stderr.endswith("give --from gsm8k\n")


def test_a_folder_as_the_hub_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GSM8K has configurations; a README says which files belong to which."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    copy = tmp_path / "copy"
    (copy / "main").mkdir(parents=True)
    for split, answer in (("train", "#### 2"), ("test", "#### 3")):
        rows = [{"question": f"1 + 1, {split}?", "answer": answer}]
        parquet.write_table(pa.Table.from_pylist(rows), copy / "main" / f"{split}-00000-of-00001.parquet")
    (copy / "README.md").write_text(
        "---\nconfigs:\n- config_name: main\n  data_files:\n  - split: train\n    path: main/train-*\n"
        "  - split: test\n    path: main/test-*\n---\n"
    )
    out = str(tmp_path / "out")
    assert main(["gsm8k", "--from", str(copy), "--output_dir", out, "--held_out", "0"]) == 0
    assert main(["gsm8k-test", "--from", str(copy), "--output_dir", out]) == 0
    row = {"prompt": "1 + 1, train?", "answer": "2", "datasource": "gsm8k"}
    assert read_lines(tmp_path / "out" / "gsm8k_train.jsonl") == [row]
    assert load_benchmark("gsm8k", out) == [Problem("0", "1 + 1, test?", "#### 3", None, None)]


@pytest.mark.parametrize(
    "pair",
    [
        ("Find $x^{2}$.", "find \\(x^2\\)"),
        ("Let $a, b$ be  reals.\nFind it", "Let $a$, $b$ be reals. Find it."),
        ("\\left( a \\right) \\quad b", "(a)b"),
        ("Arthur's 1,000 knights", "Arthur’s $1,000$ knights"),
        ("（x）", "(x)"),
    ],
)
def test_typesetting_does_not_make_another_problem(pair: tuple[str, str]) -> None:
    assert same_problem_key(pair[0]) == same_problem_key(pair[1])


@pytest.mark.parametrize(
    "pair",
    [
        ("$3.14$", "$314$"),
        ("$(1,2)$", "$(12)$"),
        ("$a+b$", "$a-b$"),
        ("$a \\le b$", "$a \\ge b$"),
        ("$a ≤ b$", "$a ≥ b$"),
        ("$5!$", "$5$"),
        ("$x^{10}$", "$x^{1}0y$"),
        ("$\\frac{1}{23}$", "$\\frac{12}{3}$"),
        ("$(a+b)c$", "$a+(bc)$"),
        ("$\\leftarrow$", "$arrow$"),
        ("???", "!?!"),
    ],
)
def test_other_numbers_and_operators_make_another_problem(pair: tuple[str, str]) -> None:
    assert same_problem_key(pair[0]) != same_problem_key(pair[1])


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (DAPO.format("What is $2$?"), "What is $2$?"),
        (DAPO.format("Answer:\n\nWhich Answer: is it?"), "Answer:\n\nWhich Answer: is it?"),
        ("Solve the following math problem: $x = 1$.", "Solve the following math problem: $x = 1$."),
        (" What is $2$?\n", "What is $2$?"),
    ],
)
def test_nothing_but_the_instruction_is_removed(text: str, question: str) -> None:
    assert without_instruction(text) == question


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_rows_one_after_another_are_those_of_the_table(name: str, tmp_path: Path) -> None:
    rows = [{"prompt": [{"role": "user", "content": str(n)}], "answer": n} for n in range(10)]
    write_lines(tmp_path / "a.jsonl", rows)
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=4)
    table = read_table(tmp_path / name)
    assert table.rows == rows
    assert list(iterate_rows(tmp_path / name)) == list(zip(table.places, table.rows, strict=True))


def test_every_benchmark_has_a_recipe_that_evaluation_finds() -> None:
    assert {recipe.data.name for recipe in RECIPES.values() if recipe.is_benchmark} == set(BENCHMARKS)
    assert len({recipe.stem for recipe in RECIPES.values()}) == len(RECIPES)
