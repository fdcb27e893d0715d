"""Training and benchmarks give a model the very same token ids for a question, and the same ends to its response."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tyro
from chat_models import EOT, IM_END, make_chat_model
from shipped_commands import evaluation_commands, training_commands
from tiny_tasks import gpu_job, job_options
from transformers import AutoTokenizer

from prepo_rlhf.config import Config, parse_args, to_yaml
from prepo_rlhf.config.prompt_templates import INSTRUCTION, NAMES
from prepo_rlhf.config.resolve import completed
from prepo_rlhf.evaluation.options import BenchmarkOptions
from prepo_rlhf.evaluation.runner import prepare
from prepo_rlhf.files.model_files import ModelFiles
from prepo_rlhf.prompts.load import load_prompts, load_tokenizer
from prepo_rlhf.prompts.render import PromptStyle, benchmark_style, training_style
from prepo_rlhf.prompts.stops import Stops, find_stops

QUESTIONS = [
    "What is $\\frac{1}{2}$ of {} and {{8}} and {0} and {question}?",  # braces and placeholders are text
    "Wie viele Äpfel?\n\nZähle sie.\n",
    f"Is {IM_END} in a question the end of it?",
]
ENDS = {"qwen-math": IM_END, "llama3": EOT, "plain": None, "chat": IM_END}
RUNS: dict[str, dict[str, Any]] = {
    "named": {"data__input_template": "llama3", "rollout__stop": ("Question:", EOT)},
    "chat-with-instruction": {"data__input_template": "chat"},
    "chat-alone": {"data__apply_chat_template": True, "rollout__stop": "</s>"},
    "text-of-its-own": {"data__input_template": "Q: {}\nAnswer in \\boxed{{}}: "},
    "bare": {"rollout__stop": "\n\n"},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_chat_model(tmp_path_factory.mktemp("model"), QUESTIONS)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps({"question": question, "answer": "1"}) + "\n" for question in QUESTIONS))
    return path


def trained(config: Config) -> tuple[list[list[int]], Stops]:
    tokenizer = load_tokenizer(config)
    files = ModelFiles(config.actor.model_name_or_path, trusted=False)
    style, given = training_style(config.data), config.rollout.stop
    stops = find_stops(style, given, "--rollout.stop", tokenizer, files, files.check())
    return [prompt.token_ids for prompt in load_prompts(config, tokenizer).prompts], stops


def judged(**options: Any) -> tuple[list[list[int]], Stops]:
    _, tasks, stops = prepare(BenchmarkOptions(**options))
    return [task.token_ids for task in tasks], stops


@pytest.mark.parametrize("name", NAMES)
def test_a_style_is_the_same_in_training_and_in_benchmarks(name: str, model: str, data: Path, tmp_path: Path) -> None:
    config = gpu_job(job_options(model, str(data), "reward.py", tmp_path, data__input_template=name))
    token_ids, stops = trained(config)
    assert (token_ids, stops) == judged(model=model, benchmarks=str(data), prompt=name)
    again = gpu_job([*job_options(model, str(data), "reward.py", tmp_path), "--config", saved(config, tmp_path)])
    assert trained(again) == (token_ids, stops)
    tokenizer = AutoTokenizer.from_pretrained(model)
    for question, ids in zip(QUESTIONS, token_ids, strict=True):
        text = tokenizer.decode(ids, skip_special_tokens=False)
        assert text.count(INSTRUCTION) == 1 and question in text
    expected = [tokenizer.eos_token_id]
    expected += [] if ENDS[name] is None else [tokenizer.convert_tokens_to_ids(ENDS[name])]
    assert stops == Stops(tuple(expected))


def saved(config: Config, folder: Path) -> str:
    """The options as a run leaves them."""
    path = folder / "config.yaml"
    path.write_text(to_yaml(config))
    return str(path)


@pytest.mark.parametrize("name", RUNS)
def test_a_model_is_judged_as_its_run_has_trained_it(name: str, model: str, data: Path, tmp_path: Path) -> None:
    config = gpu_job(job_options(model, str(data), "reward.py", tmp_path, **RUNS[name]))
    saved(config, tmp_path)
    assert judged(model=model, benchmarks=str(data), prompt="run", prompt_run=str(tmp_path)) == trained(config)


def test_every_model_is_trained_as_it_is_judged_wherever_a_command_says_so(model: str, tmp_path: Path) -> None:
    """In recipes, scripts, the README and the documentation."""
    trained_as: dict[str, dict[str, tuple[list[str], PromptStyle, set[str]]]] = {}
    tokenizer = AutoTokenizer.from_pretrained(model)
    for where, words in training_commands().items():
        config = completed(parse_args(words))
        style = training_style(config.data)
        trained_as.setdefault(name_of(config.actor.model_name_or_path), {})[where] = (
            [style.renderer(tokenizer)(question) for question in QUESTIONS], style, set(config.rollout.stop)
        )  # fmt: skip
    compared = set()
    for where, words in evaluation_commands(tmp_path).items():
        options = tyro.cli(BenchmarkOptions, args=words, use_underscores=True)
        if name_of(options.model) not in trained_as:
            continue
        style = benchmark_style(options.prompt, options.prompt_file, options.prompt_run)
        prompts = [style.renderer(tokenizer)(question) for question in QUESTIONS]
        for place, (texts, trained_style, stop) in trained_as[name_of(options.model)].items():
            assert prompts == texts, f"{place} trains on other prompts than {where} judges by"
            assert (style.end_token, style.chat, set(options.stops)) == (
                trained_style.end_token, trained_style.chat, stop
            )  # fmt: skip
            compared.add(name_of(options.model))
    assert compared == set(trained_as) and len(compared) >= 6


def name_of(model: str | None) -> str:
    """Of a folder, its last two parts."""
    return "/".join(Path(str(model)).parts[-2:])
