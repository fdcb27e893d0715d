"""Agents that ask the engine several times give the same numbers to the last bit, however long their turns take."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
import ray
from fleets import make_config, running_fleet
from tiny_tasks import question_rows
from transformers import AutoTokenizer

pytestmark = pytest.mark.usefixtures("ray_head")

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


def numbers_of(responses: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    keys = ("observation_tokens", "action_ranges", "rollout_log_probs", "syncs")
    return [tuple(response[key] for key in keys) for response in responses]


def test_agents_are_the_same_however_long_their_turns_take(tiny_llama: str, tmp_path: Path) -> None:
    """In bfloat16, where on some CPUs what a request is batched with shows in its log-probs."""
    agent = tmp_path / "agent.py"
    agent.write_text(f"STOPS = {STOPS}\n{AGENT}")
    texts = [row["question"] for row in question_rows(6, seed=3)]
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    config = make_config(
        tiny_llama, tmp_path, ds__param_dtype="bf16", train__full_determinism_enable=True, train__agent_func_path=agent,
        algo__advantage__is_correction_level="token",
    )  # fmt: skip
    with running_fleet(config) as fleet:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        (engine,) = fleet.engines
        in_order = list(range(len(texts)))

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
            return [numbers for place in in_order for numbers in numbers_of(ray.get(calls[place]))]

        first = rollouts(in_order, pause=0)
        assert {len(ranges) for _, ranges, _, _ in first} == {1, 2, 3}
        assert len({tuple(tokens) for tokens, _, _, _ in first}) == len(first)
        assert rollouts(random.Random(0).sample(in_order, len(in_order)), pause=0.2) == first
        at_once = rollouts(in_order, pause=0, in_waves=False)
    changed = sum(one != other for one, other in zip(at_once, first, strict=True))
    print(f"without waves: {changed} of {len(first)} rollouts are others")
