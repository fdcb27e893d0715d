"""The math verifier as a reward: 1 for a right answer, 0 for any other, and a bonus for the format if asked for.

In a job it is `--reward.remote_url math`; in a reward file of one's own, `grade_math` grades what the file has changed.
Boundary: turns the verifier's grades into rewards.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from prepo_rlhf.config.training import MathOptions
from prepo_rlhf.rewards.contract import Rollouts
from prepo_rlhf.rewards.grading import Gold, Grade
from prepo_rlhf.rewards.verifier import MathVerifier


class MathReward:
    """The reward of `--reward.remote_url math`: an instance has worker processes of its own."""

    def __init__(self, options: MathOptions) -> None:
        self._format_coef = options.format_coef
        self._verifier = MathVerifier(options)

    async def __call__(self, rollouts: Rollouts) -> list[dict[str, Any]]:
        golds = [rollouts.label] * len(rollouts.responses)
        return [self._reward(grade) for grade in await self._verifier.grade_async(rollouts.responses, golds)]

    def _reward(self, grade: Grade) -> dict[str, Any]:
        return {
            "reward": float(grade.correct) + self._format_coef * grade.boxed,
            "scores": float(grade.correct),
            "answer": grade.answer,
            "extra_logs": {
                "timeout_ratio": float(grade.status == "timeout"),
                "unparsable_ratio": float(grade.status == "unparsable"),
                "timing/grading": grade.seconds,
            },
        }


def grade_math(responses: Sequence[str], golds: Sequence[Gold]) -> list[Grade]:
    """Grades of `responses[i]` against `golds[i]` by a verifier with the default options, kept for the next call."""
    return _shared_verifier().grade(responses, golds)


@cache
def _shared_verifier() -> MathVerifier:
    return MathVerifier()
