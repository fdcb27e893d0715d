"""The contract of a reward: what it is given, what it must answer, and the check of every answer.

A reward is foreign code. Its answers enter here, and only finite numbers get any further.
Boundary: values in, numbers or a sentence out; knows neither files nor servers.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prepo_rlhf.files.user_code import RAISED, UserCodeError, excerpt

MOST_NESTED = 8  # lists or tuples around a number


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


class RewardError(UserCodeError):
    """The reward that the user named cannot be used, or answered something else than a reward."""


class NoAnswerError(RewardError):
    """A reward server could not be reached, or gave no answer, after all attempts."""


def checked(answer: Any, source: str, prompt: str) -> dict[str, Any]:
    """A reward's answer to one rollout as numbers.

    Args:
        answer: {"rewards": number, "scores": number, "extra_logs": {name: number}}, the last two optional. A number may
            come in a list, array or tensor that holds nothing else, as OpenRLHF's rewards answer.
        source: what answered, for messages.
        prompt: of the rollout, for messages.
    Raises:
        RewardError: a value is missing, is no number or several, or is not finite.
    """
    where = f"{source}, for the prompt {excerpt(prompt)}"
    if not isinstance(answer, Mapping) or answer.get("rewards") is None:
        raise RewardError(f'{where}: a reward must be a dict with the key "rewards", not {excerpt(answer)}')
    logs = {} if answer.get("extra_logs") is None else answer["extra_logs"]
    if not isinstance(logs, Mapping):
        raise RewardError(f'{where}: "extra_logs" must be a dict of numbers, not {excerpt(logs)}')
    reward = _number(answer["rewards"], "rewards", where)
    score = reward if answer.get("scores") is None else _number(answer["scores"], "scores", where)
    extra_logs = {str(name): _number(value, f"extra_logs[{name!r}]", where) for name, value in logs.items()}
    return {"reward": reward, "scores": score, "extra_logs": extra_logs}


def _number(value: Any, name: str, where: str) -> float:
    """The one finite number that `value` is or holds."""
    try:
        held = value.tolist() if hasattr(value, "tolist") else value  # tensors and arrays
        for _ in range(MOST_NESTED):
            if not isinstance(held, list | tuple) or len(held) != 1:
                break
            held = held[0]
        number = float(held) if isinstance(held, int | float) else None
    except RAISED:  # a value of the user's own class, or an integer beyond all floats
        number = None
    if number is None:
        raise RewardError(f'{where}: "{name}" must be one number, not {excerpt(value)}')
    if not math.isfinite(number):
        raise RewardError(f'{where}: "{name}" is {number}, and only finite numbers can be trained on')
    return number
