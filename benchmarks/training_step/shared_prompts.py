"""What old log-probs and training cost where a group's rollouts share their prompt, beside a prompt for each rollout.

    python benchmarks/training_step/shared_prompts.py --output shared_prompts.json

A policy of one rank with a random model, without engines: packed sequences of the same lengths in groups of 8, whose
prompts are the same or not. The sides take turns; ratios are within a round.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from one_rank import GROUP, make_config, one_rank, training_seconds  # isort: skip  (it sets up Ray)
import ray
import torch
from models import save_random_model
from tables import report
from tqdm import tqdm

MEASURES = ("old log-probs", "training")


def make_experience(args: argparse.Namespace, shared: bool) -> Any:
    """All rollouts of a step: prompts of `args.prompt` tokens, responses of half the longest length to all of it."""
    from openrlhf.trainer.ppo_utils.experience import Experience

    from prepo_rlhf.ray.policy_actor import WEIGHT_KEY

    generator = torch.Generator().manual_seed(0)
    lengths = args.prompt + torch.randint(args.length // 2, args.length + 1, (args.rollouts,), generator=generator)
    width = int(lengths.max())
    attention = torch.arange(width) < lengths[:, None]
    action = attention[:, 1:] & (torch.arange(width - 1) >= args.prompt - 1)
    sequences = torch.randint(3, 190, (args.rollouts, width), generator=generator)
    if shared:
        sequences[:, : args.prompt] = sequences[::GROUP, : args.prompt].repeat_interleave(GROUP, dim=0)
    advantages = torch.where(torch.arange(args.rollouts) % 2 == 0, 1.0, -1.0)
    return Experience(
        sequences=sequences * attention, attention_mask=attention.long(), action_mask=action.long(),
        action_log_probs=torch.full(action.shape, -10.0), advantages=advantages[:, None] * action,
        total_length=lengths.float(), info={WEIGHT_KEY: torch.ones(args.rollouts)},
    )  # fmt: skip


def forward_seconds(policy: Any, experience: Any, micro_batch: int) -> float:
    """Of the pass that gives old log-probs and entropies."""
    names = ("sequences", "action_mask", "attention_mask")
    parts = {name: list(getattr(experience, name).split(micro_batch)) for name in names}
    start = time.perf_counter()
    ray.get(policy.async_run_method_batch("forward", **parts))
    return time.perf_counter() - start


def measure(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        model = save_random_model(Path(folder) / "model", args.layers, args.hidden_size, args.vocabulary)
        config = make_config(model, Path(folder), args, args.prompt, ["--ds.packing_samples"])
        with one_rank(config) as policy:
            sides = [make_experience(args, shared) for shared in (False, True)]

            def seconds(experience: Any) -> tuple[float, float]:
                forward = forward_seconds(policy, experience, config.rollout.micro_batch_size)
                return forward, training_seconds(policy, config, experience, leave_out=False)

            seconds(sides[0])
            rounds = [[seconds(side) for side in sides] for _ in tqdm(range(args.pairs), file=sys.stderr)]
    result = {}
    for place, measure in enumerate(MEASURES):
        ratios = [shared[place] / own[place] for own, shared in rounds]
        result[measure] = {
            "shared / own": median(ratios), "lowest": min(ratios), "highest": max(ratios),
            "own (s)": median(own[place] for own, _ in rounds),
            "shared (s)": median(shared[place] for _, shared in rounds),
        }  # fmt: skip
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=50, help="tokens")
    parser.add_argument("--length", type=int, default=28, help="of the longest response")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden_size", type=int, default=192)
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    report("groups of 8", measure(args), args)


if __name__ == "__main__":
    main()
