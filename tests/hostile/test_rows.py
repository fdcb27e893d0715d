"""Rows that users bring: refused by option, row and reason, or prepared as a second, plain reader prepares them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
from attempts import attempt
from plain_reader import expected_prompts
from pyarrow import parquet
from tiny_tasks import gpu_config, job_options, question_rows
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from prepo_rlhf.config import Config, ConfigError, GivenConfig, parse_args
from prepo_rlhf.evaluation.benchmarks import Keys, load_benchmark
from prepo_rlhf.prompts.load import load_prompts
from prepo_rlhf.prompts.sources import Source, load_source

Configure = Callable[..., Config]
GOOD = question_rows(6)
NAN, QUESTION = float("nan"), "What is 1 + 1?"
USER = {"role": "user", "content": QUESTION}
SYSTEM = {"role": "system", "content": "Be brief."}
LABEL, INPUT = (
    "--data.label_key answer: 1 of the 6 rows of --data.prompt_dataset",
    "--data.input_key question: 1 of the 6",
)
# What the third of six rows becomes, and what is told of it.
BAD_ROWS: dict[str, tuple[Any, str]] = {
    "label null": ({"answer": None}, f"{LABEL}|(line 3: is null"),
    "label NaN": ({"answer": NAN}, f"{LABEL}|(line 3: is NaN)"),
    "label infinite": ({"answer": float("inf")}, f"{LABEL}|(line 3: is infinite)"),
    "label an empty list": ({"answer": []}, f"{LABEL}|line 3: is an empty list"),
    "label a list with null": ({"answer": ["1", None]}, f"{LABEL}|line 3: is a list with a member that is null"),
    "label a list with NaN": ({"answer": [NAN]}, f"{LABEL}|line 3: is a list with a member that is NaN"),
    "label half a surrogate pair": ({"answer": "\ud800"}, f"{LABEL}|line 3: holds half of a surrogate pair"),
    "label missing": ({"question": QUESTION, "answer": ...}, f"{LABEL}|(line 3: has no such key, but question)"),
    "question missing": ({"question": ...}, f"{INPUT}|(line 3: has no such key, but answer)"),
    "question null": ({"question": None}, f"{INPUT}|(line 3: is null, not text)"),
    "question NaN": ({"question": NAN}, f"{INPUT}|line 3: is NaN, not text"),
    "question empty": ({"question": ""}, f"{INPUT}|line 3: is an empty text"),
    "question blank": ({"question": " \n\u2003"}, f"{INPUT}|line 3: is an empty text"),
    "question a number": ({"question": 7}, f"{INPUT}|line 3: is the number 7, not text"),
    "question a truth value": ({"question": True}, f"{INPUT}|line 3: is true, not text"),
    "question a dict": ({"question": {"text": QUESTION}}, f"{INPUT}|line 3: is a dict, not text"),
    "question an empty list": ({"question": []}, f"{INPUT}|line 3: is an empty list, not text"),
    "question a chat": (
        {"question": [USER]},
        "line 3: is a list, not text; for chat messages give --data.apply_chat_te",
    ),
    "question half a surrogate pair": ({"question": "a\udc00b"}, f"{INPUT}|line 3: holds half of a surrogate pair"),
    "question an image": ({"question": [{"type": "image"}]}, "line 3: has a part of the type image: prompts here are"),
}
BAD_CHATS: dict[str, tuple[Any, str]] = {
    "null": (None, "line 3: is null"),
    "an empty list": ([], "line 3: is an empty list"),
    "a number": (1.5, "line 3: is the number 1.5"),
    "a single dict": (USER, "line 3: is a single dict, where a chat is a list of messages"),
    "a list of texts": ([QUESTION], "line 3: is a list whose item 1 is a text, not a message"),
    "a list of lists": ([[USER]], "line 3: is a list whose item 1 is a list"),
    "other names": (
        [{"from": "human", "value": QUESTION}],
        "line 3: has a message, 1, without role and content, but from",
    ),
    "no content": ([{"role": "user"}], "line 3: has a message, 1, without content"),
    "no role": ([SYSTEM, {"content": QUESTION}], "line 3: has a message, 2, without role"),
    "role null": ([{"role": None, "content": QUESTION}], "line 3: has a message, 1, whose role is null"),
    "content null": ([{"role": "user", "content": None}], "line 3: has a message, 1, whose content is null"),
    "content blank": ([{"role": "user", "content": " "}], "line 3: is a chat whose last message, 1, is empty"),
    "an image": ([USER | {"content": [{"type": "image_url"}]}], "whose content has a part of the type image_url"),
    "a part without text": (
        [USER | {"content": [{"type": "text"}]}],
        "line 3: has a message, 1, whose content is null",
    ),
    "the answer last": ([USER, {"role": "assistant", "content": "2"}], "line 3: ends with a message of the assistant"),
    "nobody asks": ([SYSTEM], "line 3: ends with a message of the system"),
    "JSON as text": (json.dumps([USER]), "line 3: is a chat written as text"),
    "Python as text": (str([USER]), "line 3: is a chat written as text"),
    "empty text": ("", "line 3: is an empty text"),
}
GOOD_CHATS: dict[str, Any] = {
    "a text": QUESTION,
    "a message": [USER],
    "a system message": [SYSTEM, USER],
    "an empty system message": [SYSTEM | {"content": ""}, USER],
    "turns": [USER, {"role": "assistant", "content": "2"}, {"role": "user", "content": "And 2 + 2?"}],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": " 1 + 1?"}]}],
    "parts alone": [{"type": "text", "text": QUESTION}],
    "fields without a value": [USER | {"name": None, "tool_calls": None}],
    "a text with brackets": "[{x}] is a list of what?",
}
GOOD_LABELS = [
    "18",
    " 18 \n",
    18,
    0,
    -0.5,
    1e16,
    10**30,
    True,
    False,
    ["1", 2],
    {"a": None},
    "",
    "NaN",
    "\u2028",
    "025",
]
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


@pytest.fixture(scope="module")
def tokenizer(tiny_llama: str) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tiny_llama)


@pytest.fixture(scope="module")
def given(tiny_llama: str, tmp_path_factory: pytest.TempPathFactory) -> GivenConfig:
    return parse_args(job_options(tiny_llama, "rows", "reward.py", tmp_path_factory.mktemp("rows"), data__max_len=512))


@pytest.fixture
def configure(given: GivenConfig) -> Configure:
    """The options of a job on the rows of a path, with changes by dotted names."""
    return lambda path, **changes: gpu_config(
        given.replaced({"data.prompt_dataset": str(path)} | {k.replace("__", "."): v for k, v in changes.items()})
    )


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def third_changed(change: dict[str, Any]) -> list[dict[str, Any]]:
    row = {name: value for name, value in (GOOD[2] | change).items() if value is not ...}
    return [*GOOD[:2], row, *GOOD[3:]]


def loaded(config: Config, tokenizer: PreTrainedTokenizerBase) -> list[tuple[str, Any, int]]:
    return [(p.text, p.label, len(p.token_ids)) for p in load_prompts(config, tokenizer).prompts]


def refusal(config: Config, tokenizer: PreTrainedTokenizerBase) -> str:
    with pytest.raises(ConfigError) as caught:
        load_prompts(config, tokenizer)
    return str(caught.value)


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_row_that_is_no_prompt_is_named(case: str, configure: Configure, tokenizer: Any, tmp_path: Path) -> None:
    change, told = BAD_ROWS[case]
    path = write_lines(tmp_path / "rows.jsonl", third_changed(change))
    message = refusal(configure(path), tokenizer)
    assert message.startswith("--data.") and all(part in message for part in (*told.split("|"), str(path)))


@pytest.mark.parametrize("case", BAD_CHATS)
def test_a_chat_that_is_none_is_named(case: str, configure: Configure, tokenizer: Any, tmp_path: Path) -> None:
    chat, told = BAD_CHATS[case]
    path = write_lines(tmp_path / "rows.jsonl", third_changed({"question": chat}))
    message = refusal(configure(path, data__apply_chat_template=True), tokenizer)
    assert message.startswith("--data.input_key question: 1 of the 6 rows") and told in message


@pytest.mark.parametrize("case", GOOD_CHATS)
def test_a_chat_is_read_as_the_plain_reader_does(
    case: str, configure: Configure, tokenizer: Any, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "rows.jsonl", third_changed({"question": GOOD_CHATS[case]}))
    config = configure(path, data__apply_chat_template=True)
    assert loaded(config, tokenizer) == expected_prompts(path, tokenizer, chat=True)


def test_labels_stay_as_the_data_has_them(configure: Configure, tokenizer: Any, tmp_path: Path) -> None:
    rows = [{"question": f"{i} + 1?", "answer": label} for i, label in enumerate(GOOD_LABELS)]
    path = write_lines(tmp_path / "rows.jsonl", rows)
    found = loaded(configure(path), tokenizer)
    assert found == expected_prompts(path, tokenizer)
    assert [type(label) for _, label, _ in found] == list(map(type, GOOD_LABELS))


def test_the_verifier_is_given_no_label_that_it_cannot_read(
    configure: Configure, tokenizer: Any, tmp_path: Path
) -> None:
    labels = ["1", "", {"value": 1}, [["1"]], " ", None, NAN]
    rows = [{"question": f"{i} + 1?", "answer": label} for i, label in enumerate(labels)]
    message = refusal(configure(write_lines(tmp_path / "a.jsonl", rows), reward__remote_url="math"), tokenizer)
    assert (
        message.startswith("--data.label_key answer: 6 of the 7 rows") and "line 2, line 5: is an empty text" in message
    )
    assert "line 3: is a dict, which the math verifier cannot read" in message


def test_all_bad_rows_are_counted_and_the_first_few_shown(configure: Configure, tokenizer: Any, tmp_path: Path) -> None:
    rows = [GOOD[0], *[{"question": " ", "answer": "1"}] * 20, *[{"question": QUESTION, "answer": None}] * 2]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)).replace("}\n", "}\n\n", 1))  # an empty line counts
    assert refusal(configure(path), tokenizer) == (
        f"--data.input_key question: 20 of the 23 rows of --data.prompt_dataset {path} cannot be used (line 3, line 4, "
        "line 5, line 6, line 7 and 15 more: is an empty text); correct or remove them\n"
        f"--data.label_key answer: 2 of the 23 rows of --data.prompt_dataset {path} cannot be used (line 23, line 24: "
        "is null, which is no reference answer); correct or remove them"
    )


@pytest.mark.parametrize("case", BROKEN_FILES)
def test_a_broken_file_is_named(case: str, configure: Configure, tokenizer: Any, tmp_path: Path) -> None:
    content, name, told = BROKEN_FILES[case]
    (tmp_path / name).write_bytes(content)
    message = refusal(configure(tmp_path / name), tokenizer)
    assert message.startswith(f"--data.prompt_dataset {tmp_path / name}: ") and told in message
    with pytest.raises(ConfigError) as caught:
        load_benchmark(str(tmp_path / name))
    assert str(caught.value).startswith("--benchmarks") and str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("case", NAMES)
def test_a_name_that_names_nothing(case: str, configure: Configure, tokenizer: Any, tmp_path: Path) -> None:
    name, told = NAMES[case]
    (tmp_path / "void").mkdir()
    (tmp_path / "rows.py").write_text("raise SystemExit(3)")
    write_lines(tmp_path / "rows.jsonl", GOOD)
    message = refusal(configure(tmp_path / "x").replaced({"data.prompt_dataset": f"{tmp_path}/{name}"}), tokenizer)
    assert message.startswith("--data.prompt_dataset ") and told.format(folder=tmp_path) in message


def test_splits_that_are_not_there(configure: Configure, tokenizer: Any, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", GOOD)
    assert refusal(configure(path, data__prompt_split="test"), tokenizer).startswith("--data.prompt_split test: ")
    told = refusal(configure(tmp_path, data__prompt_split="test"), tokenizer)
    assert told == f"--data.prompt_split test: {tmp_path} has no such split, but train"
    config = configure(path, eval__dataset=str(path), eval__split="test")
    with pytest.raises(ConfigError, match="--eval.split test: "):
        load_prompts(config, tokenizer, evaluation=True)


# Every kind of file, each with the same rows.
def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["question", "answer"], lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_table(rows: list[dict[str, Any]], name: str) -> bytes:
    table, file = pa.Table.from_pylist(rows), io.BytesIO()
    if name == "parquet":
        parquet.write_table(table, file)
    else:
        make = pa.ipc.new_stream if name == "stream" else pa.ipc.new_file
        with make(file, table.schema) as writer:
            writer.write_table(table)
    return file.getvalue()


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
def test_every_format_gives_the_same_rows(case: str, configure: Configure, tokenizer: Any, tmp_path: Path) -> None:
    name, content = FORMATS[case]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    expected = expected_prompts(write_lines(tmp_path / "plain" / "rows.jsonl", GOOD), tokenizer)
    times = 2 if case == "two marks" else 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = configure(path, eval__dataset=str(path))
        assert loaded(config, tokenizer) == times * expected
        evaluated = load_prompts(config, tokenizer, evaluation=True)
        problems = load_benchmark(str(path))
    assert [(p.text, p.label, len(p.token_ids)) for p in evaluated.prompts] == times * expected
    assert [(p.question, p.gold) for p in problems] == times * [(row["question"], row["answer"]) for row in GOOD]


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet", "stream"])
@pytest.mark.parametrize("value", [None, NAN], ids=str)
def test_null_and_nan_are_refused_alike(
    kind: str, value: float | None, configure: Configure, tokenizer: Any, tmp_path: Path
) -> None:
    rows = [{"question": row["question"], "answer": float(row["answer"])} for row in GOOD]
    rows[3]["answer"] = value
    path = tmp_path / f"a.{'arrow' if kind == 'stream' else kind}"
    writers = {"jsonl": lambda: "".join(json.dumps(row) + "\n" for row in rows), "json": lambda: json.dumps(rows)}
    content = writers[kind]().encode() if kind in writers else as_csv(rows) if kind == "csv" else as_table(rows, kind)
    path.write_bytes(content)
    place = {"jsonl": "line 4", "csv": "line 5"}.get(kind, "row 4")
    message = refusal(configure(path), tokenizer)
    assert message.startswith("--data.label_key answer: 1 of the 6 rows") and f"({place}: is " in message
    with pytest.raises(ConfigError, match=rf"--answer_key answer: 1 of the 6 .*\({place}: is"):
        load_benchmark(str(path))


def test_nested_keys(configure: Configure, tokenizer: Any, tmp_path: Path) -> None:
    answers = {"reward_model": {"ground_truth": "2", "a.b": [{"c": 3}]}, "reward_model.style": "rule"}
    rows = [row | {"deep": [{"chat": [USER]}]} | answers for row in GOOD[:1]]
    keys = {
        "reward_model.ground_truth": "2",
        "reward_model.a.b.0.c": 3,
        "reward_model.style": "rule",
        "deep.0.chat": [USER],
    }
    for name, write in (
        ("a.jsonl", write_lines),
        ("a.parquet", lambda path, r: path.write_bytes(as_table(r, "parquet"))),
    ):
        write(tmp_path / name, rows)
        for key, value in keys.items():
            config = configure(tmp_path / name, data__label_key=key, data__input_key="deep.0.chat.0.content")
            assert [prompt.label for prompt in load_prompts(config, tokenizer).prompts] == [value], key
            assert [prompt.text for prompt in load_prompts(config, tokenizer).prompts] == [QUESTION]
    for key in ("reward_model.gold", "deep.1", "deep.chat", "question.0", "reward_model.", ".", "deep.-1"):
        message = refusal(configure(tmp_path / "a.jsonl", data__label_key=key), tokenizer)
        assert message.startswith(f"--data.label_key {key}: 1 of the 1 rows") and "line 1: has no such key" in message


def test_columns_of_tables_that_are_no_text(configure: Configure, tokenizer: Any, tmp_path: Path) -> None:
    from datetime import date
    from decimal import Decimal

    rows = [{"question": "1?", "answer": Decimal("1.50"), "day": date(2026, 1, 1), "bytes": b"1"}]
    (tmp_path / "a.parquet").write_bytes(as_table(rows, "parquet"))
    assert loaded(configure(tmp_path / "a.parquet"), tokenizer)[0][1] == "1.50"
    for key, kind in (("day", "date"), ("bytes", "bytes")):
        message = refusal(configure(tmp_path / "a.parquet", data__label_key=key), tokenizer)
        assert f"row 1: is a {kind}, which is no reference answer" in message


def test_names_with_commas_and_ats(configure: Configure, tokenizer: Any, tmp_path: Path) -> None:
    odd, other = write_lines(tmp_path / "a@1,b.jsonl", GOOD[:2]), write_lines(tmp_path / "b.jsonl", GOOD[2:4])
    write_lines(tmp_path / "x@y" / "part" / "c.jsonl", GOOD[4:])
    texts = [row["question"] for row in GOOD]
    for names in (f"{odd},{other}", f" {odd} , {other} "):
        assert [text for text, _, _ in loaded(configure(names), tokenizer)] == texts[:4]
    everything = configure(f"{odd},{other},{tmp_path}/x@y@part")
    assert [text for text, _, _ in loaded(everything, tokenizer)] == texts
    assert [text for text, _, _ in loaded(configure(f"{tmp_path}/*.jsonl"), tokenizer)] == texts[:4]
    write_lines(other, [GOOD[0], {"question": "", "answer": "1"}])
    assert "(b.jsonl, line 2: is an empty text)" in refusal(configure(f"{odd},{other}"), tokenizer)


def test_folders(configure: Configure, tokenizer: Any, tmp_path: Path) -> None:
    files = tmp_path / "of files, ä@1"
    write_lines(files / "train-0.jsonl", GOOD[:2] + [{"question": QUESTION, "answer": 7}])  # a label of another type
    write_lines(files / "train-1.jsonl", [GOOD[2] | {"extra": 1}])
    write_lines(files / "test.jsonl", GOOD[3:])
    saved = tmp_path / "saved"
    splits = {"train": datasets.Dataset.from_list(GOOD[:3]), "test": datasets.Dataset.from_list(GOOD[3:])}
    datasets.DatasetDict(splits).save_to_disk(saved)
    assert [p[1] for p in loaded(configure(files), tokenizer)] == [
        GOOD[0]["answer"],
        GOOD[1]["answer"],
        7,
        GOOD[2]["answer"],
    ]
    for folder in (files, saved):
        test = loaded(configure(folder, data__prompt_split="test"), tokenizer)
        assert [text for text, _, _ in test] == [row["question"] for row in GOOD[3:]]
    write_lines(files / "train-1.jsonl", [GOOD[0], {"answer": "1"}])
    assert "(train-1.jsonl, line 2: has no such key, but answer)" in refusal(configure(files), tokenizer)


def test_datasets_are_blended_as_openrlhf_does(configure: Configure, tokenizer: Any, tmp_path: Path) -> None:
    from types import SimpleNamespace

    from openrlhf.datasets.utils import blending_datasets

    rows = [{"question": f"{i} + 1?", "answer": str(i)} for i in range(30)]
    names = ",".join(str(write_lines(tmp_path / f"{i}.jsonl", rows[10 * i : 10 * i + 10])) for i in range(3))
    quiet = SimpleNamespace(print=lambda *_: None, is_rank_0=lambda: False)
    theirs = blending_datasets(names, "0.5,0.2,0.3", quiet, 42, max_count=8)
    source = Source("--x", "--y", names, "train", "0.5,0.2,0.3", seed=42, max_rows=8)
    assert load_source(source).rows == list(theirs)[:8]
    for wrong in ("0.5,0.5", "a,b,c", "0.5,0.2,0.2", "1,0,0", "nan,0.5,0.5", ""):
        message = refusal(configure(names, data__prompt_probs=wrong), tokenizer)
        assert message.startswith(f"--data.prompt_probs {wrong}: ")


def test_copies_are_told_and_kept(configure: Configure, tokenizer: Any, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [*GOOD, GOOD[1], GOOD[0] | {"answer": "another"}])
    with pytest.warns(UserWarning) as told:
        assert len(load_prompts(configure(path), tokenizer)) == 8
    assert str(told[0].message) == (
        f"--data.prompt_dataset {path}: 2 of its 8 rows repeat the prompt of an earlier one (line 7 that of line 2, "
        "line 8 that of line 1); all are kept, 1 of them with another label"
    )
    with pytest.warns(UserWarning, match="--benchmarks .* 2 of its 8 rows repeat the question of an earlier one"):
        assert len(load_benchmark(str(path))) == 8


def test_what_is_wrong_with_a_benchmark_of_the_users_own(tmp_path: Path) -> None:
    rows = [
        {"q": [SYSTEM, USER], "a": 1e16, "s": None},
        {"q": [{"type": "text", "text": QUESTION}], "a": ["1", 2], "s": 3},
    ]
    path = str(write_lines(tmp_path / "a,b@c.jsonl", rows))
    keys = Keys("q", "a", subject="s")
    assert [(p.question, p.gold, p.subject) for p in load_benchmark(path, keys=keys)] == [
        (QUESTION, "1e+16", None),
        (QUESTION, ["1", "2"], "3"),
    ]
    with pytest.raises(ConfigError, match=r"--level_key l: 2 of the 2 rows .*\(line 1, line 2: has no such key"):
        load_benchmark(path, keys=keys._replace(level="l"))


def test_row_numbers_reach_ppl_tokens(configure: Configure, tokenizer: Any, tmp_path: Path, monkeypatch: Any) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"question": [USER, USER | {"content": "  2?  "}], "answer": "1"}])
    config = configure(path, data__apply_chat_template=True, prepo__ppl_tokens="question")
    start, stop = load_prompts(config, tokenizer).prompts[0].scored
    assert (
        tokenizer.decode(tokenizer(load_prompts(config, tokenizer).prompts[0].text)["input_ids"][start:stop]).strip()
        == "2?"
    )
    monkeypatch.setattr(type(tokenizer), "is_fast", False)
    assert refusal(config, tokenizer).startswith("--prepo.ppl_tokens question: needs a fast tokenizer")


# What a field may become, and where: drop, retype, null, NaN, swap, nest.
VALUES: list[Any] = [
    ..., None, NAN, float("-inf"), "", " ", "x", 0, 7, -1.5, 10**25, True, [], {}, [None], ["a", "b"], [[]],
    {"a": {"b": NAN}}, "\ud800", "\x00", "ü\u2028", USER, [USER], [SYSTEM, USER], [SYSTEM], [USER, None],
    {"role": "user"}, [{"role": "user"}], [USER | {"role": 5}], [USER | {"content": []}], [USER | {"content": {}}],
    [USER | {"content": [{"type": "text", "text": "a"}]}], [{"type": "text", "text": "b"}], [{"type": []}],
    [{"type": "text", "text": None}], [{"type": "image"}],
]  # fmt: skip
FIELDS = ("question", "answer", "datasource")


def mutated(rng: random.Random) -> list[Any]:
    rows: list[Any] = [dict(row) for row in GOOD]
    for _ in range(rng.randint(1, 3)):
        number, field = rng.randrange(len(rows)), rng.choice(FIELDS)
        row = rows[number]
        if not isinstance(row, dict):
            continue
        kind = rng.choice(("value", "value", "value", "nest", "list", "swap", "row"))
        if kind == "value":
            row[field] = rng.choice(VALUES)
        elif kind == "nest" and field in row:
            row[field] = {field: row[field]}
        elif kind == "list" and field in row:
            row[field] = [row[field]]
        elif kind == "swap":
            row["question"], row["answer"] = row.get("answer", ...), row.get("question", ...)
        elif kind == "row":
            rows[number] = rng.choice([row, [], None, {}, [row], "text", 5, row | {"more": row}])
        if isinstance(rows[number], dict):
            rows[number] = {name: value for name, value in rows[number].items() if value is not ...}
    return rows


@pytest.mark.parametrize("chat", [False, True], ids=["text", "chat"])
def test_rows_at_random_are_refused_or_read_as_the_plain_reader_does(
    chat: bool, configure: Configure, tokenizer: Any, tmp_path: Path
) -> None:
    rng, counts = random.Random(5), {"refused": 0, "read": 0}
    for number in range(120):
        path = write_lines(tmp_path / f"{number}.jsonl", mutated(rng))
        if rng.random() < 0.1:  # a byte lost, or one too many
            data, at = path.read_bytes(), rng.randrange(200)
            path.write_bytes(data[:at] + rng.choice([b"", b"\xff", b"\n", b'"']) + data[at + 1 :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = configure(path, data__apply_chat_template=chat)
            try:
                found = loaded(config, tokenizer)
            except ConfigError as error:
                counts["refused"] += 1
                assert str(error).startswith("--data.") and ("line " in str(error) or "rows" in str(error)), str(error)
            else:
                counts["read"] += 1
                assert found == expected_prompts(path, tokenizer, chat=chat), path.read_text()
    assert min(counts.values()) > 20, counts


def test_whole_command_lines_refuse_and_take(good_job: Callable[..., list[str]], tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    rows = data.read_text(encoding="utf-8").splitlines()
    data.write_text("\ufeff" + "\r\n".join(rows), encoding="utf-8", newline="")
    taken = attempt(good_job(eval__dataset=data, eval__steps=1))
    assert taken.prepared is not None and taken.prepared.evaluation is not None
    for prompts in (taken.prepared.train.prompts, taken.prepared.evaluation.prompts):
        found = [(p.text, p.label, len(p.token_ids)) for p in prompts]
        assert found == expected_prompts(data, taken.prepared.tokenizer)
    copy = write_lines(tmp_path / "copy.jsonl", [*map(json.loads, rows), {"question": "1?", "answer": NAN}])
    refused = attempt(good_job(eval__dataset=copy, eval__steps=1))
    assert refused.refused and f"1 of the 61 rows of --eval.dataset {copy} cannot be used (line 61: is NaN)" in (
        refused.message
    )
