"""Three hundred steps in which a random process of the job is killed or stopped, again and again, and nobody helps it.

About a quarter of an hour: pytest --long tests/long/test_chaos.py -rP
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
from broken_jobs import fault_options, unbroken_metrics
from running_jobs import RunningJob, running_job
from tiny_tasks import read_metrics, without_timings

STEPS = 300
BEFORE_A_STRIKE = (5, 40)  # seconds since the last recovery ended
HANG_TIMEOUT = 0.25  # minutes
UNTIL_RECOVERED = 240  # seconds
MISSED = 20  # seconds in which a verifier's worker that was stopped is missed, or never, as others grade in its place
MEMORY_GROWTH = 1.1  # of the driver, from its first recovery to its last
PARTS = ("ray::PolicyActor", "ray::RolloutEngine", "VLLM::EngineCore", "verifier")
# Has the verifier at work, and gives what a random model can earn: grades of a stopped worker are its time limit's.
REWARD = """
import torch
from prepo_rlhf.rewards.math_reward import grade_math

def reward_func(queries, prompts, labels):
    grade_math([query[len(prompt):] for query, prompt in zip(queries, prompts)], labels)
    scores = torch.tensor([float(len(query) % 2) for query in queries])
    return {"rewards": scores, "scores": scores, "extra_logs": {}}
"""


def processes_of(job: RunningJob, part: str) -> list[psutil.Process]:
    """Those of an actor or vLLM by their title; the verifier's workers are what its fork server has started."""
    if part != "verifier":
        return job.titled(part)
    servers = [process for process in job.processes() if "forkserver" in " ".join(process.info["cmdline"] or ())]
    return [worker for server in servers for worker in server.children() if worker not in job.titled("VLLM")]


def strike(job: RunningJob, chance: random.Random) -> str:
    """Kill or stop a process of a random part; returns what was done to which."""
    part, stops = chance.choice(PARTS), chance.random() < 0.3
    while not (found := processes_of(job, part)):
        time.sleep(0.05)
    process = chance.choice(found)
    (process.suspend if stops else process.kill)()
    return f"{part} {'stopped' if stops else 'killed'}"


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [7, 14])
def test_three_hundred_steps(seed: int, tiny_llama: str, tiny_data: str, tmp_path: Path) -> None:
    reward = tmp_path / "reward.py"
    reward.write_text(REWARD)
    options_in = partial(
        fault_options, tiny_llama, tiny_data, str(reward), train__num_episodes=STEPS // 6, train__max_restarts=3,
        train__hang_timeout=HANG_TIMEOUT, ckpt__max_num=3,
    )  # fmt: skip
    unbroken = unbroken_metrics(options_in(tmp_path / "unbroken"), tmp_path / "unbroken")
    chance, struck, memory = random.Random(seed), Counter[str](), []
    folder = tmp_path / "broken"
    with running_job(options_in(folder), folder) as job:
        job.wait_for_step(1)
        while not ended_within(job, chance.uniform(*BEFORE_A_STRIKE)):
            events = len(job.events())
            done = strike(job, chance)
            struck[done] += 1
            if done == "verifier killed":
                continue
            patience = MISSED if done == "verifier stopped" else UNTIL_RECOVERED
            if not wait_for(lambda before=events: len(job.events()) > before, job, patience):
                assert done == "verifier stopped" or job.driver.poll() is not None, f"no recovery after {done}"
            elif job.driver.poll() is None:
                memory.append(psutil.Process(job.driver.pid).memory_full_info().uss)
        code, said = job.end()
    assert code == 0, said
    rows = read_metrics(folder)
    print(f"struck {dict(struck)}; events {Counter(event['event'] for event in job.events())}")
    print(f"steps lost {sum(event['steps_lost'] for event in job.events())}")
    print(f"the driver's MiB after each recovery {[size >> 20 for size in memory]}")
    print({name: value for name, value in rows[-1].items() if name.startswith("run/")})
    assert [without_timings(row) for row in rows] == unbroken
    assert memory[-1] <= MEMORY_GROWTH * memory[0]


def ended_within(job: RunningJob, seconds: float) -> bool:
    return wait_for(lambda: job.driver.poll() is not None, job, seconds)


def wait_for(condition: Callable[[], bool], job: RunningJob, seconds: float) -> bool:
    """Whether it has come true in so many seconds, or the job has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition() or job.driver.poll() is not None:
            return True
        time.sleep(0.1)
    return False
