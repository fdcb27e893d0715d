"""Whole jobs whose rollouts are shared out by pilots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_tasks import job_options, read_metrics, run_job

pytestmark = [pytest.mark.usefixtures("ray_head"), pytest.mark.long]

PILOT = {"prepo__allocation": "pilot", "prepo__selector": "random"}


def run(folder: Path, *task: str, **changes: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Metrics and prompts of a job of 3 steps: K = 4, n = 4, m = 2."""
    done = run_job(job_options(*task, folder, data__max_samples=60, **changes))
    assert done.returncode == 0, done.stderr
    prompts = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    return read_metrics(folder), prompts


def assert_pilots(metrics: list[dict[str, Any]], prompts: list[dict[str, Any]]) -> None:
    """A budget of 16 in each step, spent on groups of 2 that are uniform and groups of 4 that are mixed, but for the
    last group, which may be cut."""
    assert [row["rollout/total"] for row in metrics] == [16, 32, 48]
    for row, given in zip(metrics, prompts, strict=True):
        sizes = given["rollouts"]
        assert sum(sizes) == 16 and set(sizes) <= {2, 4} and len(set(given["rows"])) == len(sizes)
        groups = list(zip(sizes, given["mean_rewards"], strict=True))
        assert all(mean in (0, 1) for size, mean in groups[:-1] if size == 2)
        assert all(0 < mean < 1 for size, mean in groups if size == 4)
        assert row["rollout/prompts"] == len(sizes) and row["rollout/group_size_mean"] == 16 / len(sizes)
        assert row["rollout/pilot_only_ratio"] == sizes.count(2) / len(sizes)
        assert row["train/grad_norm"] > 0 or row["signal/zero_advantage_ratio"] == 1
    assert any(len(given["rollouts"]) > 4 for given in prompts)


def test_the_rollouts_of_a_step_are_its_budget(
    tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path
) -> None:
    assert_pilots(*run(tmp_path, tiny_llama, tiny_data, parity_reward, **PILOT))


@pytest.mark.parametrize(
    "changes",
    [
        {"train__async_enable": True, "prepo__selector": "calibrated", "vllm__num_engines": 2},
        {"train__async_enable": True, "train__partial_rollout_enable": True, "prepo__weight_balance": "sign"},
        {"actor__num_gpus_per_node": 2, "train__dynamic_batch_enable": True, "algo__advantage__estimator": "rloo"},
    ],
    ids=["async-two-engines-calibrated", "partial-rollouts", "two-ranks-dynamic-batches-rloo"],
)
def test_with_others(
    changes: dict[str, Any], tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path
) -> None:
    assert_pilots(*run(tmp_path, tiny_llama, tiny_data, parity_reward, **PILOT | changes))


def test_a_pilot_and_its_rest_are_the_rollouts_of_a_whole_group(
    tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path
) -> None:
    """By their seeds, in the first step, whose policy is the same: a mixed prompt has the rewards that all its rollouts
    at once have, and a uniform one stays with the first of them."""
    task, exactly = (tiny_llama, tiny_data, parity_reward), {"train__full_determinism_enable": True}
    (_, (pilot, *_)) = run(tmp_path / "pilot", *task, **PILOT, **exactly)
    (_, (fixed, *_)) = run(tmp_path / "fixed", *task, **PILOT | {"prepo__allocation": None}, **exactly)
    whole = dict(zip(fixed["rows"], fixed["mean_rewards"], strict=True))
    rewards = zip(pilot["rows"], pilot["rollouts"], pilot["mean_rewards"], strict=True)
    compared = [(size, mean, whole[row]) for row, size, mean in rewards if row in whole]
    assert len(compared) == 4 and {size for size, _, _ in compared} == {2, 4}
    assert all(mean == of_four for size, mean, of_four in compared if size == 4)
    assert all(abs(mean - of_four) <= 0.5 for size, mean, of_four in compared if size == 2)
