"""What is asked of an engine in a wave gives the same numbers to the last bit, in whatever order and at whatever pace.

All on one engine in bfloat16, where on some CPUs what a request is batched with shows in its log-probs; the last test
ends it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest
import ray
from fleets import make_config, running_fleet
from tiny_tasks import question_rows
from transformers import AutoTokenizer

# One to three turns, as the first answer has it, and an environment that takes its time.
AGENT = """
import asyncio, random
import torch
from openrlhf.utils.agent import AgentInstanceBase, MultiTurnAgentExecutor
from vllm import SamplingParams

class Slow(AgentInstanceBase):
    def __init__(self):
        self.left = None

    async def step(self, states, **kwargs):
        await asyncio.sleep(random.SystemRandom().random())
        self.left = len(states["action_text"]) % 3 if self.left is None else self.left - 1
        return {
            "rewards": torch.tensor(1.0), "environment_feedback": " Again:" if self.left else "",
            "done": self.left == 0, "sampling_params": SamplingParams(min_tokens=1, logprobs=1, stop_token_ids=STOPS),
        }

class AgentExecutor(MultiTurnAgentExecutor):
    def __init__(self):
        super().__init__(Slow)
"""
SAMPLES = 4
STOPS = list(range(100, 120))  # a turn may take what is left of the context, and ends with one of these before that
SIZE = 1_001  # more than Ray lets into an actor by default, as an evaluation has


@pytest.fixture(scope="module")
def engine(ray_head: str, tiny_llama: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("engine")
    agent = folder / "agent.py"
    agent.write_text(f"STOPS = {STOPS}\n{AGENT}")
    config = make_config(
        tiny_llama, folder, ds__param_dtype="bf16", train__full_determinism_enable=True, train__agent_func_path=agent,
        algo__advantage__is_correction_level="token",
    )  # fmt: skip
    with running_fleet(config) as fleet:
        (engine,) = fleet.engines
        yield engine


def test_a_wave_is_the_same_however_it_arrives(engine: Any, tiny_llama: str) -> None:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    texts = [row["question"] for row in question_rows(12, seed=3)]
    prompts = AutoTokenizer.from_pretrained(tiny_llama)(texts, add_special_tokens=False)["input_ids"]

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


def numbers_of(responses: list[dict[str, Any]]) -> list[tuple[list[int], list[float]]]:
    return [(response["observation_tokens"], response["rollout_log_probs"]) for response in responses]


def test_agents_are_the_same_however_long_their_turns_take(engine: Any, tiny_llama: str) -> None:
    """Agents that ask several times."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    texts = [row["question"] for row in question_rows(6, seed=3)]
    tokenizer, in_order = AutoTokenizer.from_pretrained(tiny_llama), list(range(len(texts)))

    def rollouts(order: list[int], pause: float, in_waves: bool = True) -> list[tuple[Any, ...]]:
        calls = {}
        for place in order:
            time.sleep(pause)
            params = SamplingParams(
                seed=100 * place, min_tokens=1, logprobs=1, stop_token_ids=STOPS,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )  # fmt: skip
            wave = (place, len(texts)) if in_waves else None
            arguments = (texts[place], "", params, 160, tokenizer, SAMPLES, wave)
            calls[place] = engine.generate_responses.remote(*arguments)
        return [numbers for place in in_order for numbers in turns_of(ray.get(calls[place]))]

    first = rollouts(in_order, pause=0)
    assert {len(ranges) for _, ranges, _, _ in first} == {1, 2, 3}
    assert len({tuple(tokens) for tokens, _, _, _ in first}) == len(first)
    assert rollouts(random.Random(0).sample(in_order, len(in_order)), pause=0.2) == first
    at_once = rollouts(in_order, pause=0, in_waves=False)
    changed = sum(one != other for one, other in zip(at_once, first, strict=True))
    print(f"without waves: {changed} of {len(first)} rollouts are others")


def turns_of(responses: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    keys = ("observation_tokens", "action_ranges", "rollout_log_probs", "syncs")
    return [tuple(response[key] for key in keys) for response in responses]


def test_a_wave_of_more_than_a_thousand_requests_is_complete(engine: Any) -> None:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    params = SamplingParams(max_tokens=1, seed=0, output_kind=RequestOutputKind.FINAL_ONLY)
    calls = [engine.rollout.remote("", [5, 6, 7], "", params, (place, SIZE)) for place in range(SIZE)]
    assert all(len(responses) == 1 for responses in ray.get(calls, timeout=180))


def test_a_call_to_a_core_that_dies(engine: Any) -> None:
    """It is never answered, and fails instead of waiting for ever."""
    pid = ray.get(engine.__ray_call__.remote(lambda actor: os.getpid()))
    (core,) = (child for child in psutil.Process(pid).children() if child.name().startswith("VLLM"))
    core.suspend()
    call = engine.pause_generation.remote()
    with pytest.raises(ray.exceptions.GetTimeoutError):
        ray.get(call, timeout=5)
    core.kill()
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(call, timeout=60)
