"""A model's own code on the real stack: nowhere unless it is trusted, and then in policy, reference and engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from models_with_code import SOURCES, ModelWithCode
from tiny_tasks import ROOT, job_options, read_metrics, run_job

pytestmark = pytest.mark.usefixtures("ray_head")


def test_openrlhf_runs_no_code_of_a_model(tiny_llama: str, tmp_path: Path) -> None:
    """Its loaders, in a process of their own since the refusal lasts: as they are, and refused."""
    code = (
        "import sys, prepo_rlhf.ray\n"
        "from openrlhf.models.actor import Actor\nfrom openrlhf.utils import get_tokenizer\n"
        "from prepo_rlhf.backends import remote_code\n"
        "if sys.argv[2] == 'refused': remote_code.refuse(); remote_code.refuse()\n"
        "actor = Actor(sys.argv[1], attn_implementation='sdpa', param_dtype='fp32')\n"
        "get_tokenizer(sys.argv[1], actor.model)\nprint(type(actor.model).__name__)"
    )
    kinds = {}
    for how in ("refused", "as_it_is"):
        model = ModelWithCode(tiny_llama, tmp_path / how, "llama")
        done = subprocess.run([sys.executable, "-c", code, model.path, how], capture_output=True, text=True)
        kinds[how] = (done.stdout.split()[-1:], model.executed())
        assert done.returncode == 0, done.stderr
    assert kinds["refused"] == (["LlamaForCausalLM"], set())
    assert kinds["as_it_is"][0] == ["OwnModel"] and len(kinds["as_it_is"][1]) == 4


@pytest.mark.long
def test_a_job_runs_no_code_that_it_does_not_need(
    tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path
) -> None:
    model = ModelWithCode(tiny_llama, tmp_path / "model", "llama")
    options = job_options(
        model.path, tiny_data, parity_reward, tmp_path / "run", data__max_samples=20, algo__kl__init_coef=0.01,
        ref__num_gpus_per_node=1,
    )  # fmt: skip
    done = run_job(options)
    assert done.returncode == 0, done.stderr
    assert read_metrics(tmp_path / "run") and not model.executed()


@pytest.mark.long
def test_a_trusted_model_is_trained(tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path) -> None:
    model = ModelWithCode(tiny_llama, tmp_path / "model")
    options = job_options(
        model.path, tiny_data, parity_reward, tmp_path / "run", data__max_samples=20, algo__kl__init_coef=0.01,
        ref__num_gpus_per_node=1, actor__trust_remote_code=True,
    )  # fmt: skip
    done = run_job(options)
    assert done.returncode == 0, done.stderr
    assert read_metrics(tmp_path / "run") and model.executed() == set(SOURCES)


@pytest.mark.long
def test_a_trusted_model_is_judged(tiny_llama: str, ray_head: str, tmp_path: Path) -> None:
    model = ModelWithCode(tiny_llama, tmp_path / "model")
    problems = tmp_path / "problems.jsonl"
    problems.write_text(json.dumps({"question": "How many?", "answer": "2"}) + "\n")
    command = [sys.executable, "-m", "prepo_rlhf.cli.eval_math", "--model", model.path, "--benchmarks", str(problems)]
    command += ["--output_dir", str(tmp_path / "out"), "--n", "2", "--max_new_tokens", "8", "--param_dtype", "fp32"]
    judged = subprocess.run([*command, "--trust_remote_code"], capture_output=True, text=True, cwd=ROOT)
    assert judged.returncode == 0, judged.stderr
