"""Rows that users bring: refused by option, row and reason, or prepared as a second, plain reader prepares them."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attempts import attempt
from plain_reader import expected_prompts
from row_files import GOOD, NAN, QUESTION, RowJob, as_table, loaded, refusal, write_lines

from prepo_rlhf.config import ConfigError
from prepo_rlhf.evaluation.benchmarks import Keys, load_benchmark
from prepo_rlhf.prompts.load import load_prompts

USER = {"role": "user", "content": QUESTION}
SYSTEM = {"role": "system", "content": "Be brief."}
LABEL = "--data.label_key answer: 1 of the 6 rows of --data.prompt_dataset"
INPUT = "--data.input_key question: 1 of the 6 rows of --data.prompt_dataset"
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


def third_changed(change: dict[str, Any]) -> list[dict[str, Any]]:
    row = {name: value for name, value in (GOOD[2] | change).items() if value is not ...}
    return [*GOOD[:2], row, *GOOD[3:]]


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_row_that_is_no_prompt_is_named(case: str, row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
    change, told = BAD_ROWS[case]
    path = write_lines(tmp_path / "rows.jsonl", third_changed(change))
    message = refusal(row_job(path), tokenizer)
    assert message.startswith("--data.") and all(part in message for part in (*told.split("|"), str(path)))


@pytest.mark.parametrize("case", BAD_CHATS)
def test_a_chat_that_is_none_is_named(case: str, row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
    chat, told = BAD_CHATS[case]
    path = write_lines(tmp_path / "rows.jsonl", third_changed({"question": chat}))
    message = refusal(row_job(path, data__apply_chat_template=True), tokenizer)
    assert message.startswith("--data.input_key question: 1 of the 6 rows") and told in message


@pytest.mark.parametrize("case", GOOD_CHATS)
def test_a_chat_is_read_as_the_plain_reader_does(case: str, row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", third_changed({"question": GOOD_CHATS[case]}))
    config = row_job(path, data__apply_chat_template=True)
    assert loaded(config, tokenizer) == expected_prompts(path, tokenizer, chat=True)


def test_labels_stay_as_the_data_has_them(row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
    rows = [{"question": f"{i} + 1?", "answer": label} for i, label in enumerate(GOOD_LABELS)]
    path = write_lines(tmp_path / "rows.jsonl", rows)
    found = loaded(row_job(path), tokenizer)
    assert found == expected_prompts(path, tokenizer)
    assert [type(label) for _, label, _ in found] == list(map(type, GOOD_LABELS))


def test_the_verifier_is_given_no_label_that_it_cannot_read(row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
    labels = ["1", "", {"value": 1}, [["1"]], " ", None, NAN]
    rows = [{"question": f"{i} + 1?", "answer": label} for i, label in enumerate(labels)]
    message = refusal(row_job(write_lines(tmp_path / "a.jsonl", rows), reward__remote_url="math"), tokenizer)
    assert (
        message.startswith("--data.label_key answer: 6 of the 7 rows") and "line 2, line 5: is an empty text" in message
    )
    assert "line 3: is a dict, which the math verifier cannot read" in message


def test_all_bad_rows_are_counted_and_the_first_few_shown(row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
    rows = [GOOD[0], *[{"question": " ", "answer": "1"}] * 20, *[{"question": QUESTION, "answer": None}] * 2]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)).replace("}\n", "}\n\n", 1))  # an empty line counts
    assert refusal(row_job(path), tokenizer) == (
        f"--data.input_key question: 20 of the 23 rows of --data.prompt_dataset {path} cannot be used (line 3, line 4, "
        "line 5, line 6, line 7 and 15 more: is an empty text); correct or remove them\n"
        f"--data.label_key answer: 2 of the 23 rows of --data.prompt_dataset {path} cannot be used (line 23, line 24: "
        "is null, which is no reference answer); correct or remove them"
    )


def test_nested_keys(row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
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
            config = row_job(tmp_path / name, data__label_key=key, data__input_key="deep.0.chat.0.content")
            assert [prompt.label for prompt in load_prompts(config, tokenizer).prompts] == [value], key
            assert [prompt.text for prompt in load_prompts(config, tokenizer).prompts] == [QUESTION]
    for key in ("reward_model.gold", "deep.1", "deep.chat", "question.0", "reward_model.", ".", "deep.-1"):
        message = refusal(row_job(tmp_path / "a.jsonl", data__label_key=key), tokenizer)
        assert message.startswith(f"--data.label_key {key}: 1 of the 1 rows") and "line 1: has no such key" in message


def test_pass_rates_of_reference_models(row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
    """Numbers from 0 to 1, or their text, as a CSV file has them; rows without them are named."""
    good: list[Any] = [0, 0.25, "0.5", 1]
    row = {"question": QUESTION, "answer": "2", "strong": 1.0}
    keys = {"data__reference_rate_keys": ("by.weak", "strong"), "prepo__selector": "bots"}
    rows = [row | {"question": f"{rate} + 1?", "by": {"weak": rate}} for rate in good]
    config = row_job(write_lines(tmp_path / "good.jsonl", rows), **keys)
    found = [prompt.reference_rates for prompt in load_prompts(config, tokenizer).prompts]
    assert found == [(0.0, 1.0), (0.25, 1.0), (0.5, 1.0), (1.0, 1.0)]
    bad = {"null": None, "true": True, "a text": "many", "NaN": NAN, "the number -0.1": -0.1}
    rows = [*(row | {"by": {"weak": value}} for value in bad.values()), row | {"by": {"weak": 1}, "strong": 1.5}]
    message = refusal(row_job(write_lines(tmp_path / "bad.jsonl", rows), **keys), tokenizer)
    assert message.startswith("--data.reference_rate_keys by.weak: 5 of the 6 rows of --data.prompt_dataset")
    assert all(f"line {line}: is {what}, not a pass rate" in message for line, what in enumerate(bad, start=1))
    assert "--data.reference_rate_keys strong: 1 of the 6 rows" in message and "line 6: is the number 1.5" in message
    message = refusal(row_job(write_lines(tmp_path / "bad.jsonl", [row]), **keys), tokenizer)
    assert "line 1: has no such key, but question, answer, strong" in message


def test_columns_of_tables_that_are_no_text(row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
    from datetime import date
    from decimal import Decimal

    rows = [{"question": "1?", "answer": Decimal("1.50"), "day": date(2026, 1, 1), "bytes": b"1"}]
    (tmp_path / "a.parquet").write_bytes(as_table(rows, "parquet"))
    assert loaded(row_job(tmp_path / "a.parquet"), tokenizer)[0][1] == "1.50"
    for key, kind in (("day", "date"), ("bytes", "bytes")):
        message = refusal(row_job(tmp_path / "a.parquet", data__label_key=key), tokenizer)
        assert f"row 1: is a {kind}, which is no reference answer" in message


def test_copies_are_told_and_kept(row_job: RowJob, tokenizer: Any, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [*GOOD, GOOD[1], GOOD[0] | {"answer": "another"}])
    with pytest.warns(UserWarning) as told:
        assert len(load_prompts(row_job(path), tokenizer)) == 8
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


def test_row_numbers_reach_ppl_tokens(row_job: RowJob, tokenizer: Any, tmp_path: Path, monkeypatch: Any) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"question": [USER, USER | {"content": "  2?  "}], "answer": "1"}])
    config = row_job(path, data__apply_chat_template=True, prepo__ppl_tokens="question")
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
    chat: bool, row_job: RowJob, tokenizer: Any, tmp_path: Path
) -> None:
    rng, counts = random.Random(5), {"refused": 0, "read": 0}
    for number in range(120):
        path = write_lines(tmp_path / f"{number}.jsonl", mutated(rng))
        if rng.random() < 0.1:  # a byte lost, or one too many
            data, at = path.read_bytes(), rng.randrange(200)
            path.write_bytes(data[:at] + rng.choice([b"", b"\xff", b"\n", b'"']) + data[at + 1 :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = row_job(path, data__apply_chat_template=chat)
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
