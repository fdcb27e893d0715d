"""The benchmark command's mistakes, found before anything heavy starts; and problems made ready for a model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_models import make_tiny_model

from prepo_rlhf.config import ConfigError
from prepo_rlhf.evaluation.benchmarks import Problem
from prepo_rlhf.evaluation.options import BenchmarkOptions, check
from prepo_rlhf.evaluation.runner import run
from prepo_rlhf.evaluation.sample_log import SampleLog, read_samples
from prepo_rlhf.evaluation.tasks import make_tasks
from prepo_rlhf.files.model_files import ModelFiles
from prepo_rlhf.prompts.render import benchmark_style


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_tiny_model(tmp_path_factory.mktemp("model"), ["How many apples are there in the basket?"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": None}, "--model is missing"),
        ({"n": 0}, "--n 0: must be at least 1"),
        ({"limit": 0}, "--limit 0: must be at least 1"),
        ({"temperature": -1.0}, "--temperature -1.0"),
        ({"temperature": 0.0}, "--temperature 0 gives the same response 16 times"),
        ({"top_p": 1.5}, "--top_p 1.5"),
        ({"truncate_prompts": 1.0}, "--truncate_prompts 1.0"),
    ],
)
def test_options_that_cannot_work(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        check(replace(BenchmarkOptions(model="some/model"), **changes))
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": "maths"}, "--reward maths: give math"),
        ({"benchmarks": "{file},{file}"}, "two of them are called problems"),
        ({"model": "/nowhere/model"}, "--model /nowhere/model"),
        ({"prompt": "file"}, "--prompt_file"),
    ],
)
def test_files_that_cannot_work(changes: dict[str, str], message: str, model: str, tmp_path: Path) -> None:
    file = tmp_path / "problems.jsonl"
    file.write_text(json.dumps({"question": "1 + 1?", "answer": "2"}) + "\n")
    changes = {name: value.replace("{file}", str(file)) for name, value in changes.items()}
    options = BenchmarkOptions(model=model, benchmarks=str(file), output_dir=str(tmp_path / "out"))
    with pytest.raises(ConfigError) as refusal:
        run(replace(options, **changes))
    assert message in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_a_response_gets_what_the_context_leaves(model: str) -> None:
    tokenizer = ModelFiles(model, trusted=False).tokenizer()
    options, style = BenchmarkOptions(model=model, max_new_tokens=1000), benchmark_style("plain")
    short = Problem("0", "How many apples?", "1", None, None)
    long = replace(short, id="1", question="How many apples? " * 200)
    tasks = make_tasks({"set": [short, long]}, tokenizer, style, options, 2048)
    assert [task.key for task in tasks] == [("set", "0"), ("set", "1")]
    assert tasks[0].max_new_tokens == 1000
    assert tasks[1].max_new_tokens == 2048 - len(tasks[1].token_ids) < 1000
    assert tokenizer.decode(tasks[0].token_ids) == tasks[0].prompt
    with pytest.raises(ConfigError, match="problem 2 has"):
        make_tasks({"set": [replace(short, id="2", question=long.question * 3)]}, tokenizer, style, options, 2048)
    (cut,) = make_tasks({"set": [long]}, tokenizer, style, replace(options, truncate_prompts=0.4), 2048)
    assert cut.prompt.count("How") == 120


def row(problem: str, sample: int) -> dict[str, object]:
    return {"benchmark": "set", "problem": problem, "sample": sample, "score": 1.0}


def test_samples_are_taken_up_where_they_were_left(tmp_path: Path) -> None:
    log = SampleLog(tmp_path, {"seed": 0}, n=2)
    log.append(("set", "a"), [row("a", 0), row("a", 1)])
    log.append(("set", "b"), [row("b", 0), row("b", 1)])
    log.close()
    path = tmp_path / "samples.jsonl"
    path.write_text(path.read_text()[:-10])  # the last row was being written
    again = SampleLog(tmp_path, {"seed": 0}, n=2)
    assert list(again.done) == [("set", "a")]
    again.append(("set", "b"), [row("b", 0), row("b", 1)])
    again.close()
    assert read_samples(tmp_path) == {("set", name): [row(name, 0), row(name, 1)] for name in ("a", "b")}
    with pytest.raises(ConfigError, match="--seed was 0 and is now 1"):
        SampleLog(tmp_path, {"seed": 1}, n=2)
    assert len(read_samples(tmp_path)) == 2
