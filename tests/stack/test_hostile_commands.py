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
Case = tuple[str, dict[str, object], str]  # the command, what is changed of a good one, what it must answer

# Names in capitals are files of `places`, `ray` is RAY_ADDRESS, `words` the command line where it is no changed job.
CASES: dict[str, Case] = {
    "no data": (TRAIN, {"data": "/nowhere/rows.jsonl"}, "--data.prompt_dataset /nowhere/rows.jsonl"),
    "a label NaN": (TRAIN, {"data": "NAN"}, "(line 61: is NaN)"),
    "a chat null": (TRAIN, {"data": "CHATS", "data__apply_chat_template": True}, "line 61"),
    "two places": (TRAIN, {"data__input_template": "{} or {}"}, "has 2 places for the question"),
    "no such template": (TRAIN, {"data__input_template": "qwen_math"}, "did you mean qwen-math?"),
    "two templates": (TRAIN, {"data__input_template": "plain", "data__apply_chat_template": True}, "give only one"),
    "no JSON": (
        TRAIN, {"data__apply_chat_template": True, "data__chat_template_kwargs": "{thinking: no}"},
        "--data.chat_template_kwargs: must be a JSON object",
    ),
    "longer than the context": (TRAIN, {"data__max_len": 100_000}, "reads at most"),
    "a broken config": (TRAIN, {"model": "BROKEN"}, "config.json"),
    "an adapter": (TRAIN, {"model": "ADAPTER"}, "holds a LoRA adapter of org/base"),
    "weights cut short": (TRAIN, {"model": "SHORT"}, "model.safetensors"),
    "one answer four times": (
        TRAIN, {"eval__dataset": "DATA", "eval__steps": 1, "eval__temperature": 0, "eval__n_samples_per_prompt": 4},
        "--eval.temperature 0",
    ),
    "another run's folder": (
        TRAIN, {"logger__run_dir": "TAKEN"}, "Give --ckpt.load_enable to go on with that run, --logger.overwrite",
    ),
    "http": (TRAIN, {"ray": "http://127.0.0.1:8265"}, "ray job submit"),
    "nobody there": (TRAIN, {"ray": "127.0.0.1:1"}, "RAY_ADDRESS 127.0.0.1:1"),
    "old names": (TRAIN, {"words": ("--pretrain", "m", "--bf16")}, "--pretrain: is now --actor.model_name_or_path"),
    "misspelt": (TRAIN, {"train__seeed": 3}, "did you mean --train.seed?"),
    "a reward that exits": (TRAIN, {"reward": "EXITS"}, "exits.py"),
    "a reward that is no Python": (TRAIN, {"reward": "NO_PYTHON"}, "no_python.py"),
    "a tab in YAML": (TRAIN, {"words": ("--config", "TAB")}, "tab.yaml"),
    "no such selector": (TRAIN, {"prepo__selector": "perplexity"}, "--prepo.selector"),
    "judging an adapter": (EVAL, {"words": ("--model", "ADAPTER")}, "holds a LoRA adapter"),
    "judging greedily four times": (EVAL, {"words": ("--temperature", "0", "--n", "4")}, "--temperature 0"),
    "a plan misspelt": (PLAN, {"words": ("--train.batchsize", "8")}, "--train.batchsize: "),
}  # fmt: skip
FEW = ("a label NaN", "another run's folder", "a reward that exits", "judging an adapter")


@pytest.fixture
def places(tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path) -> dict[str, str]:
    """Files and folders that the cases name in capitals."""
    rows = [json.dumps({"question": f"How many are {number}?", "answer": number}) for number in range(60)]
    texts = {
        "nan.jsonl": "\n".join([*rows, '{"question": "And now?", "answer": NaN}']),
        "chats.jsonl": "\n".join([*rows, '{"question": null, "answer": 1}']),
        "exits.py": "import sys\nsys.exit(0)\n",
        "no_python.py": "def reward_func(:\n",
        "tab.yaml": "train:\n\tseed: 3\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "metrics.jsonl").write_text('{"step": 1}\n')
    broken, short, adapter = (
        Path(shutil.copytree(tiny_llama, tmp_path / name)) for name in ("broken", "short", "adapter")
    )
    (broken / "config.json").write_text("{")
    (short / "model.safetensors").write_bytes((short / "model.safetensors").read_bytes()[:5000])
    (adapter / "config.json").unlink()
    (adapter / "model.safetensors").unlink()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base", "peft_type": "LORA"}')
    found = {Path(name).stem.upper(): str(tmp_path / name) for name in (*texts, "taken", "broken", "short", "adapter")}
    return found | {"MODEL": tiny_llama, "DATA": tiny_data, "REWARD": parity_reward}


def command_of(case: Case, places: dict[str, str], folder: Path) -> tuple[list[str], dict[str, str]]:
    """The command line, and what it adds to the environment."""
    module, changes, _ = case
    named = {name: places.get(str(value), value) for name, value in changes.items()}
    ray = named.pop("ray", None)
    if "words" in named:
        words = [places.get(word, word) for word in named["words"]]
        if module == EVAL:
            words = ["--model", places["MODEL"], "--benchmarks", places["DATA"], "--output_dir", str(folder), *words]
    else:
        files = [str(named.pop(name, places[name.upper()])) for name in ("model", "data", "reward")]
        words = job_options(*files, folder, **named)
    return [f"prepo_rlhf.cli.{module}", *words], {"RAY_ADDRESS": str(ray)} if ray else {}


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_sentence_is_the_answer(every: bool, places: dict[str, str], tmp_path: Path) -> None:
    names = list(CASES) if every else list(FEW)

    def answer(name: str) -> str:
        words, variables = command_of(CASES[name], places, tmp_path / name)
        environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"} | variables
        command = [sys.executable, "-m", *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=200)
        is_told = done.returncode == 2 and CASES[name][2] in done.stderr
        return (
            ""
            if is_told and "Traceback" not in done.stderr + done.stdout
            else f"{done.returncode}: {done.stderr[-2000:]}"
        )

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip(names, pool.map(answer, names), strict=True))
    assert {name: text for name, text in answers.items() if text} == {}
