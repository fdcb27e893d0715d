"""Inputs of every door given to the real commands: exit code 2, a sentence, no traceback, nothing started.

What each door answers to many more of them is in tests/hostile, within one process.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tiny_tasks import ROOT, job_options

AT_ONCE = 2
TRAIN, EVAL, PLAN = "train_prepo_ray", "eval_math", "plan"
Command = tuple[str, list[str], dict[str, str]]  # the module, its arguments, its environment


@pytest.fixture
def commands(tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path) -> dict[str, tuple[Command, str]]:
    """By what is wrong: a command, and what it must answer."""

    def written(name: str, text: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def model(name: str, file: str, content: bytes | None) -> str:
        folder = Path(shutil.copytree(tiny_llama, tmp_path / name))
        (folder / file).unlink(missing_ok=True)
        if content is not None:
            (folder / file).write_bytes(content)
        return str(folder)

    def job(name: str, **changes: object) -> list[str]:
        given = {"model": tiny_llama, "data": tiny_data, "reward": parity_reward} | changes
        options = {key: value for key, value in given.items() if key not in ("model", "data", "reward")}
        return job_options(str(given["model"]), str(given["data"]), str(given["reward"]), tmp_path / name, **options)

    def train(name: str, **changes: object) -> Command:
        return TRAIN, job(name, **changes), {}

    def judge(*options: str) -> Command:
        return (
            EVAL,
            ["--model", tiny_llama, "--benchmarks", tiny_data, "--output_dir", str(tmp_path / "out"), *options],
            {},
        )

    rows = [json.dumps({"question": f"How many are {number}?", "answer": number}) for number in range(60)]
    nan = written("nan.jsonl", "\n".join([*rows, '{"question": "And now?", "answer": NaN}']))
    chats = written("chats.jsonl", "\n".join([*rows, '{"question": null, "answer": 1}']))
    cut = (Path(tiny_llama) / "model.safetensors").read_bytes()[:5000]
    (tmp_path / "taken").mkdir()
    written("taken/metrics.jsonl", '{"step": 1}\n')
    adapter = model("adapter", "config.json", None)
    (Path(adapter) / "model.safetensors").unlink()
    written("adapter/adapter_config.json", '{"base_model_name_or_path": "org/base", "peft_type": "LORA"}')
    return {
        "no data": (train("a", data="/nowhere/rows.jsonl"), "--data.prompt_dataset /nowhere/rows.jsonl"),
        "a label NaN": (train("b", data=nan), "(line 61: is NaN)"),
        "a chat null": (train("c", data=chats, data__apply_chat_template=True), "line 61"),
        "two places": (train("d", data__input_template="{} or {}"), "has 2 places for the question"),
        "no such template": (train("e", data__input_template="qwen_math"), "did you mean qwen-math?"),
        "two templates": (train("f", data__input_template="plain", data__apply_chat_template=True), "give only one"),
        "no JSON": (
            train("g", data__apply_chat_template=True, data__chat_template_kwargs="{thinking: no}"),
            "--data.chat_template_kwargs: must be a JSON object",
        ),
        "longer than the context": (train("h", data__max_len=100_000), "reads at most"),
        "a broken config": (train("i", model=model("broken", "config.json", b"{")), "config.json"),
        "an adapter": (train("j", model=adapter), "holds a LoRA adapter of org/base"),
        "weights cut short": (train("k", model=model("short", "model.safetensors", cut)), "model.safetensors"),
        "one answer four times": (
            train("l", eval__dataset=tiny_data, eval__steps=1, eval__temperature=0, eval__n_samples_per_prompt=4),
            "--eval.temperature 0",
        ),
        "another run's folder": (train("taken"), "Give --ckpt.load_enable to go on with that run, --logger.overwrite"),
        "http": ((TRAIN, job("m"), {"RAY_ADDRESS": "http://127.0.0.1:8265"}), "ray job submit"),
        "nobody there": ((TRAIN, job("n"), {"RAY_ADDRESS": "127.0.0.1:1"}), "RAY_ADDRESS 127.0.0.1:1"),
        "old names": ((TRAIN, ["--pretrain", "m", "--bf16"], {}), "--pretrain: is now --actor.model_name_or_path"),
        "misspelt": (train("o", train__seeed=3), "--train.seed"),
        "a reward that exits": (train("p", reward=written("exits.py", "import sys\nsys.exit(0)\n")), "exits.py"),
        "a reward that is no Python": (train("q", reward=written("broken.py", "def reward_func(:\n")), "broken.py"),
        "a tab in YAML": ((TRAIN, ["--config", written("job.yaml", "train:\n\tseed: 3\n")], {}), "job.yaml"),
        "no such selector": (train("r", prepo__selector="perplexity"), "--prepo.selector"),
        "judging an adapter": (judge("--model", adapter), "--model"),
        "judging greedily four times": (judge("--temperature", "0", "--n", "4"), "--temperature 0"),
        "a plan misspelt": (
            (PLAN, ["--actor.model_name_or_path", tiny_llama, "--train.batchsize", "8"], {}),
            "--train",
        ),
    }


FEW = ("a label NaN", "another run's folder", "a reward that exits", "judging an adapter")


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_sentence_is_the_answer(every: bool, commands: dict[str, tuple[Command, str]]) -> None:
    names = [name for name in commands if every or name in FEW]

    def answer(name: str) -> tuple[str, str]:
        (module, arguments, variables), told = commands[name]
        environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"} | variables
        done = subprocess.run(
            [sys.executable, "-m", f"prepo_rlhf.cli.{module}", *arguments],
            capture_output=True, text=True, cwd=ROOT, env=environment, timeout=200,
        )  # fmt: skip
        wrong = done.returncode != 2 or told not in done.stderr or "Traceback" in done.stderr + done.stdout
        return name, f"{done.returncode}: {done.stderr[-2000:]}" if wrong else ""

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(pool.map(answer, names))
    assert len(answers) >= len(FEW) and {name: text for name, text in answers.items() if text} == {}
