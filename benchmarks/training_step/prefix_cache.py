"""Whether generation is served from what scoring has computed: `--vllm.enable_prefix_caching`, off and on.

    python benchmarks/training_step/prefix_cache.py --output prefix_cache.json

Two vLLM engines with the same random model. A step scores candidates as a rollout engine does, generates the rollouts
of every fifth, and drops the cache, as a weight sync does. The engines take turns; the first step warms up.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

import prepo_rlhf.ray  # noqa: F401  isort: skip  (makes the process ready for OpenRLHF)
from jobs import CANDIDATES_A_PROMPT, ROLLOUTS
from models import save_random_model
from tables import report
from tqdm import tqdm
from vllm import LLM, SamplingParams
from vllm.inputs import TokensPrompt

from prepo_rlhf.backends.environment import of_cpu_jobs
from prepo_rlhf.ray.requests import scoring_params

SIDES = {"off": False, "on": True}


def step(engine: LLM, prompts: list[TokensPrompt], max_new_tokens: int) -> dict[str, float]:
    """Seconds of scoring all prompts and of generating a fifth, and the share of the latter's prompt tokens cached."""
    sampling = SamplingParams(n=ROLLOUTS, temperature=1.0, min_tokens=1, max_tokens=max_new_tokens)
    start = time.perf_counter()
    engine.generate(prompts, scoring_params(), use_tqdm=False)
    scored = time.perf_counter()
    outputs = engine.generate(prompts[::CANDIDATES_A_PROMPT], sampling, use_tqdm=False)
    generated = time.perf_counter()
    engine.reset_prefix_cache()
    cached = sum(output.num_cached_tokens or 0 for output in outputs)
    total = sum(len(output.prompt_token_ids) for output in outputs)
    return {"scoring (s)": scored - start, "generation (s)": generated - scored, "prompt tokens cached": cached / total}


def measure(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Medians over steps of each side; the step's time as a share of that without a cache."""
    os.environ.update(of_cpu_jobs())
    with tempfile.TemporaryDirectory() as folder:
        model = save_random_model(Path(folder))
        options = {"dtype": "float32", "enforce_eager": True, "max_model_len": args.prompt + args.max_new_tokens}
        engines = {
            side: LLM(str(model), enable_prefix_caching=cached, **options) for side, cached in SIDES.items()
        }  # fmt: skip
    rows = {side: [] for side in SIDES}
    generator = torch.Generator().manual_seed(0)
    for number in tqdm(range(args.steps + 1), unit="step"):
        tokens = torch.randint(3, 190, (args.candidates, args.prompt), generator=generator).tolist()
        for side, engine in engines.items():
            row = step(engine, [TokensPrompt(prompt_token_ids=ids) for ids in tokens], args.max_new_tokens)
            if number > 0:
                rows[side].append(row | {"both (s)": row["scoring (s)"] + row["generation (s)"]})
    pairs = {side: zip(rows[side], rows["off"], strict=True) for side in SIDES}
    ratios = {side: median(own["both (s)"] / off["both (s)"] for own, off in pairs[side]) for side in SIDES}
    medians = {side: {name: median(row[name] for row in rows[side]) for name in rows[side][0]} for side in SIDES}
    return {side: medians[side] | {"ratio": ratios[side]} for side in SIDES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=80)
    parser.add_argument("--prompt", type=int, default=400, help="tokens")
    parser.add_argument("--max_new_tokens", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    report("prefix cache", measure(args), args)


if __name__ == "__main__":
    main()
