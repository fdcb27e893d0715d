"""Training on GSM8K with the built-in verifier, while the policy writes answers that would hang a plain one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_models import make_tiny_model
from tiny_tasks import job_options, read_metrics, run_job
from tiny_teacher import teach

pytestmark = pytest.mark.usefixtures("ray_head")

KILLERS = [r"\boxed{9^{9^{9^9}}}", r"\boxed{5^{5^{5^{5^5}}}}", r"so \boxed{(10^{10})!}"]
OTHERS = [r"It is \boxed{18}", "The answer is 3.", "I do not know", r"\boxed{{{{7}"]


def test_no_step_is_lost_to_answers_that_hang(benchmarks: Path, tmp_path: Path) -> None:
    lines = sorted((benchmarks / "gsm8k_train.jsonl").read_text().splitlines(), key=len)[:108]  # short: quick to learn
    data, heldout = tmp_path / "train.jsonl", tmp_path / "heldout.jsonl"
    data.write_text("\n".join(lines[:100]) + "\n")
    heldout.write_text("\n".join(lines[100:]) + "\n")
    questions = [json.loads(line)["question"] for line in lines]
    model = make_tiny_model(tmp_path / "policy", questions + KILLERS + OTHERS)
    teach(model, [f"{question}\n" for question in questions], KILLERS + OTHERS)
    options = job_options(
        model, str(data), "math", tmp_path, data__max_len=400, data__input_template="{}\n",
        rollout__max_new_tokens=48, reward__math__timeout=1, reward__math__format_coef=0.1, actor__adam__lr=1e-5,
        eval__dataset=heldout, eval__steps=5, eval__n_samples_per_prompt=2,
    )  # fmt: skip
    done = run_job(options)
    assert done.returncode == 0, done.stderr
    rows = read_metrics(tmp_path)
    steps = rows[1:]
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5]
    assert [row["rollout/total"] for row in steps] == [16, 32, 48, 64, 80]
    assert sum(row["reward/timeout_ratio"] for row in steps) > 0.5, "the policy writes killers"
    assert sum(row["reward/unparsable_ratio"] for row in steps) > 0
    assert all(0 <= row["timing/grading"] for row in steps)
    assert all(0 <= row["rollout/reward_mean"] <= 1.1 for row in steps)
    assert {"eval/default/avg@2", "eval/default/timeout_ratio"} <= rows[-1].keys()
    # An evaluation in which no response has an answer has no majority.
    assert "eval/default/maj@2" in rows[0].keys() | rows[-1].keys()
