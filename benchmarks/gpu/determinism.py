"""The same job twice with `--train.full_determinism_enable`: whether all metrics of all steps are the same.

    python benchmarks/gpu/determinism.py --output determinism.json

Equal means to the last bit; times are left out. It fails if they differ.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from machine import find_gpu
from part import write
from training_job import Job, finish, job_arguments, start


def differing(first: list[dict[str, float]], second: list[dict[str, float]]) -> list[str]:
    """`name in step N: A and B` for every metric but times that the runs do not share."""
    if len(first) != len(second):
        return [f"{len(first)} steps and {len(second)}"]
    return [
        f"{name} in step {number}: {one.get(name)} and {other.get(name)}"
        for number, (one, other) in enumerate(zip(first, second, strict=True), 1)
        for name in one | other
        if not name.startswith("timing/") and one.get(name) != other.get(name)
    ]


def main() -> None:
    args = job_arguments(__doc__, "Qwen2.5-1.5B, 4 layers", steps=2, prompts=8, new_tokens=128)
    gpu = find_gpu()
    extra = ("--train.full_determinism_enable", "--vllm.enforce_eager")  # without CUDA graphs it starts sooner
    runs = []
    with tempfile.TemporaryDirectory(dir=args.work) as made:
        for name in ("first", "second"):
            folder = Path(made) / name
            work = args.work or Path(made)
            job = Job(work, args.shape, gpu and gpu["gib"], args.steps, args.prompts, args.new_tokens, extra)
            runs.append(finish(start(job.options(folder)), folder))
    differences = differing(*runs)
    result = {"steps": len(runs[0]), "equal": not differences, "differences": differences}
    write(args, result)
    if differences:
        sys.exit(f"{len(differences)} metrics differ, the first {differences[0]}")


if __name__ == "__main__":
    main()
