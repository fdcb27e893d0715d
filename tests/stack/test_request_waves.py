"""A wave of requests gives the same numbers to the last bit, in whatever order and at whatever pace it arrives."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from fleets import make_config, running_fleet
from tiny_tasks import question_rows
from transformers import AutoTokenizer

pytestmark = pytest.mark.usefixtures("ray_head")


def numbers_of(responses: list[dict[str, Any]]) -> list[tuple[list[int], list[float]]]:
    return [(response["observation_tokens"], response["rollout_log_probs"]) for response in responses]


def test_a_wave_is_the_same_however_it_arrives(tiny_llama: str, tmp_path: Path) -> None:
    """In bfloat16, where on some CPUs what a request is batched with shows in its log-probs."""
    texts = [row["question"] for row in question_rows(12, seed=3)]
    prompts = AutoTokenizer.from_pretrained(tiny_llama)(texts, add_special_tokens=False)["input_ids"]
    config = make_config(
        tiny_llama, tmp_path, ds__param_dtype="bf16", train__full_determinism_enable=True,
        algo__advantage__is_correction_level="token",
    )  # fmt: skip
    with running_fleet(config) as fleet:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        (engine,) = fleet.engines

        def rollout(place: int, wave: tuple[int, int] | None) -> ray.ObjectRef:
            params = SamplingParams(
                n=4, max_tokens=64, min_tokens=1, seed=place, logprobs=1, output_kind=RequestOutputKind.FINAL_ONLY
            )
            return engine.rollout.remote(texts[place], prompts[place], "", params, wave)

        def wave(order: list[int], pause: float) -> list[Any]:
            calls = {}
            for place in order:
                time.sleep(pause)
                calls[place] = rollout(place, (place, len(prompts)))
            return [numbers for place in in_order for numbers in numbers_of(ray.get(calls[place]))]

        in_order = list(range(len(prompts)))
        together = wave(in_order, pause=0)
        assert wave(random.Random(0).sample(in_order, len(in_order)), pause=0.5) == together
        alone = [numbers for place in in_order for numbers in numbers_of(ray.get(rollout(place, None)))]
        scores = [ray.get(engine.score_prompts.remote(prompts)) for _ in range(2)]
        assert all(np.array_equal(first, second) for first, second in zip(*scores, strict=True))
    same = [one[0] == other[0] for one, other in zip(alone, together, strict=True)]
    gaps = [
        abs(a - b)
        for is_same, one, other in zip(same, alone, together, strict=True)
        for a, b in zip(one[1], other[1], strict=is_same)
    ]
    changed = sum(one[1] != other[1] for one, other in zip(alone, together, strict=True))
    print(
        f"one by one: {changed} of {len(same)} rollouts have other log-probs, by up to {max(gaps)}, "
        f"{same.count(False)} of them other tokens"
    )
