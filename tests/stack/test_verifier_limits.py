r"""No answer hangs the math verifier or takes its memory, and none costs an ordinary answer its grade."""

from __future__ import annotations

import random
import time
from typing import get_args, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worker_processes import is_alive, resident, watch_workers, workers_of

from prepo_rlhf.config.training import MathOptions
from prepo_rlhf.rewards.grading import Grade
from prepo_rlhf.rewards.verifier import MathVerifier

GB = 2**30
ROWS = [[str(7 * row + column) for column in range(300)] for row in range(300)]
ENDLESS = {
    "tower of fives": "5^{5^{5^{5^5}}}",
    "tower of nines": "9^{9^{9^9}}",
    "growing tower": "2^{3^{4^{5^6}}}",
    "factorials": "((((10!)!)!)!)!",
    "powers of powers": "((((2^{1000})^{1000})^{1000})^{1000})^{1000}",
    "binomial": r"\binom{10^9}{5\cdot10^8}",
    "sum": r"\sum_{n=1}^{10^9} \frac{1}{n^n}",
}
TOO_LONG = {
    "100,000 characters": "x+" * 50_000 + "x",
    "a million digits": "7" * 10**6,
    "a million decimals": "0." + "7" * 10**6,
    "parentheses": "(" * 3000 + "x" + ")" * 3000,
    "fractions": r"\frac{1}{1+" * 300 + "x" + "}" * 300,
    "matrix": r"\begin{pmatrix}" + r"\\".join(map("&".join, ROWS)) + r"\end{pmatrix}",
    "list": ",".join(map(str, range(20_000))),
}
GARBAGE = {
    "open braces": "{" * 50 + "1",
    "half a fraction": r"\frac{1}{",
    "control characters": "\x00\x01\x1b[2J\x7f",
    "not UTF-8": b"\xff\xfe \x80 \xc3".decode("utf-8", "surrogateescape"),
    "lone surrogate": "\ud800",
}
EXPANSION = "(a+b)^{5000}"  # endless for whoever expands it before looking at its value somewhere
KILLERS = ENDLESS | TOO_LONG | GARBAGE | {"expansion": EXPANSION}
FRAGMENTS = [r"\frac", r"\sqrt", r"\boxed", r"\text", r"\left(", r"\right)", r"\pm", r"\binom", r"\infty", r"\cup"]
FRAGMENTS += [r"\begin{pmatrix}", r"\end{pmatrix}", r"\\", r"\{", r"\}", r"\circ", r"\sin", r"\log", r"\sum", r"\%"]
FRAGMENTS += [*"{}()[]^_+-*/=<>,.;:!&|$#%~ \n\t\\", *"0123459", "10", "x", "y", "n", "cm", "and", "answer is ", "#### "]
FRAGMENTS += ["\x00", "\x1b", "\ud800", "\udcff", "°", "−", "½", "π", "\u2028", "\U0001f600"]


def boxed(answers: list[str]) -> list[str]:
    return [rf"\boxed{{{answer}}}" for answer in answers]


