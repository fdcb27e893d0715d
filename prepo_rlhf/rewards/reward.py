"""The reward of a prompt's rollouts, as `--reward.remote_url` names it: the built-in math verifier, the user's
`reward_func` file, or HTTP servers.

Files and servers have OpenRLHF's contracts. Unlike there, a reward that fails ends the run: training never goes on
with a missing reward.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from prepo_rlhf.config.training import MathOptions

MATH = "math"


@dataclass(frozen=True)
class Rollouts:
    """The rollouts of one prompt, to be rewarded.

    Attributes:
        prompt: the text that the model read.
        label: the reference answer, as the dataset has it.
        responses: what the model wrote, without special tokens.
        queries: prompt and response as one text, special tokens included.
    """

    prompt: str
    label: Any
    responses: list[str]
    queries: list[str]


Reward = Callable[[Rollouts], Awaitable[list[dict[str, Any]]]]
"""For each rollout {"reward": float, "scores": float, "extra_logs": {name: float}}; the math verifier adds "answer"."""


class RewardError(ValueError):
    """The reward that the user named cannot be used, or answered something else than a reward."""


def make_reward(spec: str, math_options: MathOptions | None = None) -> Reward:
    """The reward that `--reward.remote_url` names: math, a Python file, or one or more URLs separated by commas."""
    if spec == MATH:
        from prepo_rlhf.rewards.math_reward import MathReward

        return MathReward(math_options or MathOptions())
    if spec.endswith(".py"):
        return _file_reward(load_reward_func(spec))
    return _http_reward(spec.split(","))


def check_reward(spec: str) -> None:
    """Find out whether `make_reward` can make sense of `spec`, without starting anything.

    Raises:
        RewardError: it is neither math nor an URL, and no file with a reward function.
    """
    if spec.endswith(".py"):
        load_reward_func(spec)
    elif spec != MATH and not all(url.strip().startswith(("http://", "https://")) for url in spec.split(",")):
        raise RewardError(
            f"--reward.remote_url {spec}: give math, a Python file ending in .py, or the URL of a server (http://...)"
        )


def load_reward_func(path: str) -> Callable[[list[str], list[str], list[str]], dict[str, Any]]:
    """The function `reward_func(queries, prompts, labels)` of a Python file.

    Raises:
        RewardError: no such file, or no such function in it.
    """
    if not Path(path).is_file():
        raise RewardError(f"--reward.remote_url: there is no file {path}")
    spec = importlib.util.spec_from_file_location("prepo_reward_func", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, "reward_func", None)):
        raise RewardError(f"--reward.remote_url: {path} defines no function reward_func(queries, prompts, labels)")
    return module.reward_func


def _file_reward(reward_func: Callable[[list[str], list[str], list[str]], dict[str, Any]]) -> Reward:
    def grade(rollouts: Rollouts) -> list[dict[str, Any]]:
        # One query a call, which is all that OpenRLHF's contract promises to such files.
        prompt, label = [rollouts.prompt], [rollouts.label]
        return [_normalise(reward_func([query], prompt, label)) for query in rollouts.queries]

    async def reward(rollouts: Rollouts) -> list[dict[str, Any]]:
        return await asyncio.to_thread(grade, rollouts)

    return reward


def _http_reward(urls: list[str]) -> Reward:
    from openrlhf.utils.agent import SingleTurnAgentExecutor

    client = SingleTurnAgentExecutor(urls)

    async def reward(rollouts: Rollouts) -> list[dict[str, Any]]:
        prompt, label = [rollouts.prompt], [rollouts.label]
        calls = [client._fetch_rewards_via_http([query], prompt, label) for query in rollouts.queries]
        try:
            answers = await asyncio.gather(*calls)
        except RuntimeError as error:  # what OpenRLHF raises after its last attempt
            raise RewardError(f"--reward.remote_url {','.join(urls)}: no answer ({error})") from error
        return [_normalise(answer[0]) for answer in answers]

    return reward


def _normalise(answer: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(answer, dict) or answer.get("rewards") is None:
        raise RewardError(f'a reward must be a dict with the key "rewards", not {answer!r}')
    reward = _scalar(answer["rewards"])
    score = reward if answer.get("scores") is None else _scalar(answer["scores"])
    extra_logs = {name: _scalar(value) for name, value in (answer.get("extra_logs") or {}).items()}
    return {"reward": reward, "scores": score, "extra_logs": extra_logs}


def _scalar(value: Any) -> float:
    return float(torch.as_tensor(value).flatten()[0])
