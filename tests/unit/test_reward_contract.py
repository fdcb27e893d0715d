"""What a reward may answer, and the sentence for every other answer."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch

from prepo_rlhf.rewards.contract import RewardError, checked

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "value",
    [
        1, 1.0, True, [1.0], (1,), [[1]], torch.tensor(1.0), torch.tensor([1]), torch.tensor([[True]]),
        torch.ones(1, dtype=torch.bfloat16), torch.ones(1, requires_grad=True), np.float32(1), np.array([1.0]),
        np.int64(1),
    ],
    ids=repr,
)  # fmt: skip
def test_one_number_in_any_wrapping(value: Any) -> None:
    answer = checked({"rewards": value, "scores": value, "extra_logs": {"a": value}}, "r.py", "p")
    assert answer == {"reward": 1.0, "scores": 1.0, "extra_logs": {"a": 1.0}}
    assert all(type(number) is float for number in (answer["reward"], answer["scores"], answer["extra_logs"]["a"]))


@pytest.mark.parametrize("answer", [{"rewards": 0.5}, {"rewards": 0.5, "scores": None, "extra_logs": None}])
def test_scores_and_logs_are_optional(answer: dict[str, Any]) -> None:
    assert checked(answer, "r.py", "p") == {"reward": 0.5, "scores": 0.5, "extra_logs": {}}


NO_NUMBERS = [
    "1.0", "", [], (), {}, [1.0, 2.0], torch.tensor([]), torch.tensor([1.0, 0.0]), torch.eye(2), np.zeros(3), {"a": 1},
    [None], [[]], ["1"], b"1", 1j, Decimal("1"), object, {1.0}, len,
]  # fmt: skip
NOT_FINITE = [NAN, INF, -INF, [NAN], torch.tensor(NAN), torch.tensor([INF]), np.float64("nan"), np.array([-INF])]


@pytest.mark.parametrize("value", [*NO_NUMBERS, *NOT_FINITE], ids=repr)
@pytest.mark.parametrize("key", ["rewards", "scores", "extra_logs"])
def test_anything_else_is_refused_by_its_name(key: str, value: Any) -> None:
    answer = {"rewards": 1.0} | ({"extra_logs": {"length": value}} if key == "extra_logs" else {key: value})
    with pytest.raises(RewardError) as told:
        checked(answer, "--reward.remote_url r.py", "What is 1+1?")
    message = str(told.value)
    name = "extra_logs['length']" if key == "extra_logs" else key
    assert message.startswith("--reward.remote_url r.py, for the prompt 'What is 1+1?': ") and f'"{name}"' in message
    assert ("finite" in message) == any(value is bad for bad in NOT_FINITE) and "\n" not in message


@pytest.mark.parametrize("answer", [None, 1.0, [1.0], "1", {}, {"reward": 1.0}, {"rewards": None}, {"scores": 1.0}])
def test_an_answer_without_rewards_is_refused(answer: Any) -> None:
    with pytest.raises(RewardError, match='must be a dict with the key "rewards", not '):
        checked(answer, "r.py", "p")


@pytest.mark.parametrize("logs", ["text", 1.0, [1.0], torch.ones(1)], ids=repr)
def test_logs_are_a_dict(logs: Any) -> None:
    with pytest.raises(RewardError, match='"extra_logs" must be a dict of numbers, not '):
        checked({"rewards": 1.0, "extra_logs": logs}, "r.py", "p")


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(RewardError) as told:
        checked({"rewards": "x" * 10_000}, "r.py", "y" * 10_000)
    assert len(str(told.value)) < 300 and math.isfinite(len(str(told.value)))
