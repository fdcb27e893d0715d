"""The reward of a rollout: the user's `reward_func` file, or HTTP servers, as `--reward.remote_url` names them.

Same contracts as in OpenRLHF. Unlike there, a reward that fails ends the run with its traceback: a missing
reward is never trained on.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import torch

Reward = Callable[[list[str], str, str], Awaitable[list[dict[str, Any]]]]
"""(queries, prompt, label) -> for each query {"reward": float, "scores": float, "extra_logs": {name: float}}."""


class RewardError(ValueError):
    """The reward that the user named cannot be used, or answered something else than a reward."""


def make_reward(spec: str) -> Reward:
    """The reward that `--reward.remote_url` names: a Python file, or one or more URLs separated by commas."""
    if spec.endswith(".py"):
        return _file_reward(load_reward_func(spec))
    return _http_reward(spec.split(","))


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
    def grade(queries: list[str], prompt: str, label: str) -> list[dict[str, Any]]:
        # One query a call, which is all that OpenRLHF's contract promises to such files.
        return [_normalise(reward_func([query], [prompt], [label])) for query in queries]

    async def reward(queries: list[str], prompt: str, label: str) -> list[dict[str, Any]]:
        return await asyncio.to_thread(grade, queries, prompt, label)

    return reward


def _http_reward(urls: list[str]) -> Reward:
    from openrlhf.utils.agent import SingleTurnAgentExecutor

    client = SingleTurnAgentExecutor(urls)

    async def reward(queries: list[str], prompt: str, label: str) -> list[dict[str, Any]]:
        calls = [client._fetch_rewards_via_http([query], [prompt], [label]) for query in queries]
        return [_normalise(answer[0]) for answer in await asyncio.gather(*calls)]

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
