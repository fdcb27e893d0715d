"""Whole colocated steps on one GPU: sleeping engines, weights by CUDA IPC, their phases, and the peak memory of the GPU
beside what `prepo plan` says of the same options.

    python benchmarks/gpu/steps.py --output steps.json

Beside each step's metrics: the mean log-ratio of engine and policy for the tokens that were sampled, which is near 0
only where the engine has got the policy's weights. The first step warms up and is left out of the medians. The peak is
the most memory in use on the GPU at any time, by all processes, as NVML has it ten times a second; on a CPU, which no
plan is made for, that of the job's processes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from subprocess import Popen, TimeoutExpired
from typing import Any

import psutil
import torch
from machine import find_gpu
from part import write
from training_job import Job, finish, job_arguments, start

from prepo_rlhf.cli.plan import PlanOptions, training_options
from prepo_rlhf.planning.cluster import GIB, Cluster
from prepo_rlhf.planning.cost import Lengths, Speed
from prepo_rlhf.planning.plan import make_plan

PAUSE = 0.1  # seconds


def peak_while_running(job: Popen[bytes], has_gpu: bool) -> float:
    """GiB in use at the highest until the job has ended; None of it is this process's own."""
    peak = 0
    while True:
        peak = max(peak, torch.cuda.device_memory_used(0) if has_gpu else _resident(job.pid))
        try:
            job.wait(PAUSE if has_gpu else 1)
            return peak / GIB
        except TimeoutExpired:
            continue


def _resident(pid: int) -> int:
    """Bytes of a process and all that it has started."""
    total = 0
    try:
        own = psutil.Process(pid)
        for process in (own, *own.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.Error:  # one has ended meanwhile
        pass
    return total


def planned(job: Job, options: Sequence[str]) -> dict[str, float]:
    """GiB of the GPU in each phase, by the plan; on a CPU of the GPU that the options would need."""
    config = training_options(PlanOptions(), options)
    cluster = Cluster(nodes=1, gpus_per_node=1, gpu_memory=job.gpu_gib or 80, reserve=PlanOptions.reserve)
    lengths = Lengths(config.data.max_len - job.new_tokens, job.new_tokens)
    plan = make_plan(config, cluster, None, lengths, Speed(None, None))
    (gpu,) = plan.memory
    return {"training": gpu.training / GIB, "generating": gpu.generating / GIB, "reserve": PlanOptions.reserve}


def main() -> None:
    args = job_arguments(__doc__, "Qwen2.5-1.5B", steps=3, prompts=16, new_tokens=512)
    gpu = find_gpu()
    with tempfile.TemporaryDirectory(dir=args.work) as made:
        folder = Path(made)
        job = Job(args.work or folder, args.shape, gpu and gpu["gib"], args.steps, args.prompts, args.new_tokens)
        options = job.options(folder)
        plan, begin = planned(job, options), time.perf_counter()
        process = start(options)
        peak = peak_while_running(process, gpu is not None)
        rows = finish(process, folder)
        seconds = time.perf_counter() - begin
    result = {
        "options": " ".join(options),
        "job_seconds": seconds,
        "median_seconds": phases(rows[1:]),
        "engine_over_policy": [row["train/vllm_kl"] for row in rows],
        "memory_gib": {"peak": peak, "of": "the GPU" if gpu else "the job's processes, on a CPU", "planned": plan},
        "metrics": rows,
    }
    write(args, result)


def phases(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Medians of the steps' phases."""
    names = [name for name in rows[0] if name.startswith("timing/")]
    return {name.removeprefix("timing/"): median(row[name] for row in rows) for name in names}


if __name__ == "__main__":
    main()
