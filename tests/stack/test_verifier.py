r"""The math verifier on every gold of the real benchmarks, right and wrong, and as a pool that is shared."""

from __future__ import annotations

import asyncio
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sympy

from prepo_rlhf.config.training import MathOptions
from prepo_rlhf.files.rows import lookup, read_rows
from prepo_rlhf.rewards.grading import Grade
from prepo_rlhf.rewards.verifier import MathVerifier

ANSWER_KEYS = {
    "math500.jsonl": "answer",
    "aime24.jsonl": "answer",
    "aime25.jsonl": "answer",
    "olympiadbench.jsonl": "final_answer",
    "gsm8k_test.jsonl": "answer",
    "gsm8k_train.jsonl": "answer",
    "dapo_math_17k.parquet": "reward_model.ground_truth",
}
KILLER = r"\boxed{9^{9^{9^9}}}"
INTEGER = re.compile(r"-?\d+")
ORNAMENT = re.compile(r"\\?[$%]|\\!|\\,|\s|~|\\left|\\right|\^\{?\\circ\}?|\\(?:text|mbox)\{[^}]*\}(?:\^2)?|^[a-zA-Z]=")
ARITHMETIC = re.compile(r"(?:[\d.+\-*/()]|sqrt|pi)+")


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    with MathVerifier() as verifier:
        yield verifier


@pytest.fixture(scope="module")
def golds(benchmarks: Path) -> list[Any]:
    return [lookup(row, key) for name, key in ANSWER_KEYS.items() for row in read_rows(benchmarks / name)]


def final_answer(gold: str | list[str]) -> str:
    """A gold's answer alone, without the verifier's own search for it."""
    return gold[0] if isinstance(gold, list) else gold.rsplit("#### ", 1)[-1]


@cache
def value(answer: str) -> float | str:
    """A number where simple substitutions make one of an answer, or else its bare text, without the verifier's help."""
    bare = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", ORNAMENT.sub("", answer))
    text = re.sub(r"\\d?frac(\d)(\d)", r"\\frac{\1}{\2}", bare)
    text = re.sub(r"\\sqrt\{?(\d+)\}?", r"sqrt(\1)", text)
    text = re.sub(r"\\d?frac\{([^{}]*)\}\{([^{}]*)\}", r"((\1)/(\2))", text).replace(r"\pi", "pi")
    text = re.sub(r"(?<=[\d)])(?=sqrt|pi|\()", "*", text)
    return float(sympy.sympify(text)) if ARITHMETIC.fullmatch(text) else bare


def different(first: str, second: str) -> bool:
    values = value(first), value(second)
    return abs(values[0] - values[1]) > 1e-3 if all(isinstance(v, float) for v in values) else values[0] != values[1]


def not_right(responses: list[str], golds: list[Any], grades: list[Grade]) -> list[tuple[str, Any, Grade]]:
    return [case for case in zip(responses, golds, grades, strict=True) if not case[-1].correct]


def test_every_gold_is_right(verifier: MathVerifier, golds: list[Any]) -> None:
    responses = [rf"Thus it is $\boxed{{{final_answer(gold)}}}$." for gold in golds]
    assert len(golds) > 27_000
    assert not_right(responses, golds, verifier.grade(responses, golds)) == []


def test_every_reference_solution_is_right(verifier: MathVerifier, benchmarks: Path) -> None:
    gsm8k = [row["answer"] for name in ("test", "train") for row in read_rows(benchmarks / f"gsm8k_{name}.jsonl")]
    math = read_rows(benchmarks / "math500.jsonl")
    responses, golds = gsm8k + [row["solution"] for row in math], gsm8k + [row["answer"] for row in math]
    assert not_right(responses, golds, verifier.grade(responses, golds)) == []


def test_no_other_problems_answer_is_right(verifier: MathVerifier, golds: list[Any]) -> None:
    draw, answers = random.Random(0), [final_answer(gold) for gold in golds]
    harder = sorted({answer for answer in answers if not INTEGER.fullmatch(answer)})
    pairs: list[tuple[str, str]] = []
    while len(pairs) < 2000:
        answer = draw.choice(harder if len(pairs) % 4 < 2 else answers)
        gold = draw.choice(harder if len(pairs) % 2 else answers)
        if different(answer, gold):
            pairs.append((answer, gold))
    grades = verifier.grade([rf"\boxed{{{answer}}}" for answer, _ in pairs], [gold for _, gold in pairs])
    assert sum(gold in harder for _, gold in pairs) >= 1000
    assert [pair for pair, grade in zip(pairs, grades, strict=True) if grade.correct] == []


