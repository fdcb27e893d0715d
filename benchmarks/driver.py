"""What the driver itself costs: from the engines' answers to batches in the policy's hands, without a model.

    python benchmarks/driver.py --output driver.json
    python benchmarks/driver.py --rollouts 4096 --length 2048 --profile

Synthetic answers go through the real rollout collector, experience maker and Ray actors; only the policy's pass is left
out: it answers with zeros at once, and drops what it is to train on. Time is a step's, the median of several; memory is
what the driver holds after its last step beyond what it held after its first.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import re
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

from prepo_rlhf.backends.launch import apply_backend  # isort: skip  (before Ray, which it tells how to hand over tensors)
import ray
import torch
from tqdm import tqdm
from training_step.tables import report

from prepo_rlhf.cli.train_prepo_ray import job_config
from prepo_rlhf.config import Config

TASK = Path(__file__).parents[1] / "examples" / "arithmetic"
GROUP = 8  # rollouts of a prompt
PHASES = ("read answers", "make experience", "hand over")


def make_config(folder: Path, args: argparse.Namespace) -> Config:
    """The options that matter here; the policy is never loaded."""
    options = {
        "backend": "cpu",
        "actor.model_name_or_path": TASK / "checkpoints" / "mid",
        "actor.num_gpus_per_node": 1,
        "data.prompt_dataset": TASK / "none.jsonl",
        "data.max_len": max(args.length),
        "reward.remote_url": TASK / "reward.py",
        "rollout.n_samples_per_prompt": GROUP,
        "rollout.micro_batch_size": args.micro_batch_size,
        "train.batch_size": 64,
        "train.micro_batch_size": args.micro_batch_size,
        "logger.run_dir": folder,
    }
    config = job_config([part for name, value in options.items() for part in (f"--{name}", str(value))])
    apply_backend(config)
    return config


def make_policy() -> Any:
    """A policy of one rank that computes nothing."""
    from openrlhf.trainer.ray.launcher import RayActorGroup

    from prepo_rlhf.ray.policy_actor import PolicyActor

    class IdlePolicy(PolicyActor):
        strategy = SimpleNamespace(is_rank_0=lambda: False)  # keeps its progress bar off

        def forward(
            self, sequences: torch.Tensor, action_mask: torch.Tensor, attention_mask: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.zeros(action_mask.shape), torch.ones(len(sequences))

        def train_pass(self, micro_batches: Any) -> None:
            pass

    return RayActorGroup(1, 1, ray.remote(IdlePolicy), num_gpus_per_actor=1)


def make_answers(num_rollouts: int, length: int, prompt_share: float = 0.25) -> list[list[dict[str, Any]]]:
    """What engines return: groups of responses, half as long as they may be to as long."""
    generator = torch.Generator().manual_seed(0)
    groups = []
    for _ in range(num_rollouts // GROUP):
        prompt = round(length * prompt_share)
        totals = torch.randint(max(prompt + 1, length // 2), length + 1, (GROUP,), generator=generator).tolist()
        groups.append([
            {
                "prompt": "p", "label": "l", "observation_tokens": torch.randint(3, 190, (total,)).tolist(),
                "action_ranges": [(prompt, total)], "rollout_log_probs": None, "truncated": total == length,
                "reward": float(number % 3 == 0), "scores": float(number % 3 == 0), "extra_logs": {},
            }
            for number, total in enumerate(totals)
        ])  # fmt: skip
    return groups


class Driver:
    """The driver's part of a step."""

    def __init__(self, config: Config, policy: Any) -> None:
        from openrlhf.trainer.ppo_utils.kl_controller import FixedKLController
        from transformers import AutoTokenizer

        from prepo_rlhf.prompts.stops import Stops
        from prepo_rlhf.ray.gpu_turns import GpuTurns
        from prepo_rlhf.ray.placement import Fleet
        from prepo_rlhf.ray.strategy import make_strategy
        from prepo_rlhf.rollout.collector import RolloutCollector
        from prepo_rlhf.trainer.experience_maker import ExperienceMaker
        from prepo_rlhf.trainer.mini_batches import TrainingPasses

        strategy = make_strategy(config)
        tokenizer = AutoTokenizer.from_pretrained(config.actor.model_name_or_path)
        fleet = Fleet(policy, None, [])
        self._collector = RolloutCollector(strategy, fleet.calls, tokenizer, GpuTurns(config, fleet), Stops())
        self._maker = ExperienceMaker(policy, None, None, None, FixedKLController(0.0), strategy, tokenizer)
        self._policy = policy
        self._passes = partial(TrainingPasses, config, ranks=1, seed=0, leave_out=True)

    def step(self, answers: list[list[dict[str, Any]]]) -> dict[str, float]:
        """Seconds of each phase."""
        times = [time.perf_counter()]
        rollouts = [rollout for group in answers for rollout in self._collector._experiences(group)]
        times.append(time.perf_counter())
        experiences = self._maker.make_experience_batch(rollouts)
        times.append(time.perf_counter())
        (micro_batches,) = self._passes(experiences)
        ray.get(self._policy.async_run_method_batch("train_pass", micro_batches=micro_batches))
        times.append(time.perf_counter())
        return {phase: times[i + 1] - times[i] for i, phase in enumerate(PHASES)}


def resident_mib() -> float:
    """The process' own memory; pages that it shares with Ray's object store are not among it."""
    gc.collect()
    return int(re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text()).group(1)) / 1024


def measure(driver: Driver, num_rollouts: int, length: int, steps: int) -> dict[str, float]:
    """Seconds of each phase, and of all per million tokens; MiB that the driver's memory grew by."""
    answers = make_answers(num_rollouts, length)
    tokens = sum(len(answer["observation_tokens"]) for group in answers for answer in group)
    driver.step(answers)
    before = resident_mib()
    rows = [driver.step(answers) for _ in tqdm(range(steps), desc=f"{num_rollouts} x {length}", leave=False)]
    result = {phase: median(row[phase] for row in rows) for phase in PHASES}
    total = median(sum(row.values()) for row in rows)
    return result | {"s a million tokens": total / tokens * 1e6, "grown (MiB)": resident_mib() - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, nargs="+", default=[64, 256, 1024, 4096])
    parser.add_argument("--length", type=int, nargs="+", default=[2048])
    parser.add_argument("--micro_batch_size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="where the driver's time goes, instead of a table")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(Path(folder), args)
        ray.init("local", num_cpus=1, num_gpus=1, include_dashboard=False, log_to_driver=False)
        driver = Driver(config, make_policy())
        shapes = [(rollouts, length) for rollouts in args.rollouts for length in args.length]
        if args.profile:
            profile = cProfile.Profile()
            for shape in shapes:
                profile.runcall(driver.step, make_answers(*shape))
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
            return
        rows = {f"{rollouts} x {length}": measure(driver, rollouts, length, args.steps) for rollouts, length in shapes}
    report("rollouts x tokens, at most", rows, args)


if __name__ == "__main__":
    main()
