"""What a pass of training costs when sequences without advantage are left out, beside the pass over all of them.

    python benchmarks/training_step/left_out.py --output left_out.json

A policy of one rank with a random model, without engines: sequences of 32 tokens of prompt and a response of half the
longest length to all of it. The sides take turns with the same experience; ratios are within a round.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from one_rank import GROUP, make_config, one_rank, training_seconds  # isort: skip  (it sets up Ray)
import torch
from models import save_random_model
from tables import report
from tqdm import tqdm

PROMPT = 32  # tokens
LAYOUTS = {  # besides micro-batches of 32 sequences
    "padded": [],
    "packed": ["--ds.packing_samples"],
    "by tokens": ["--train.dynamic_batch_enable", "--train.max_tokens_per_gpu", "4096"],
}


def make_experience(args: argparse.Namespace, without: float) -> Any:
    """All rollouts of a step; the share `without` has no advantage."""
    from openrlhf.trainer.ppo_utils.experience import Experience

    from prepo_rlhf.ray.policy_actor import WEIGHT_KEY

    generator = torch.Generator().manual_seed(0)
    lengths = PROMPT + torch.randint(args.length // 2, args.length + 1, (args.rollouts,), generator=generator)
    width = int(lengths.max())
    attention = torch.arange(width) < lengths[:, None]
    action = attention[:, 1:] & (torch.arange(width - 1) >= PROMPT - 1)
    advantages = torch.where(torch.arange(args.rollouts) % 2 == 0, 1.0, -1.0)
    groups = torch.arange(args.rollouts) // GROUP * GROUP / args.rollouts
    advantages[groups < without] = 0.0
    return Experience(
        sequences=torch.randint(3, 190, (args.rollouts, width), generator=generator) * attention,
        attention_mask=attention.long(), action_mask=action.long(), action_log_probs=torch.full(action.shape, -8.0),
        advantages=advantages[:, None] * action, total_length=lengths.float(),
        info={WEIGHT_KEY: torch.ones(args.rollouts)},
    )  # fmt: skip


def measure_layout(layout: str, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        model = save_random_model(Path(folder) / "model", args.layers, args.hidden_size)
        config = make_config(model, Path(folder), args, PROMPT, LAYOUTS[layout])
        with one_rank(config) as policy:
            result = {}
            for without in args.without:
                experience = make_experience(args, without)
                training_seconds(policy, config, experience, leave_out=False)
                rounds = [
                    [training_seconds(policy, config, experience, leave_out) for leave_out in (False, True)]
                    for _ in tqdm(range(args.pairs), desc=f"{layout}, {without}", file=sys.stderr)
                ]
                ratios = [left_out / whole for whole, left_out in rounds]
                result[f"{layout}, {without}"] = {
                    "left out / all": median(ratios), "lowest": min(ratios), "highest": max(ratios),
                    "all (s)": median(whole for whole, _ in rounds), "left out (s)": median(rest for _, rest in rounds),
                }  # fmt: skip
            return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without", type=float, nargs="+", default=[0.0, 0.5, 0.75], help="share without advantage")
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--rollouts", type=int, default=128)
    parser.add_argument("--length", type=int, default=128, help="of the longest response")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden_size", type=int, default=192)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    result: dict[str, dict[str, float]] = {}
    for layout in args.layouts:
        result |= measure_layout(layout, args)
    report("share without advantage", result, args)


if __name__ == "__main__":
    main()
