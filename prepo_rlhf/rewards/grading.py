"""One response graded against one reference answer: what a worker process of the verifier does.

Boundary: pure function of its arguments, with no limit on time or memory; `verifier` sets both.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from prepo_rlhf.rewards.equivalence import Unparsable, canonical, equivalent
from prepo_rlhf.rewards.extraction import Extraction, extract_answer, gold_answer, last_boxed

Gold = str | int | float | list[str]


@dataclass(frozen=True)
class Grade:
    r"""The verdict on a response.

    Attributes:
        status: "unparsable" is a response without an answer, or with one that cannot be read or is too long; "timeout"
            is one whose grading was stopped at the limit of time or memory.
        answer: the final answer in a form that equal answers share; None where it could not be read.
        boxed: whether the response holds a complete `\boxed{}`, which the format reward is for.
        seconds: time spent on it.
    """

    status: Literal["correct", "wrong", "unparsable", "timeout"]
    answer: str | None = None
    boxed: bool = False
    seconds: float = 0.0

    @property
    def correct(self) -> bool:
        return self.status == "correct"


def grade_response(response: str, gold: Gold, extraction: Extraction, max_answer_length: int) -> Grade:
    """Extract the answer and compare it; `max_answer_length` in characters, longer ones are not looked at."""
    start = time.perf_counter()
    status, canonical_answer = "unparsable", None
    answer, reference = extract_answer(response, extraction), gold_answer(gold)
    if answer is not None and len(answer) <= max(max_answer_length, len(reference)):
        try:
            status = "correct" if equivalent(answer, reference) else "wrong"
            canonical_answer = canonical(reference if status == "correct" else answer)
        except Unparsable:
            pass
    boxed = last_boxed(response) is not None
    return Grade(status, canonical_answer, boxed, time.perf_counter() - start)
