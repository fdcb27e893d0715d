"""One rollout engine by itself: prompts scored and tokens generated in a second.

    python benchmarks/gpu/engine.py --output engine.json

A first, smaller round warms up. No prompt is seen twice, so that nothing comes from the prefix cache.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
import torch
from part import make_parser, write
from random_model import SHAPES, make_model, write_task

from prepo_rlhf.evaluation.engines import running_engines
from prepo_rlhf.evaluation.options import BenchmarkOptions

SAMPLES = 8  # of each prompt


def seconds_of(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def measure(engine: Any, args: argparse.Namespace, vocabulary: int) -> dict[str, dict[str, float]]:
    from prepo_rlhf.ray.requests import generation_params

    random = torch.Generator().manual_seed(0)

    def prompts(count: int) -> list[list[int]]:
        return torch.randint(3, vocabulary, (count, args.prompt_tokens), generator=random).tolist()

    def score(count: int) -> list[Any]:
        return ray.get(engine.score_prompts.remote(prompts(count)))

    def generate(count: int) -> list[Any]:
        params = generation_params(SAMPLES, 1.0, args.new_tokens, seed=0)
        return ray.get([engine.rollout.remote("", ids, "", params) for ids in prompts(count)])

    score(max(1, args.scored // 8))
    scoring, scores = seconds_of(lambda: score(args.scored))
    generate(max(1, args.generated // 8))
    generation, groups = seconds_of(lambda: generate(args.generated))
    tokens = sum(len(response["observation_tokens"]) - args.prompt_tokens for group in groups for response in group)
    return {
        "scoring": {
            "seconds": scoring,
            "prompts_per_second": len(scores) / scoring,
            "tokens_per_second": len(scores) * args.prompt_tokens / scoring,
        },
        "generation": {
            "seconds": generation,
            "responses": SAMPLES * len(groups),
            "tokens": tokens,
            "tokens_per_second": tokens / generation,
        },
    }


def main() -> None:
    parser = make_parser(__doc__, "Qwen2.5-1.5B")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--scored", type=int, default=512, help="prompts")
    parser.add_argument("--prompt_tokens", type=int, default=256)
    parser.add_argument("--generated", type=int, default=64, help="prompts, of 8 responses each")
    parser.add_argument("--new_tokens", type=int, default=512)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        _, reward = write_task(Path(folder), 1)
        model = make_model(args.work or Path(folder), args.shape)
        options = BenchmarkOptions(model=str(model), reward=str(reward), param_dtype=args.dtype)
        start = time.perf_counter()
        with running_engines(options, args.prompt_tokens + args.new_tokens) as (engine,):
            started = time.perf_counter() - start
            result = measure(engine, args, SHAPES[args.shape]["vocab_size"])
    write(args, {"start_seconds": started, **result})


if __name__ == "__main__":
    main()
