"""Files of rows that users bring: every format, broken ones, names, folders, several at once."""

from __future__ import annotations

import gzip
import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pytest
from plain_reader import expected_prompts
from row_files import GOOD, NAN, QUESTION, RowJob, as_csv, as_table, loaded, refusal, write_lines

from prepo_rlhf.config import ConfigError
from prepo_rlhf.evaluation.benchmarks import load_benchmark
from prepo_rlhf.prompts.load import load_prompts
from prepo_rlhf.prompts.sources import Source, load_source

# Bytes of a file, its name, and what is told: not one row of it is used.
BROKEN_FILES: dict[str, tuple[bytes, str, str]] = {
    "cut off": (
        b'{"question": "a", "answer": "1"}\n{"question": "b", "ans',
        "a.jsonl",
        "line 2 is not JSON: Unterminated",
    ),
    "Python's words": (b"{'question': 'a'}\n", "a.jsonl", "line 1 is not JSON"),
    "two of six": (
        b'{}\n{"a"\n{}\n\nnot\n',
        "a.jsonl",
        "line 2 is not JSON: Expecting ':' delimiter at column 5; line 5",
    ),
    "lists": (b'{"question": "a"}\n[1]\n', "a.jsonl", "its rows are not JSON objects: line 2"),
    "numbers": (b"[1, {}, null]", "a.json", "its rows are not JSON objects: row 1, row 3"),
    "columns": (b'{"question": ["a", "b"]}', "a.json", "its rows are not JSON objects in a list"),
    "a broken list": (b'[{"question": "a"},\n {"question": }]', "a.json", "line 2 is not JSON"),
    "too deep": (b"[" * 100_000, "a.json", "nested too deeply"),
    "a giant number": (b'{"question": "a", "answer": ' + b"9" * 5000 + b"}", "a.jsonl", "line 1 is not JSON"),
    "Latin-1": ('{"question": "a"}\n{"question": "für"}\n'.encode("latin-1"), "a.jsonl", "line 2: not UTF-8"),
    "UTF-16": ('{"question": "a"}\n'.encode("utf-16"), "a.jsonl", "not UTF-8; save the file as UTF-8"),
    "no gzip": (b"{}", "a.jsonl.gz", "is no whole gzip file"),
    "gzip cut off": (gzip.compress(b'{"question": "a"}\n' * 99)[:-12], "a.json.gz", "is no whole gzip file"),
    "no Parquet": (b"PAR1 and more, not a table", "a.parquet", "is no Parquet table"),
    "no Arrow": (b"ARROW1", "a.arrow", "is no Arrow table"),
    "empty Parquet": (b"", "a.parquet", "is no Parquet table"),
    "a quote left open": (b'question,answer\n"a,1\n', "a.csv", "the row after line 1 is not CSV"),
    "too many values": (b"question,answer\na,1\nb,2,3\n", "a.csv", "line 3 has 3 values, and the first line names 2"),
    "a column twice": (b"answer,answer\na,1\n", "a.csv", "names a column twice"),
    "empty": (b"", "a.jsonl", "the dataset is empty"),
    "only a mark": (b"\xef\xbb\xbf", "a.json", "the dataset is empty"),
    "only a header": (b"question,answer\n", "a.csv", "the dataset is empty"),
    "another kind": (b"question", "a.txt", "the name ends in none of .jsonl, .parquet, .json, .csv, .arrow"),
}
# Names in a folder that holds rows.jsonl and more, and what is told.
NAMES = {
    "nothing there": ("no.jsonl", "--data.prompt_dataset {folder}/no.jsonl: there is no such file or folder"),
    "no folder there": ("no", "there is no such file or folder"),
    "nothing between commas": ("rows.jsonl,", "names nothing, or nothing between two commas"),
    "an empty folder": ("void", "cannot be loaded"),
    "a text": ("What is 1 + 1? " * 99, "there is no such file or folder"),
    "a program": ("rows.py", "the name ends in none of .jsonl"),
}