def test_a_grade_says_what_was_found(verifier: MathVerifier) -> None:
    responses = [r"\boxed{\frac{2}{4}}", "the answer is 7.", r"\boxed{\frac{1}{}", "no idea", r"\boxed{?}", "#### 1/2"]
    grades = verifier.grade(responses, ["0.5"] * 6)
    found = [(grade.status, grade.answer, grade.boxed) for grade in grades]
    assert found == [
        ("correct", "1/2", True),
        ("wrong", "7", False),
        ("unparsable", None, False),
        ("unparsable", None, False),
        ("unparsable", None, True),
        ("correct", "1/2", False),
    ]
    assert all(0 < grade.seconds < 5 for grade in grades)


def test_golds_of_every_kind(verifier: MathVerifier) -> None:
    golds = [18, 0.5, "so\n#### 18", r"so \boxed{18}", ["1", "2"], [r"$x=\frac12$"]]
    grades = verifier.grade([rf"\boxed{{{text}}}" for text in ("18", "1/2", "18", "18", "2, 1", "0.5")], golds)
    assert all(grade.correct for grade in grades)


def test_options_reach_the_workers() -> None:
    responses = [r"\boxed{1}", "the answer is 1", "1", rf"\boxed{{{'0' * 20}1}}", KILLER]
    with MathVerifier(MathOptions(extraction="boxed", timeout=1, max_answer_length=20, num_workers=1)) as verifier:
        strict = [grade.status for grade in verifier.grade(responses, ["1"] * 5)]
    with MathVerifier(MathOptions(extraction="any", timeout=1, num_workers=1)) as verifier:
        lenient = [grade.status for grade in verifier.grade(responses, ["1"] * 5)]
    assert strict == ["correct", "unparsable", "unparsable", "unparsable", "timeout"]
    assert lenient == ["correct", "correct", "correct", "correct", "timeout"]


def test_a_gold_longer_than_the_limit_can_be_answered() -> None:
    gold = " + ".join(f"x_{{{n}}}" for n in range(20))
    with MathVerifier(MathOptions(max_answer_length=20, num_workers=1)) as verifier:
        assert verifier.grade([rf"\boxed{{{gold}}}"], [gold])[0].correct


def test_a_bug_in_the_grading_raises(verifier: MathVerifier) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(RecursionError):
        verifier.grade([r"\boxed{1}"] * 3, ["1", endless, "1"])
    with pytest.raises(TypeError):
        verifier.grade([None], ["1"])  # type: ignore[list-item]
    assert verifier.grade([r"\boxed{1}"], ["1"])[0].correct


def test_as_many_golds_as_responses(verifier: MathVerifier) -> None:
    assert verifier.grade([], []) == []
    with pytest.raises(ValueError):
        verifier.grade(["1", "2"], ["1"])


def test_threads_and_event_loops_share_a_verifier(verifier: MathVerifier) -> None:
    right: Counter[str] = Counter()

    async def several_batches(name: str) -> None:
        batches = [[str(number) for number in range(start, start + 40)] for start in range(5)]
        calls = [verifier.grade_async([rf"\boxed{{{n}}}" for n in numbers], numbers[:20] * 2) for numbers in batches]
        for numbers, grades in zip(batches, await asyncio.gather(*calls), strict=True):
            assert [grade.answer for grade in grades] == numbers
            right[name] += sum(grade.correct for grade in grades)

    threads = [threading.Thread(target=asyncio.run, args=(several_batches(name),)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == {"a": 100, "b": 100, "c": 100}


def test_the_event_loop_is_free_while_workers_grade() -> None:
    async def longest_pause(verifier: MathVerifier) -> float:
        grading, pauses, last = asyncio.create_task(verifier.grade_async([KILLER], ["1"])), [], time.monotonic()
        while not grading.done():
            await asyncio.sleep(0.01)
            pauses.append(time.monotonic() - last)
            last = time.monotonic()
        return max(pauses)

    with MathVerifier(MathOptions(timeout=1, num_workers=1)) as verifier:
        verifier.grade(["1"], ["1"])
        assert asyncio.run(longest_pause(verifier)) < 0.5


def test_closing_gives_up_what_is_being_graded() -> None:
    outcome: list[BaseException] = []

    def grade() -> None:
        with pytest.raises(RuntimeError, match="closed") as caught:
            verifier.grade([KILLER] * 4, ["1"] * 4)
        outcome.append(caught.value)

    verifier = MathVerifier(MathOptions(timeout=100))
    verifier.grade(["1"], ["1"])
    thread = threading.Thread(target=grade)
    thread.start()
    time.sleep(1)
    verifier.close()
    thread.join(timeout=20)
    assert outcome
    verifier.close()
