"""With `--train.full_determinism_enable` a job repeats itself, and goes on from any step as if it had not stopped.

The default run has one of this kind, in test_broken_job; all of these are

    pytest --long tests/long/test_exactness.py
"""

from __future__ import annotations

import shutil
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tiny_tasks import job_options, read_metrics, run_job, without_timings

pytestmark = pytest.mark.usefixtures("ray_head")

# 3 windows an epoch: 6 steps, or fewer where groups are dropped and replaced from later windows.
TWO_EPOCHS = dict(
    data__max_samples=60, train__num_episodes=2, ckpt__save_steps=1, ckpt__max_num=100,
    train__full_determinism_enable=True,
)  # fmt: skip
ZERO_VARIANCE = dict(algo__dynamic_filtering_enable=True, algo__dynamic_filtering_criterion="zero-variance")
AGENT = """
import torch
from openrlhf.utils.agent import AgentInstanceBase, MultiTurnAgentExecutor

class Parity(AgentInstanceBase):
    def __init__(self):
        self.turns = 0

    async def step(self, states, **kwargs):
        self.turns += 1
        reward = torch.tensor(float(len(states["action_text"]) % 2))
        done = self.turns == 2
        return {"rewards": reward, "environment_feedback": "" if done else " Again:", "done": done}

class AgentExecutor(MultiTurnAgentExecutor):
    def __init__(self):
        super().__init__(Parity)
"""
# Half of all groups of 2 have equal rewards, so most steps need a second window or a third.
MANY_DROPPED = ZERO_VARIANCE | dict(rollout__n_samples_per_prompt=2, data__max_samples=120)


class Job:
    """A finished run and what it left: metrics without timings, prompts rolled out, weights of the final model."""

    def __init__(self, options: list[str], run_dir: Path) -> None:
        self._options, self._run_dir = options, run_dir
        self._run([])

    def result(self) -> dict[str, Any]:
        return {
            "metrics": [without_timings(row) for row in read_metrics(self._run_dir)],
            "prompts": (self._run_dir / "prompts.jsonl").read_text(),
            "model": sha256((self._run_dir / "model" / "model.safetensors").read_bytes()).hexdigest(),
        }

    def resume(self, step: int) -> None:
        """Make the steps beyond `step` anew from its checkpoint."""
        (self._run_dir / "checkpoints" / "_actor" / "latest").write_text(f"global_step{step}")
        shutil.rmtree(self._run_dir / "model")
        self._run(["--ckpt.load_enable"])

    def _run(self, more: list[str]) -> None:
        done = run_job([*self._options, *more])
        assert done.returncode == 0, done.stderr


@pytest.fixture
def make_job(tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path) -> Any:
    def make(name: str = "run", **changes: Any) -> Job:
        options = job_options(tiny_llama, tiny_data, parity_reward, tmp_path / name, **TWO_EPOCHS | changes)
        return Job(options, tmp_path / name)

    return make


@pytest.mark.parametrize(
    "changes",
    [
        {"prepo__selector": "greso", "prepo__weight_balance": "sign"},
        *({"prepo__selector": name} for name in ("calibrated", "low-ppl", "high-ppl", "random", "length", "mopps")),
        {"prepo__selector": "calibrated", "algo__advantage__estimator": "posterior"},
        {"prepo__pacing": "feedback"},
        {"train__replay_depth": 2},
        {"prepo__allocation": "pilot", "prepo__selector": "calibrated", "vllm__num_engines": 2},
        {"prepo__allocation": "pilot", "prepo__selector": "mopps", "algo__advantage__estimator": "posterior"},
        {"ds__param_dtype": "bf16", "vllm__num_engines": 2},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_a_resumed_run_is_the_unbroken_one(changes: dict[str, Any], make_job: Any) -> None:
    """From the last checkpoint but one, in the second epoch: choices that depend on the rewards of the first."""
    job = make_job(**changes)
    unbroken = job.result()
    rows = unbroken["metrics"]
    job.resume(len(rows) - 2)
    assert job.result() == unbroken
    assert all(row["train/grad_norm"] > 0 for row in rows if row["signal/zero_advantage_ratio"] < 1)
    assert all(row["rollout/staleness_max"] == 0 for row in rows)
    if "prepo__allocation" in changes:
        assert [row["rollout/total"] for row in rows] == [16 * row["step"] for row in rows] and len(rows) == 6
        assert any(row["rollout/prompts"] > 4 for row in rows)
    if "algo__advantage__estimator" in changes:  # posterior, by which groups of equal rewards teach as well
        assert all(row["train/used_ratio"] == 1 for row in rows)
        assert any(row["signal/zero_advantage_ratio"] > 0 for row in rows)
    if "train__replay_depth" in changes:
        own = [round(16 * (1 - row["signal/zero_advantage_ratio"])) for row in rows]  # of 16 sequences
        assert [row["train/replayed"] for row in rows] == [sum(own[max(0, i - 2) : i]) for i in range(len(rows))]
        assert [row.get("train/replay_kl", 0) > 0 for row in rows] == [row["train/replayed"] > 0 for row in rows]
        assert sum(own[:-3]) > 0  # the checkpoint that is gone on from holds some
    if changes.get("prepo__selector") == "greso":
        means = [row[f"prepo/weight_{sign}_mean"] for row in rows for sign in ("positive", "negative")]
        assert means == pytest.approx([1] * len(means), abs=1e-5)


@pytest.mark.parametrize("pacing", ["feedback", "linear"])
def test_with_dynamic_filtering_as_well(pacing: str, make_job: Any, tiny_data: str) -> None:
    """From the middle, where windows were left with prompts that nobody rolled out.

    That a step was the last is known when the data does not fill another; it is evaluated all the same.
    """
    evaluated = dict(eval__dataset=tiny_data, eval__steps=100, eval__n_samples_per_prompt=2)
    job = make_job(prepo__pacing=pacing, **MANY_DROPPED, **evaluated)
    unbroken = job.result()
    initial, *rows = unbroken["metrics"]
    assert [row["step"] for row in (initial, rows[-1]) if "eval/default/avg@2" in row] == [0, len(rows)]
    generated = [after["rollout/total"] - before["rollout/total"] for before, after in pairwise(rows)]
    assert len(rows) >= 3 and max(generated) > 8, "no group was replaced"
    job.resume(len(rows) // 2)
    assert job.result() == unbroken


def test_two_runs_and_every_resumption(make_job: Any, tiny_data: str) -> None:
    """PREPO over the end of an epoch, evaluated on the way."""
    evaluated = dict(eval__dataset=tiny_data, eval__steps=2, eval__n_samples_per_prompt=2)
    job = make_job(**evaluated)
    unbroken = job.result()
    assert [row["step"] for row in unbroken["metrics"]] == [0, 1, 2, 3, 4, 5, 6]
    assert make_job("twin", **evaluated).result() == unbroken
    for step in range(1, 6):
        job.resume(step)
        assert job.result() == unbroken


def test_an_agents_rollouts_too(make_job: Any, tmp_path: Path) -> None:
    """Of two turns each; those of a prompt have seeds of their own."""
    agent = tmp_path / "agent.py"
    agent.write_text(AGENT)
    job = make_job(train__num_episodes=1, train__agent_func_path=agent, data__max_len=128)
    unbroken = job.result()
    assert any(row["signal/zero_advantage_ratio"] < 1 for row in unbroken["metrics"])
    job.resume(1)
    assert job.result() == unbroken
