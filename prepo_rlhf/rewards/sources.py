"""Where rewards come from, as `--reward.remote_url` names it: the math verifier, a Python file, or HTTP servers.

Files and servers have OpenRLHF's contracts. Unlike there, a reward that fails ends the run with a sentence: a missing
reward is never trained on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from copy import deepcopy
from functools import partial
from typing import Any

from prepo_rlhf.config.training import MathOptions
from prepo_rlhf.files import user_code
from prepo_rlhf.files.user_code import RAISED, UserCodeError, check_callable, excerpt, quoted
from prepo_rlhf.rewards.contract import NoAnswerError, Reward, RewardError, Rollouts, checked

MATH, MODULE = "math", "prepo_reward_func"
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds before a server is asked again
RewardFunc = Callable[[list[str], list[str], list[Any]], dict[str, Any]]


def make_reward(spec: str, math_options: MathOptions | None = None, patience: float = 0.0) -> Reward:
    """The reward that `--reward.remote_url` names: math, a Python file, or one or more URLs separated by commas.

    `patience`: minutes for which servers that give no answer are asked again.
    """
    if spec == MATH:
        from prepo_rlhf.rewards.math_reward import MathReward

        return MathReward(math_options or MathOptions())
    return _file_reward(spec) if spec.endswith(".py") else _server_reward(spec.split(","), 60 * patience)


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


def load_reward_func(path: str) -> RewardFunc:
    """The function `reward_func(queries, prompts, labels)` of a Python file.

    Raises:
        RewardError: no such file, no such function in it, or it cannot be imported or called so.
    """
    try:
        module = user_code.load(path, MODULE)
    except UserCodeError as error:
        raise RewardError(f"--reward.remote_url: {error}") from error
    reward_func = getattr(module, "reward_func", None)
    if not callable(reward_func):
        raise RewardError(f"--reward.remote_url: {path} defines no function reward_func(queries, prompts, labels)")
    if problem := check_callable(reward_func, 3):
        raise RewardError(f"--reward.remote_url {path}: reward_func(queries, prompts, labels) {problem}")
    return reward_func


def _file_reward(path: str) -> Reward:
    reward_func = load_reward_func(path)

    def grade_one(query: str, rollouts: Rollouts) -> dict[str, Any]:
        # One query a call, which is all that OpenRLHF's contract promises to such files; and a label of its own, in
        # which nothing that the function changes reaches the next call.
        try:
            with user_code.no_exit():
                answer = reward_func([query], [rollouts.prompt], [deepcopy(rollouts.label)])
        except RAISED as error:
            given = f"query {excerpt(query)}, prompt {excerpt(rollouts.prompt)}, label {excerpt(rollouts.label)}"
            raise RewardError(
                f"--reward.remote_url {path}: reward_func raised {quoted(error, path)}; it was given {given}"
            ) from error
        return checked(answer, f"--reward.remote_url {path}", rollouts.prompt)

    async def reward(rollouts: Rollouts) -> list[dict[str, Any]]:
        return await asyncio.to_thread(lambda: [grade_one(query, rollouts) for query in rollouts.queries])

    return reward


def _server_reward(urls: list[str], patience: float) -> Reward:
    from openrlhf.utils.agent import SingleTurnAgentExecutor

    client, named = SingleTurnAgentExecutor(urls), f"--reward.remote_url {','.join(urls)}"

    async def reward(rollouts: Rollouts) -> list[dict[str, Any]]:
        prompt, label = [rollouts.prompt], [rollouts.label]
        ask = partial(client._fetch_rewards_via_http, prompts_list=prompt, labels_list=label)
        calls = [_answered(partial(ask, [query]), patience) for query in rollouts.queries]
        try:
            answers = await asyncio.gather(*calls)
        except RuntimeError as error:
            raise NoAnswerError(f"{named}: no answer ({error})") from error
        return [checked(answer[0] if answer else None, named, rollouts.prompt) for answer in answers]

    return reward


async def _answered(ask: Callable[[], Awaitable[Any]], patience: float) -> Any:
    """What `ask` answers, asked again for `patience` seconds; then the RuntimeError of OpenRLHF's last attempt."""
    deadline, pause = time.monotonic() + patience, FIRST_PAUSE
    while True:
        try:
            return await ask()
        except RuntimeError:
            if time.monotonic() + pause > deadline:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