def ordinary_answers(count: int) -> list[tuple[str, str, str]]:
    """Answer, gold and the status it deserves: integers, fractions, sums and lengths, right and wrong ones."""
    cases = []
    for n in range(1, count + 1):
        answer = [str(n), rf"\frac{{{n}}}{{{n + 1}}}", f"x+{n}", rf"{n}\text{{ cm}}"][n % 4]
        right = [f"0{n}", f"{n}/{n + 1}", f"{n} + x", f"{n}.0"][n % 4]
        wrong = [str(n + 1), f"{n}/{n + 2}", f"x-{n}", f"{n}.5"][n % 4]
        cases.append((answer, right, "correct") if n // 4 % 2 else (answer, wrong, "wrong"))
    return cases


@pytest.mark.parametrize("max_answer_length", [1000, pytest.param(10**7, marks=pytest.mark.long)])
def test_killers_cost_ordinary_answers_nothing(max_answer_length: int) -> None:
    cases = ordinary_answers(1000) + [(killer, "x + 1", "killer") for killer in KILLERS.values()]
    random.Random(0).shuffle(cases)
    answers, golds, _ = map(list, zip(*cases, strict=True))
    options = MathOptions(timeout=2, memory_gb=0.5, max_answer_length=max_answer_length)
    with watch_workers() as watch, MathVerifier(options) as verifier:
        verifier.grade(["1"], ["1"])
        start = time.monotonic()
        grades = verifier.grade(boxed(answers), golds)
        seconds = time.monotonic() - start
    status = {answer: grade.status for answer, grade in zip(answers, grades, strict=True)}
    assert [case for case in cases if case[2] not in ("killer", status[case[0]])] == []
    assert all(status[killer] == "timeout" for killer in ENDLESS.values())
    assert all(status[killer] == "unparsable" for killer in GARBAGE.values()) and status[EXPANSION] == "wrong"
    long = {status[killer] for killer in TOO_LONG.values()}
    assert long == {"unparsable"} if max_answer_length == 1000 else long <= {"timeout", "unparsable", "wrong"}
    stopped = sum(grade.status == "timeout" for grade in grades)
    assert seconds < stopped * (options.timeout + 2) / options.num_workers + 60
    assert watch.peak < (0.5 + 0.25) * GB
    assert len(watch.workers) > stopped and not any(map(is_alive, watch.workers))


@pytest.mark.parametrize(("memory_gb", "status"), [(0.08, "timeout"), (1.0, "unparsable")])
def test_memory_is_limited(memory_gb: float, status: str) -> None:
    """To find that none of 1.5 million braces is closed takes 140 MB."""
    options = MathOptions(memory_gb=memory_gb, timeout=30, num_workers=1)
    with watch_workers() as watch, MathVerifier(options) as verifier:
        assert verifier.grade(["{" * 1_500_000], ["1"])[0].status == status
    assert (watch.peak > 0.17 * GB) == (status == "unparsable")


def test_what_sympy_remembers_leaves_the_next_answer_its_memory() -> None:
    """80 integers of 1.2 MB each, which sympy would keep, in a worker that may take 80 MB."""
    huge = [rf"2^{{{10**7 + n}}}+\frac{{1}}{{{n + 2}}}" for n in range(80)]
    before = workers_of()
    with MathVerifier(MathOptions(memory_gb=0.08, num_workers=1)) as verifier:
        verifier.grade(boxed(["x+1"]), ["1+x"])
        (worker,) = workers_of() - before
        start = resident(worker)
        assert {grade.status for grade in verifier.grade(boxed(huge), ["3"] * 80)} == {"wrong"}
        assert 0 < resident(worker) < start + 0.06 * GB


def test_a_response_too_large_to_receive_is_given_up() -> None:
    """Its worker dies while it receives it."""
    responses = [*boxed([ENDLESS["tower of nines"]]), "x" * (2 * 10**8), *boxed(["3"] * 50)]
    with MathVerifier(MathOptions(timeout=2, memory_gb=0.3)) as verifier:
        status = [grade.status for grade in verifier.grade(responses, ["3"] * 52)]
    assert status == ["timeout"] * 2 + ["correct"] * 50


texts = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join) | st.text(max_size=12)


def test_no_text_raises_or_hangs() -> None:
    statuses = set(get_args(get_type_hints(Grade)["status"]))

    @settings(max_examples=500, deadline=30_000, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(texts, texts), min_size=10, max_size=30), st.booleans())
    def grade(pairs: list[tuple[str, str]], in_box: bool) -> None:
        answers, golds = map(list, zip(*pairs, strict=True))
        grades = verifier.grade(boxed(answers) if in_box else answers, golds)
        assert len(grades) == len(pairs) and {grade.status for grade in grades} <= statuses

    with MathVerifier(MathOptions(timeout=1, extraction="any")) as verifier:
        grade()
