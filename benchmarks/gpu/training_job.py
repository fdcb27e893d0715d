"""The training job of the parts that need one: everything on one GPU, which policy and engine take turns on.

Boundary: options in, the job's metrics by step out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from part import make_parser
from random_model import make_model, write_task

ROLLOUTS, CANDIDATES_A_PROMPT = 8, 5
ENGINE_GIB = 16  # of the GPU, for the engine, so that the peak is that of training
LONGEST_PROMPT = 64  # tokens


@dataclass(frozen=True)
class Job:
    """What a run is asked to do; `gpu_gib` is None on a CPU."""

    work: Path  # where the model is made
    shape: str
    gpu_gib: float | None
    steps: int
    prompts: int  # of a step, with 8 rollouts each
    new_tokens: int
    extra: tuple[str, ...] = ()

    def options(self, folder: Path) -> list[str]:
        """The command line's, with the task and the records in `folder`."""
        sequences = self.prompts * ROLLOUTS
        data, reward = write_task(folder, self.steps * self.prompts * CANDIDATES_A_PROMPT)
        given: dict[str, Any] = {
            "actor.model_name_or_path": make_model(self.work, self.shape),
            "actor.num_gpus_per_node": 1,
            "actor.adam.lr": 1e-4,  # large, so that old weights would show in the engine's log-probs
            "algo.advantage.is_correction_level": "token",  # compares them with the policy's, as train/vllm_kl
            "vllm.num_engines": 1,
            "vllm.gpu_memory_utilization": min(0.9, ENGINE_GIB / self.gpu_gib) if self.gpu_gib else 0.5,
            "data.prompt_dataset": data,
            "data.input_key": "question",
            "data.label_key": "answer",
            "data.max_len": LONGEST_PROMPT + self.new_tokens,
            "reward.remote_url": reward,
            "rollout.batch_size": self.prompts,
            "rollout.n_samples_per_prompt": ROLLOUTS,
            "rollout.max_new_tokens": self.new_tokens,
            "train.batch_size": sequences // 2,
            "ds.param_dtype": "bf16" if self.gpu_gib else "fp32",
            "ckpt.output_dir": folder / "model",
            "ckpt.path": folder / "checkpoints",
            "logger.run_dir": folder / "run",
        }
        switches = ["--train.colocate_all", "--ds.packing_samples", "--train.dynamic_batch_enable",
                    "--actor.gradient_checkpointing_enable"]  # fmt: skip
        if self.gpu_gib:  # on a CPU nobody sleeps
            switches += ["--vllm.enable_sleep", "--ds.enable_sleep"]
        return [*(part for name, value in given.items() for part in (f"--{name}", str(value))), *switches, *self.extra]


def job_arguments(doc: str | None, shape: str, steps: int, prompts: int, new_tokens: int) -> argparse.Namespace:
    """The command line of a part that runs such a job; these sizes where it gives no others."""
    parser = make_parser(doc, shape)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--prompts", type=int, default=prompts, help=f"of a step, of {ROLLOUTS} rollouts each")
    parser.add_argument("--new_tokens", type=int, default=new_tokens)
    return parser.parse_args()


def start(options: Sequence[str]) -> subprocess.Popen[bytes]:
    """The job under way; what it says goes to this process's own output."""
    return subprocess.Popen([sys.executable, "-m", "prepo_rlhf.cli.train_prepo_ray", *options])


def finish(job: subprocess.Popen[bytes], folder: Path) -> list[dict[str, float]]:
    """The metrics of its steps, once it has ended. Exits with what it exits with if it fails."""
    if job.wait():
        sys.exit(job.returncode)
    return [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
