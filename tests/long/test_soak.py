"""Three thousand steps of a small job: nothing may grow in the last thousand. About a quarter of an hour, by hand:

    pytest --long tests/long/test_soak.py -rP
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from running_jobs import RunningJob, running_job
from tiny_tasks import job_options, read_metrics

STEPS, EVERY = 3_000, 20
WARM = 2_000  # steps until vLLM's process has its size, by far the last one
COMPARED = 500  # steps of the two stretches after that
MEMORY_GROWTH = 0.02  # of a process from one stretch to the next
COUNT_GROWTH = 5  # threads of pools that are made when needed, objects that are under way
ACTORS = ("ray::PolicyActor", "ray::RolloutEngine", "VLLM::EngineCore")
Sample = dict[str, float]
"""Of each process the MiB that are its own, open files and threads, and the numbers of processes and Ray objects."""


def take_sample(job: RunningJob) -> Sample:
    started = list(job.processes())
    watched = {"driver": psutil.Process(job.driver.pid), "raylet": job.raylet()}
    for process in started:
        title = (process.info["cmdline"] or [""])[0].partition(".")[0]  # an actor's title names its method as well
        if title in ACTORS:
            watched[title] = process
    assert len(watched) == 2 + len(ACTORS)
    sample: Sample = {"processes": len(started), "Ray objects": objects_in_store(job.cluster.address)}
    for title, process in watched.items():
        sample[f"{title}, MiB"] = process.memory_full_info().uss / 2**20
        sample[f"{title}, open files"] = process.num_fds()
        sample[f"{title}, threads"] = process.num_threads()
    return sample


def objects_in_store(address: str) -> int:
    command = [str(Path(sys.executable).parent / "ray"), "memory", "--stats-only", "--address", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return int(re.search(r"(\d+) objects", done.stdout)[1])


def medians(samples: dict[int, Sample], first: int, last: int) -> Sample:
    """Of each quantity over the samples from step `first` to step `last`."""
    chosen = [sample for step, sample in samples.items() if first <= step <= last]
    return {name: statistics.median(sample[name] for sample in chosen) for name in chosen[0]}


@pytest.mark.timeout(3600)
def test_three_thousand_steps(tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    options = job_options(
        tiny_llama, tiny_data, parity_reward, run_dir, prepo__selector="calibrated", prepo__weight_balance="sign",
        prepo__candidate_batch_size=6, rollout__batch_size=2, train__num_episodes=STEPS * 6 // 120,
        rollout__max_new_tokens=8, eval__dataset=tiny_data, eval__steps=100, eval__n_samples_per_prompt=2,
        ckpt__save_steps=50, ckpt__max_num=2,
    )  # fmt: skip
    samples: dict[int, Sample] = {}
    with running_job(options, run_dir) as job:
        for step in range(EVERY, STEPS, EVERY):
            job.wait_for_step(step)
            samples[step] = take_sample(job)
        code, said = job.end()
    assert code == 0, said
    assert [row["step"] for row in read_metrics(run_dir)] == list(range(STEPS + 1))
    assert len(list((run_dir / "checkpoints" / "_actor").glob("global_step*"))) <= 2

    start = medians(samples, EVERY, COMPARED)
    early, late = medians(samples, WARM, WARM + COMPARED), medians(samples, STEPS - COMPARED, STEPS)
    for name, value in early.items():
        print(f"{name}: {start[name]:.1f}, then {value:.1f}, then {late[name]:.1f}")
    for name, value in early.items():
        limit = value * (1 + MEMORY_GROWTH) if name.endswith("MiB") else value + COUNT_GROWTH
        assert late[name] <= limit, name
