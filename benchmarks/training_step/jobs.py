"""The jobs whose steps are measured: this project's and plain OpenRLHF's, on this machine's CPU, in float32.

Both are started through their own command lines with 16 prompts of 8 rollouts a step. OpenRLHF runs with its defaults,
which are micro-batches of one sequence and the one thread that Ray gives an actor, and with the micro-batches and
threads of this project's CPU script. A step's time is what lies between two rows of TensorBoard, and those of its
phases are what each side writes there itself; the first step warms up.
Boundary: one job, from its options to seconds; what is compared with what is the caller's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import ray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).parents[2]
TASK = ROOT / "examples" / "arithmetic"
COIN = Path(__file__).with_name("coin_reward.py")  # for random models, whose answers are all wrong
ROLLOUTS, CANDIDATES_A_PROMPT = 8, 5
LONGEST_PROMPT = 80  # tokens
OURS = "this project, PREPO"
DEFAULTS = "OpenRLHF, its defaults"
MICRO_BATCHES = {  # rollout, train
    DEFAULTS: (1, 1),
    "OpenRLHF, our settings": (64, 32),
    OURS: (64, 32),
}
THREADS = "OMP_NUM_THREADS"  # what Ray's workers inherit from whoever starts it
FIRST_STEP = "start to first step's end"
PHASES = {  # ours -> OpenRLHF's, which scores nothing
    "score_prompts": None,
    "generation": "generation",
    "make_experience": "make_experience",
    "train": "ppo_train",
    "weight_sync": "broadcast",
}


@dataclass(frozen=True)
class Job:
    """What one run is asked to do."""

    side: str  # one of MICRO_BATCHES
    model: Path = TASK / "checkpoints" / "mid"
    reward: Path = TASK / "reward.py"
    steps: int = 10  # the first of which is not counted
    prompts: int = 16  # of a step, with 8 rollouts each
    max_new_tokens: int = 48
    more: tuple[str, ...] = ()  # options of this side alone

    def command(self, data: Path, folder: Path) -> list[str]:
        """What both sides are told, and what only one of them knows or needs."""
        rollout, train = MICRO_BATCHES[self.side]
        prompts_a_step = self.prompts * (CANDIDATES_A_PROMPT if self.side == OURS else 1)
        options = {
            "actor.model_name_or_path": self.model,
            "actor.num_gpus_per_node": 1,
            "actor.adam.lr": 1e-4,
            "vllm.num_engines": 1,
            "data.prompt_dataset": data / "train.jsonl",
            "data.input_key": "prompt",
            "data.label_key": "label",
            "data.max_len": LONGEST_PROMPT + self.max_new_tokens,
            "data.max_samples": self.steps * prompts_a_step,
            "reward.remote_url": self.reward,
            "rollout.batch_size": self.prompts,
            "rollout.n_samples_per_prompt": ROLLOUTS,
            "rollout.max_new_tokens": self.max_new_tokens,
            "rollout.micro_batch_size": rollout,
            "train.batch_size": self.prompts * ROLLOUTS // 2,
            "train.micro_batch_size": train,
            "algo.kl.init_coef": 0,
            "algo.advantage.estimator": "group_norm",
            "ckpt.output_dir": folder / "model",
            "ckpt.path": folder / "checkpoints",
            "logger.tensorboard_dir": folder / "tensorboard",
        }
        if self.side == OURS:
            entry = ["-m", "prepo_rlhf.cli.train_prepo_ray", "--ds.packing_samples"]
            options |= {"backend": "cpu", "ds.param_dtype": "fp32", "logger.run_dir": folder}
        else:
            entry = [str(Path(__file__).with_name("openrlhf_on_cpu.py")), "--vllm.enforce_eager"]
            options |= {"ds.attn_implementation": "sdpa"}
        words = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        return [sys.executable, *entry, *words, *self.more]

    def measure(self, data: Path, ray_address: str) -> dict[str, float]:
        """Seconds of a step, of its phases, and from the command to the first step's end.

        OpenRLHF's side starts a Ray of its own, with a hook for its workers; this project's joins the one given.
        """
        environment = os.environ | ({"RAY_ADDRESS": ray_address} if self.side == OURS else {})
        if self.side == DEFAULTS:
            del environment[THREADS]
        with tempfile.TemporaryDirectory() as folder:
            line = self.command(data, Path(folder))
            begin = time.time()
            done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=environment)
            if done.returncode:
                sys.exit(f"{self.side} ended with {done.returncode}:\n{done.stderr[-3000:]}")
            return step_seconds(Path(folder), begin)


def step_seconds(folder: Path, begin: float) -> dict[str, float]:
    """Medians over the steps but the first: of the whole, and of its phases; and from `begin` to the first's end."""
    events = EventAccumulator(str(next(folder.rglob("events*")).parent)).Reload()
    tags = events.Tags()["scalars"]

    def after_first(*endings: str) -> list[Any]:
        return events.Scalars(next(tag for tag in tags if tag.endswith(endings)))[1:]

    whole = events.Scalars(next(tag for tag in tags if tag.endswith("policy_loss")))
    seconds = {"step": median(later.wall_time - earlier.wall_time for earlier, later in pairwise(whole))}
    seconds[FIRST_STEP] = whole[0].wall_time - begin
    for phase, theirs in PHASES.items():
        names = (f"timing/{phase}", *([f"timing/{theirs}"] if theirs else []))
        there = any(tag.endswith(names) for tag in tags)
        seconds[phase] = median(row.value for row in after_first(*names)) if there else 0.0
    return seconds


@contextmanager
def prompts_and_ray(num_prompts: int) -> Iterator[tuple[Path, str]]:
    """A folder with that many problems, and the address of a Ray with logical GPUs for this project's side."""
    os.environ.pop("RAY_ADDRESS", None)
    os.environ.setdefault(THREADS, str(os.cpu_count()))
    context = ray.init("local", num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False)
    try:
        with tempfile.TemporaryDirectory() as data:
            script = [sys.executable, str(TASK / "make_data.py"), "--output_dir", data]
            subprocess.run([*script, "--train_size", str(num_prompts), "--heldout_size", "1"], check=True)
            yield Path(data), context.address_info["gcs_address"]
    finally:
        ray.shutdown()
