"""The math verifier as the reward of a job, and in a reward file of one's own."""

from __future__ import annotations

import asyncio
from typing import Any

from prepo_rlhf.config.training import MathOptions
from prepo_rlhf.rewards.contract import Rollouts
from prepo_rlhf.rewards.math_reward import grade_math
from prepo_rlhf.rewards.sources import make_reward

RESPONSES = [r"so \boxed{\frac12}", "The answer is 0.5", r"\boxed{2}", "no idea", r"\boxed{9^{9^{9^9}}}"]


def rewards(responses: list[str], prompt: str = "Half of 1?", **options: Any) -> list[dict[str, Any]]:
    reward = make_reward("math", MathOptions(timeout=1, num_workers=1, **options))
    rollouts = Rollouts(prompt, "#### 1/2", responses, queries=[prompt + response for response in responses])
    return asyncio.run(reward(rollouts))


def test_one_for_a_right_answer_and_what_was_not_graded_counted() -> None:
    answers = rewards(RESPONSES)
    assert [answer["reward"] for answer in answers] == [answer["scores"] for answer in answers] == [1, 1, 0, 0, 0]
    assert [answer["answer"] for answer in answers] == ["1/2", "1/2", "2", None, None]
    logs = [answer["extra_logs"] for answer in answers]
    assert [log["unparsable_ratio"] for log in logs] == [0, 0, 0, 1, 0]
    assert [log["timeout_ratio"] for log in logs] == [0, 0, 0, 0, 1]
    assert all(log["timing/grading"] > 0 for log in logs) and logs[-1]["timing/grading"] >= 1


def test_a_bonus_for_the_format_is_part_of_the_reward_but_not_of_the_score() -> None:
    answers = rewards(RESPONSES[:4], format_coef=0.25)
    assert [answer["reward"] for answer in answers] == [1.25, 1, 0.25, 0]
    assert [answer["scores"] for answer in answers] == [1, 1, 0, 0]


def test_a_box_in_the_prompt_is_no_answer() -> None:
    prompt = r"Put your final answer within \boxed{}, as in \boxed{1/2}."
    (answer,) = rewards(["I do not know."], prompt, format_coef=0.25)
    assert (answer["reward"], answer["extra_logs"]["unparsable_ratio"]) == (0, 1)


def test_grades_for_a_reward_file_of_ones_own() -> None:
    grades = grade_math([r"\boxed{18}", r"\boxed{19}"], ["so\n#### 18", 18])
    assert [grade.status for grade in grades] == ["correct", "wrong"]
