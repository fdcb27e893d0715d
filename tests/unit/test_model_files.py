"""Models that could do harm when they are loaded are refused before anything of theirs has run, unless trusted."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from models_with_code import AUTO_MAP, ModelWithCode, with_pickled_weights
from tiny_tasks import job_options

from prepo_rlhf.cli import plan
from prepo_rlhf.cli.train_prepo_ray import job_config
from prepo_rlhf.config import ConfigError
from prepo_rlhf.evaluation.options import BenchmarkOptions
from prepo_rlhf.evaluation.runner import run
from prepo_rlhf.files.model_files import ModelFiles
from prepo_rlhf.planning.model_shape import model_shape
from prepo_rlhf.trainer import job

NEEDS_CODE = "needs Python code of its own, which was not run"


def test_a_training_job_is_refused_before_ray(
    tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path, monkeypatch: Any
) -> None:
    started: list[object] = []
    monkeypatch.setattr(job, "start_ray", started.append)
    model = ModelWithCode(tiny_llama, tmp_path / "model")
    with pytest.raises(ConfigError) as refusal:
        job.run(job_config(job_options(model.path, tiny_data, parity_reward, tmp_path / "run")))
    assert f"--actor.model_name_or_path {model.path}: {NEEDS_CODE}" in str(refusal.value)
    assert "--actor.trust_remote_code" in str(refusal.value)
    assert not started and not model.executed()


@pytest.mark.parametrize("model_type", ["llama-of-its-own", "vit"])
def test_a_plan_is_refused(model_type: str, tiny_llama: str, tmp_path: Path) -> None:
    model = ModelWithCode(tiny_llama, tmp_path / "model", model_type)
    if model_type == "vit":
        model.edit("config.json", auto_map={"AutoModelForCausalLM": AUTO_MAP["AutoModelForCausalLM"]})
    config = job_config(job_options(model.path, "data.jsonl", "reward.py", tmp_path / "run"))
    with pytest.raises(ConfigError, match=f"(?s)^--actor.model_name_or_path {model.path}: .+trust_remote_code"):
        model_shape(config)
    assert not model.executed()


def test_an_evaluation_is_refused_before_ray(tiny_llama: str, tmp_path: Path) -> None:
    model = ModelWithCode(tiny_llama, tmp_path / "model")
    problems = tmp_path / "problems.jsonl"
    problems.write_text(json.dumps({"question": "1 + 1?", "answer": "2"}) + "\n")
    options = BenchmarkOptions(model=model.path, benchmarks=str(problems), output_dir=str(tmp_path / "out"))
    with pytest.raises(ConfigError, match=f"^--model {model.path}: {NEEDS_CODE}.+give --trust_remote_code if"):
        run(options)
    assert not model.executed()
    with pytest.raises(ConfigError, match="--prompt_file"):  # what comes next, after model and tokenizer
        run(replace(options, trust_remote_code=True, prompt="file", prompt_file="/nowhere"))
    assert model.executed() == {"configuration_own.py", "modeling_own.py", "tokenization_own.py"}


@pytest.mark.parametrize("needed", ["AutoConfig", "AutoModelForCausalLM"])
def test_each_kind_of_code_is_refused(needed: str, tiny_llama: str, tmp_path: Path) -> None:
    """A config of its own; or a config that transformers knows, but has no causal model of."""
    model_type = "llama-of-its-own" if needed == "AutoConfig" else "vit"
    model = ModelWithCode(tiny_llama, tmp_path / "model", model_type)
    model.edit("config.json", auto_map={needed: AUTO_MAP[needed]})
    with pytest.raises(ConfigError, match=NEEDS_CODE):
        ModelFiles(model.path, trusted=False).check()
    assert not model.executed()


def test_a_tokenizer_of_its_own_is_refused(tiny_llama: str, tmp_path: Path) -> None:
    model = ModelWithCode(tiny_llama, tmp_path / "model")
    model.edit("tokenizer_config.json", tokenizer_class="OwnTokenizer")
    with pytest.raises(ConfigError, match=NEEDS_CODE):
        ModelFiles(model.path, trusted=False).tokenizer()
    assert not model.executed()


def test_code_that_is_not_needed_is_left_alone(tiny_llama: str, tmp_path: Path) -> None:
    model = ModelWithCode(tiny_llama, tmp_path / "model", "llama")
    files = ModelFiles(model.path, trusted=False)
    assert type(files.check()).__module__.startswith("transformers.")
    files.tokenizer()
    assert not model.executed()


def test_pickled_weights_are_refused(tiny_llama: str, tmp_path: Path) -> None:
    model = with_pickled_weights(tiny_llama, tmp_path / "model")
    with pytest.raises(ConfigError, match=f"^--actor.model_name_or_path {model}: its weights are pickles") as refusal:
        ModelFiles(model, trusted=False).check()
    assert "safetensors" in str(refusal.value) and "--actor.trust_remote_code" in str(refusal.value)
    ModelFiles(model, trusted=True).check()


def test_a_hub_that_does_not_answer_is_given_up_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It takes the connection, and says nothing; huggingface_hub alone would try for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        started = time.monotonic()
        assert plan.main(["--model", "some/model"]) == 2
        assert time.monotonic() - started < 10
    error = capfd.readouterr().err
    assert f"the hub {address}" in error and "has not answered within 3 s" in error and "Qwen/Qwen3-4B" in error
