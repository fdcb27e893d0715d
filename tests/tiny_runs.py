"""Folders of training runs made by hand: exact ones for numbers, lifelike ones for pages."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prepo_rlhf.config import from_dict, to_yaml

Row = dict[str, Any]


def write_run(folder: Path, metrics: Sequence[Row], prompts: Sequence[Row] | None = None, **options: Any) -> Path:
    """Writes what a training run leaves behind; `options` name its options with `__` for the dot."""
    folder.mkdir(parents=True)
    nested: Row = {}
    for name, value in options.items():
        group, _, option = name.partition("__")
        nested.setdefault(group, {})[option] = value
    (folder / "config.yaml").write_text(to_yaml(from_dict(nested)))
    (folder / "metrics.jsonl").write_text(_lines(metrics))
    if prompts is not None:
        (folder / "prompts.jsonl").write_text(_lines(prompts))
    return folder


def lifelike_run(folder: Path, seed: int, steps: int = 30, selector: str = "prepo", **options: Any) -> Path:
    """A run of 16 prompts a step of 8 rollouts, evaluated every tenth of it, with the metrics of a real one."""
    rng = random.Random(f"{selector} {seed}")
    speed = {"prepo": 4.0, "random": 2.0}.get(selector, 3.0) * rng.uniform(0.9, 1.1)
    metrics, prompts, tokens = [_evaluation(0.0, speed, rng) | {"step": 0}], [], 0
    for step in range(1, steps + 1):
        rho = step / steps
        tokens += 3500 + rng.randrange(200)
        row = _step(rho, speed, rng) | {"step": step, "rollout/total": 128 * step, "rollout/total_tokens": tokens}
        if selector != "random":
            row |= _window(rho)
        if step % max(1, steps // 10) == 0:
            row |= _evaluation(rho, speed, rng)
        metrics.append(row)
        prompts.append({"step": step} | _prompts(rho, selector != "random", rng))
    return write_run(folder, metrics, prompts, prepo__selector=selector, train__seed=seed, **options)


def _evaluation(rho: float, speed: float, rng: random.Random) -> Row:
    accuracy = 0.9 - 0.5 * math.exp(-speed * rho) + rng.uniform(-0.02, 0.02)
    return {"eval/default/avg@4": accuracy, "eval/default/avg@4_low": accuracy - 0.02, "eval/default/pass@4": 0.95}


def _step(rho: float, speed: float, rng: random.Random) -> Row:
    solved = min(1.0, max(0.0, 0.8 * (1 - math.exp(-speed * rho)) + rng.uniform(-0.1, 0.1)))
    times = {"score_prompts": 0.12, "generation": 0.6, "make_experience": 0.3, "train": 0.7, "weight_sync": 0.05}
    return {
        "signal/zero_advantage_ratio": min(1.0, solved + 0.05),
        "signal/all_correct_ratio": solved,
        "signal/all_wrong_ratio": 0.2 * (1 - rho),
        "prepo/entropy_mean": 0.2 + 0.3 * math.exp(-2 * rho) + rng.uniform(-0.02, 0.02),
        "prepo/weight_min": 0.3 - 0.2 * rho,
        "prepo/weight_mean": 1.0,
        "prepo/weight_max": 1.6 + 2 * rho,
        "prepo/weight_std": 0.2 + 0.5 * rho + rng.uniform(-0.05, 0.05),
    } | {f"timing/{phase}": seconds * rng.uniform(0.9, 1.2) for phase, seconds in times.items()}


def _window(rho: float) -> Row:
    low, high = 4.2, 6.0
    return {
        "prepo/ppl_candidates_p10": low,
        "prepo/ppl_candidates_p50": 5.0,
        "prepo/ppl_candidates_p90": high,
        "prepo/ppl_selected_min": low - 0.2 + 1.5 * rho,
        "prepo/ppl_selected_mean": low + 1.6 * rho,
        "prepo/ppl_selected_max": low + 0.2 + 2.0 * rho,
    }


def _prompts(rho: float, scored: bool, rng: random.Random) -> Row:
    hardness = [rng.random() for _ in range(16)]
    rewards = [sum(rng.random() > h * (1.2 - rho) for _ in range(8)) / 8 for h in hardness]
    return {
        "rows": [rng.randrange(2400) for _ in hardness],
        "lengths": [10 + int(20 * h) + rng.randrange(8) for h in hardness],
        "mean_rewards": rewards,
        "predicted": [min(1, 1.2 * (1 - h) + 0.2 * rho) for h in hardness],
        "perplexities": [4 + 1.5 * rho + h + rng.random() if scored else None for h in hardness],
    }


def _lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