@pytest.mark.parametrize("case", BROKEN_FILES)
def test_a_broken_file_is_named(case: str, row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
    content, name, told = BROKEN_FILES[case]
    (tmp_path / name).write_bytes(content)
    message = refusal(row_job(tmp_path / name), tokenizer)
    assert message.startswith(f"--data.prompt_dataset {tmp_path / name}: ") and told in message
    with pytest.raises(ConfigError) as caught:
        load_benchmark(str(tmp_path / name))
    assert str(caught.value).startswith("--benchmarks") and str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("case", NAMES)
def test_a_name_that_names_nothing(case: str, row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
    name, told = NAMES[case]
    (tmp_path / "void").mkdir()
    (tmp_path / "rows.py").write_text("raise SystemExit(3)")
    write_lines(tmp_path / "rows.jsonl", GOOD)
    message = refusal(row_job(tmp_path / "x").replaced({"data.prompt_dataset": f"{tmp_path}/{name}"}), tokenizer)
    assert message.startswith("--data.prompt_dataset ") and told.format(folder=tmp_path) in message


def test_splits_that_are_not_there(row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", GOOD)
    assert refusal(row_job(path, data__prompt_split="test"), tokenizer).startswith("--data.prompt_split test: ")
    told = refusal(row_job(tmp_path, data__prompt_split="test"), tokenizer)
    assert told == f"--data.prompt_split test: {tmp_path} has no such split, but train"
    config = row_job(path, eval__dataset=str(path), eval__split="test")
    with pytest.raises(ConfigError, match="--eval.split test: "):
        load_prompts(config, tokenizer, evaluation=True)


LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in GOOD)
FORMATS: dict[str, tuple[str, bytes]] = {
    "JSON lines": ("a.jsonl", LINES.encode()),
    "in capitals": ("A.JSONL", LINES.encode()),
    "byte order mark": ("a.jsonl", LINES.encode("utf-8-sig")),
    "two marks": ("a.jsonl", LINES.encode("utf-8-sig") + LINES.encode("utf-8-sig")),
    "CRLF": ("a.jsonl", LINES.replace("\n", "\r\n").encode()),
    "CR": ("a.jsonl", LINES.replace("\n", "\r").encode()),
    "empty lines": ("a.jsonl", ("\n \n" + LINES.replace("\n", "\n\n")).encode()),
    "no last line break": ("a.jsonl", LINES.rstrip().encode()),
    "lines called JSON": ("a.json", LINES.encode()),
    "a list": ("a.json", json.dumps(GOOD, indent=1).encode("utf-8-sig")),
    "a list called lines": ("a.jsonl", json.dumps(GOOD).encode()),
    "CSV": ("a.csv", as_csv(GOOD)),
    "CSV with a mark": ("a.csv", b"\xef\xbb\xbf" + as_csv(GOOD)),
    "Parquet": ("a.parquet", as_table(GOOD, "parquet")),
    "Arrow's stream": ("a.arrow", as_table(GOOD, "stream")),
    "Arrow's file": ("a.arrow", as_table(GOOD, "file")),
    "gzip": ("a.jsonl.gz", gzip.compress(LINES.encode())),
    "gzip of CSV": ("a.csv.gz", gzip.compress(as_csv(GOOD))),
    "gzip of Parquet": ("a.parquet.gz", gzip.compress(as_table(GOOD, "parquet"))),
    "at, comma, space, umlaut": ("my@host, für 1/rö@w,s 2.jsonl", LINES.encode()),
    "other signs": ("a=1/[b] #'%s' {}*.jsonl", LINES.encode()),
}


@pytest.mark.parametrize("case", FORMATS)
def test_every_format_gives_the_same_rows(case: str, row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
    name, content = FORMATS[case]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    expected = expected_prompts(write_lines(tmp_path / "plain" / "rows.jsonl", GOOD), tokenizer)
    times = 2 if case == "two marks" else 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = row_job(path, eval__dataset=str(path))
        assert loaded(config, tokenizer) == times * expected
        evaluated = load_prompts(config, tokenizer, evaluation=True)
        problems = load_benchmark(str(path))
    assert [(p.text, p.label, len(p.token_ids)) for p in evaluated.prompts] == times * expected
    assert [(p.question, p.gold) for p in problems] == times * [(row["question"], row["answer"]) for row in GOOD]


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet", "stream"])
@pytest.mark.parametrize("value", [None, NAN], ids=str)
def test_null_and_nan_are_refused_alike(
    kind: str, value: float | None, row_job: RowJob, tokenizer: Any, tmp_path: Path
) -> None:
    rows = [{"question": row["question"], "answer": float(row["answer"])} for row in GOOD]
    rows[3]["answer"] = value
    path = tmp_path / f"a.{'arrow' if kind == 'stream' else kind}"
    writers = {"jsonl": lambda: "".join(json.dumps(row) + "\n" for row in rows), "json": lambda: json.dumps(rows)}
    content = writers[kind]().encode() if kind in writers else as_csv(rows) if kind == "csv" else as_table(rows, kind)
    path.write_bytes(content)
    place = {"jsonl": "line 4", "csv": "line 5"}.get(kind, "row 4")
    message = refusal(row_job(path), tokenizer)
    assert message.startswith("--data.label_key answer: 1 of the 6 rows") and f"({place}: is " in message
    with pytest.raises(ConfigError, match=rf"--answer_key answer: 1 of the 6 .*\({place}: is"):
        load_benchmark(str(path))


def test_names_with_commas_and_ats(row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
    odd, other = write_lines(tmp_path / "a@1,b.jsonl", GOOD[:2]), write_lines(tmp_path / "b.jsonl", GOOD[2:4])
    write_lines(tmp_path / "x@y" / "part" / "c.jsonl", GOOD[4:])
    texts = [row["question"] for row in GOOD]
    for names in (f"{odd},{other}", f" {odd} , {other} "):
        assert [text for text, _, _ in loaded(row_job(names), tokenizer)] == texts[:4]
    everything = row_job(f"{odd},{other},{tmp_path}/x@y@part")
    assert [text for text, _, _ in loaded(everything, tokenizer)] == texts
    assert [text for text, _, _ in loaded(row_job(f"{tmp_path}/*.jsonl"), tokenizer)] == texts[:4]
    write_lines(other, [GOOD[0], {"question": "", "answer": "1"}])
    assert "(b.jsonl, line 2: is an empty text)" in refusal(row_job(f"{odd},{other}"), tokenizer)


def test_folders(row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
    files = tmp_path / "of files, ä@1"
    write_lines(files / "train-0.jsonl", GOOD[:2] + [{"question": QUESTION, "answer": 7}])  # a label of another type
    write_lines(files / "train-1.jsonl", [GOOD[2] | {"extra": 1}])
    write_lines(files / "test.jsonl", GOOD[3:])
    saved = tmp_path / "saved"
    splits = {"train": datasets.Dataset.from_list(GOOD[:3]), "test": datasets.Dataset.from_list(GOOD[3:])}
    datasets.DatasetDict(splits).save_to_disk(saved)
    assert [p[1] for p in loaded(row_job(files), tokenizer)] == [
        GOOD[0]["answer"],
        GOOD[1]["answer"],
        7,
        GOOD[2]["answer"],
    ]
    for folder in (files, saved):
        test = loaded(row_job(folder, data__prompt_split="test"), tokenizer)
        assert [text for text, _, _ in test] == [row["question"] for row in GOOD[3:]]
    write_lines(files / "train-1.jsonl", [GOOD[0], {"answer": "1"}])
    assert "(train-1.jsonl, line 2: has no such key, but answer)" in refusal(row_job(files), tokenizer)


def test_datasets_are_blended_as_openrlhf_does(row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
    from openrlhf.datasets.utils import blending_datasets

    rows = [{"question": f"{i} + 1?", "answer": str(i)} for i in range(30)]
    names = ",".join(str(write_lines(tmp_path / f"{i}.jsonl", rows[10 * i : 10 * i + 10])) for i in range(3))
    quiet = SimpleNamespace(print=lambda *_: None, is_rank_0=lambda: False)
    theirs = blending_datasets(names, "0.5,0.2,0.3", quiet, 42, max_count=8)
    source = Source("--x", "--y", names, "train", "0.5,0.2,0.3", seed=42, max_rows=8)
    assert load_source(source).rows == list(theirs)[:8]
    for wrong in ("0.5,0.5", "a,b,c", "0.5,0.2,0.2", "1,0,0", "nan,0.5,0.5", ""):
        message = refusal(row_job(names, data__prompt_probs=wrong), tokenizer)
        assert message.startswith(f"--data.prompt_probs {wrong}: ")
