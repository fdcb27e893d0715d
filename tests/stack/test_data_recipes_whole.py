"""`prepo data` on the real files, whole: against a count that was made in another way, and into the training loader."""

from __future__ import annotations

import json
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from tiny_tasks import gpu_job
from transformers import AutoTokenizer

from prepo_rlhf.cli.data import main
from prepo_rlhf.config.prompt_templates import TEMPLATES
from prepo_rlhf.evaluation.benchmarks import BENCHMARKS, load_benchmark
from prepo_rlhf.prompts.load import load_prompts

BEFORE = "Please solve the following math problem: "
AFTER = (
    ". The assistant first thinks about the reasoning process step by step and then provides the user with the answer. "
    "Return the final answer in \\boxed{} tags, for example \\boxed{1}. Let's solve this step by step. "
)
HELD_OUT = 300


@pytest.fixture(scope="module")
def made(benchmarks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dapo")
    source = str(benchmarks / "dapo_math_17k.parquet")
    command = ["dapo-math-17k", "--from", source, "--output_dir", str(out), "--held_out", str(HELD_OUT)]
    assert main(command) == 0
    return out


@pytest.fixture(scope="module")
def pairs(benchmarks: Path) -> list[tuple[str, int]]:
    """Question and answer of every row; all answers are integers, so that equal means the same number."""
    columns = parquet.read_table(benchmarks / "dapo_math_17k.parquet").to_pydict()
    texts = [chat[-1]["content"] for chat in columns["prompt"]]
    assert all(text.startswith(BEFORE) and text.endswith(AFTER) for text in texts)
    questions = [text[len(BEFORE) : len(text) - len(AFTER)].strip() for text in texts]
    return [(text, int(gold["ground_truth"])) for text, gold in zip(questions, columns["reward_model"], strict=True)]


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.open(encoding="utf-8")]


def slow_key(question: str) -> str:
    """What counts of a problem's text, character by character."""
    text = unicodedata.normalize("NFKC", question).casefold()
    for command in ("\\left", "\\right", "\\displaystyle", "\\qquad", "\\quad"):
        before, *after = text.split(command)
        text = before + "".join((command if part[:1].isascii() and part[:1].isalpha() else "") + part for part in after)
    for command in ("\\(", "\\)", "\\[", "\\]", "\\,", "\\;", "\\:", "\\!", "\\ "):
        text = text.replace(command, "")
    text = "".join(one for one in text if not one.isspace() and one not in "$\\_~#&;:?…。、；：？'\"`´‘’“”")
    inside = (
        one
        for before, one, after in zip(" " + text, text, text[1:] + " ", strict=False)
        if one not in ".," or before.isdecimal() and after.isdecimal()
    )
    text = "".join(inside)
    for at in reversed(range(len(text) - 2)):
        if text[at] == "{" and text[at + 2] == "}" and text[at + 1].isalnum():
            text = text[:at] + text[at + 1] + text[at + 3 :]
    return text


def counted(pairs: list[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """The rows under each reason; and the problems that are left, as `left`."""
    answers: dict[str, set[int]] = {}
    for question, answer in pairs:
        answers.setdefault(slow_key(question), set()).add(answer)
    seen_texts, seen_keys = set(), set()
    for question, answer in pairs:
        key = slow_key(question)
        if len(answers[key]) > 1:
            yield "answers that contradict each other: all copies", answer
        elif question in seen_texts:
            yield "the same text as an earlier row", answer
        elif key in seen_keys:
            yield "the same problem in other typesetting", answer
        else:
            yield question, answer
        seen_texts.add(question)
        seen_keys.add(key)


def test_dapo_whole(made: Path, pairs: list[tuple[str, int]]) -> None:
    report = json.loads((made / "dapo-math-17k_report.json").read_text())
    found = list(counted(pairs))
    labels = [label for label, _ in found]
    dropped = {reason: labels.count(reason) for reason in report["dropped"]}
    assert report["dropped"] == dropped and all(list(dropped.values())[1:4])
    assert report["rows_read"] == len(pairs) == report["instruction_removed"]
    left = [(question, str(answer)) for question, answer in found if question not in dropped]
    train, held_out = (read_lines(made / f"dapo-math-17k_{part}.jsonl") for part in ("train", "held_out"))
    assert len(held_out) == HELD_OUT and {row["datasource"] for row in train + held_out} == {"dapo_math"}
    chosen = [(row["prompt"], row["answer"]) for row in held_out]
    assert [(row["prompt"], row["answer"]) for row in train] == [one for one in left if one not in set(chosen)]
    assert set(chosen) <= set(left)
    assert not {slow_key(row["prompt"]) for row in held_out} & {slow_key(row["prompt"]) for row in train}


def test_the_training_loader_takes_it(made: Path, tiny_llama: str) -> None:
    """Every row, none of them a copy of another, in the model's own template."""
    config = gpu_job(
        f"--actor.model_name_or_path {tiny_llama} --data.prompt_dataset {made}/dapo-math-17k_train.jsonl "
        f"--eval.dataset {made}/dapo-math-17k_held_out.jsonl --data.input_key prompt --data.label_key answer "
        "--data.input_template qwen-math --reward.remote_url math --data.max_len 100000".split()
    )
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*repeat the")
        loaded = [load_prompts(config, tokenizer, evaluation=evaluation) for evaluation in (False, True)]
    for prompts, part in zip(loaded, ("train", "held_out"), strict=True):
        rows = read_lines(made / f"dapo-math-17k_{part}.jsonl")
        assert prompts.num_left_out == 0 and len(prompts) == len(rows)
        template = TEMPLATES["qwen-math"]
        assert [prompt.text for prompt in prompts.prompts] == [
            template.replace("{question}", row["prompt"]) for row in rows
        ]
        assert [prompt.label for prompt in prompts.prompts] == [row["answer"] for row in rows]


@pytest.mark.long
def test_all_benchmarks_at_once(benchmarks: Path, tmp_path: Path) -> None:
    assert main(["benchmarks", "--from", str(benchmarks), "--output_dir", str(tmp_path)]) == 0
    for name in BENCHMARKS:
        assert load_benchmark(name, str(tmp_path)) == load_benchmark(name, str(benchmarks))


@pytest.mark.long
def test_gsm8k(benchmarks: Path, tmp_path: Path) -> None:
    assert main(["gsm8k", "--from", str(benchmarks), "--output_dir", str(tmp_path)]) == 0
    rows = read_lines(tmp_path / "gsm8k_train.jsonl") + read_lines(tmp_path / "gsm8k_held_out.jsonl")
    sources = {row["question"].strip(): row["answer"] for row in read_lines(benchmarks / "gsm8k_train.jsonl")}
    report = json.loads((tmp_path / "gsm8k_report.json").read_text())
    assert len(rows) == report["problems"] == 7473 - sum(report["dropped"].values())
    assert all(sources[row["prompt"]].rsplit("#### ", 1)[1] == row["answer"] for row in rows)
