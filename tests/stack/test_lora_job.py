"""A LoRA job leaves a model that everyone can load, and its adapter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from tiny_tasks import ROOT, job_options, run_job
from transformers import AutoModelForCausalLM

pytestmark = pytest.mark.usefixtures("ray_head")


@pytest.mark.parametrize("judged", [False, pytest.param(True, marks=pytest.mark.long)])
def test_its_model_is_its_base_with_its_adapter(
    judged: bool, tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path
) -> None:
    """Two ranks of ZeRO-3, which gather what is saved."""
    options = job_options(
        tiny_llama, tiny_data, parity_reward, tmp_path / "run", data__max_samples=20, ds__lora__rank=4,
        ds__zero_stage=3, actor__num_gpus_per_node=2, train__micro_batch_size=2, actor__adam__lr=0.05,
        actor__lr_warmup_ratio=0.0,
    )  # fmt: skip
    done = run_job(options)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run" / "model"

    def logits(model: torch.nn.Module) -> torch.Tensor:
        with torch.no_grad():
            return model(torch.arange(3, 40)[None]).logits

    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    before = logits(base)
    merged = logits(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))
    adapted = logits(PeftModel.from_pretrained(base, str(folder / "adapter")))
    assert (merged - before).abs().mean() > 0.1, "the steps changed too little to tell the adapter from none"
    torch.testing.assert_close(adapted, merged, rtol=1e-3, atol=1e-3)
    if judged:
        judge(folder, tiny_llama, tmp_path)


def judge(folder: Path, base: str, tmp_path: Path) -> None:
    """The benchmark command takes the model, and says what to do with the adapter alone."""
    problems = tmp_path / "problems.jsonl"
    problems.write_text(json.dumps({"question": "How many?", "answer": "2"}) + "\n")
    command = [sys.executable, "-m", "prepo_rlhf.cli.eval_math", "--benchmarks", str(problems), "--n", "2"]
    command += ["--max_new_tokens", "8", "--param_dtype", "fp32", "--output_dir", str(tmp_path / "out"), "--model"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    refused = subprocess.run([*command, str(folder / "adapter")], capture_output=True, text=True, cwd=ROOT)
    assert refused.returncode == 2
    assert f"eval_math: --model {folder}/adapter: holds a LoRA adapter of {base}" in refused.stderr
