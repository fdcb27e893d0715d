"""A job in which a process stops without an end finds that out, and goes on with the metrics of the unbroken one.

With what it costs: pytest --long tests/long/test_hangs.py -rP
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
from broken_jobs import MakeOptions, Stop, broken_and_healed, fault_options, unbroken_metrics
from running_jobs import running_job

TIMEOUT = 0.25  # minutes
TWO_RANKS = {"actor__num_gpus_per_node": 2, "ds__zero_stage": 3, "train__micro_batch_size": 2}


@pytest.fixture(scope="module")
def options_in(tiny_llama: str, tiny_data: str, parity_reward: str) -> MakeOptions:
    """Of a job of 12 steps."""
    return partial(
        fault_options, tiny_llama, tiny_data, parity_reward, train__num_episodes=2, train__hang_timeout=TIMEOUT
    )


@pytest.mark.parametrize("part", ["policy rank", "one of two policy ranks", "vLLM's core", "rollout engine"])
def test_stopped_twice(part: str, options_in: MakeOptions, tmp_path: Path) -> None:
    """The message names the phase, who is waited for and who is stopped; each process has a file of its stacks."""
    changes = TWO_RANKS if part == "one of two policy ranks" else {}
    title, waited_for, stopped = {
        "policy rank": ("ray::PolicyActor", "policy rank 0", "policy rank 0"),
        "one of two policy ranks": ("ray::PolicyActor", "policy rank 0, policy rank 1", "policy rank [01]"),
        "vLLM's core": ("VLLM::EngineCore", "rollout engine 0", "VLLM::EngineCore of rollout engine 0"),
        "rollout engine": ("ray::RolloutEngine", "rollout engine 0", "rollout engine 0"),
    }[part]
    unbroken = unbroken_metrics(options_in(tmp_path / "unbroken", **changes), tmp_path / "unbroken")
    folder = tmp_path / "broken"
    strikes = [(3, Stop(title, which=len(changes) and 1)), (6, Stop(title))]
    report = broken_and_healed(options_in(folder, **changes), folder, strikes)
    print(f"{part} twice; steps lost {report.steps_lost}; seconds {report.seconds}")
    assert report.metrics == unbroken
    told = rf"hang: nothing has moved for {TIMEOUT:g} minutes in [\w ]+; waited for {waited_for}"
    assert len(re.findall(rf"{told}; {stopped} is stopped; stacks in {folder}/hang-[12]\. ", report.said[-1])) == 2
    for number in (1, 2):
        files = {path.name: path.read_text() for path in (folder / f"hang-{number}").iterdir()}
        assert {"driver.txt", "policy-rank-0.txt", "rollout-engine-0.txt"} <= set(files)
        assert "prepo_rlhf/trainer/trainer.py" in files["driver.txt"]
        assert any(text.startswith("VLLM::EngineCore of rollout engine 0: ") for text in files.values())
        assert "(policy_actor.py:" in files["policy-rank-0.txt"] or "worker.py" in files["policy-rank-0.txt"]


def test_a_rank_that_never_comes(options_in: MakeOptions, tmp_path: Path) -> None:
    """To the meeting of the ranks, at the first start: the others wait for it."""
    folder = tmp_path / "broken"
    with running_job([*options_in(folder, **TWO_RANKS), "--train.max_restarts", "1"], folder) as job:
        job.wait_for_processes("ray::PolicyActor", 2)
        job.process("ray::PolicyActor", 1).suspend()
        code, said = job.end()
    assert code == 0, said
    [event] = job.events()
    told = r"hang: nothing has moved for [\d.]+ minutes in loading the models; waited for policy rank 0, policy rank 1"
    assert re.match(rf"{told}(, rollout engine 0)?; policy rank [01] is stopped; stacks in ", event["why"])
    assert (event["step"], event["steps_lost"]) == (0, 0) and job.step() == 12
