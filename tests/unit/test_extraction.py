r"""Where the final answer of a response is found, and that of a reference; no text is slow to search."""

from __future__ import annotations

import time
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepo_rlhf.rewards.extraction import Extraction, extract_answer, gold_answer, last_boxed

FRAGMENTS = [r"\boxed{", r"\fbox {", "{", "}", r"\{", r"\}", "\\", "$", "#", "####", "answer", "Answer is", ":", "="]
FRAGMENTS += ["*", "\n", " ", "1", "12,", ".", "-", "/", "%", "\x00", "\ud800", "é"]
HOSTILE = [*FRAGMENTS, r"\boxed{}", r"\boxed{{", "{}", "answer   ", "answer is ", "1,1.1/1%", "$a", "a ", "1/", "1."]


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"so \boxed{5}.", "5"),
        (r"\boxed{1}, no: \boxed{2}", "2"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{ x = \boxed{3} }", "3"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed{\begin{pmatrix} 1 \\ 2 \end{pmatrix}}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        (r"\boxed{1\\}", r"1\\"),
        ("\\boxed{\n  7\n}", "7"),
        (r"\boxed {7} or \fbox{8}", "8"),
        (r"} } \boxed{4} }", "4"),
        (r"{ { \boxed{4} {", "4"),
        (r"\boxed{1} and then \boxed{2", "1"),
        (r"\boxed{1} and then \boxed{\frac{1}{2}", "1"),
        (r"\boxed{never closed, but \boxed{6} is", "6"),
        (r"\boxed{5", None),
        (r"\boxed{5\}", None),
        (r"\boxed 5", "5"),
        (r"\boxedly{5}", None),
        (r"\boxed{}", None),
        ("5", None),
        ("", None),
    ],
)
def test_last_complete_box(response: str, answer: str | None) -> None:
    assert extract_answer(response, "boxed") == answer


def test_an_empty_box_is_a_box() -> None:
    assert last_boxed(r"\boxed{ }") == "" and last_boxed(r"\boxed{") is None


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("The answer is 5.", "5"),
        ("The answer is 3.5.", "3.5"),
        ("The answer is 3.5. As 7 is odd, we are done.", "3.5"),
        ("The answer is .5", ".5"),
        ("THE FINAL ANSWER IS: 1,000.", "1,000"),
        ("the answer is -3/4.\nIs it?", "-3/4"),
        (r"The answer is $\frac{1}{2}$.", r"\frac{1}{2}"),
        ("The answer is the pair $(1, 2)$, since 3. holds", "(1, 2)"),
        ("The answer is $18.", "$18"),
        ("The answer is (A).", "(A)"),
        ("The answer is\n42", "42"),
        ("Answer: 42", "42"),
        ("answer = 42", "42"),
        ("**Answer:** 42", "42"),
        ("**Answer**: 42", "42"),
        ("**Answer: 42**", "42"),
        ("The answer is **3.5**.", "3.5"),
        ("The answer is 5. Wait! The answer is 6.", "6"),
        ("His answer is 24 * 2 = 48, so\n#### 66\n", "66"),
        ("The answer is 5.\n#### Check\nIt is odd.", "5"),
        ("The answer: #### 5", "5"),
        ("It is 17 + 1 = 18.\n#### 18", "18"),
        ("#### 17\n#### 18 \nThat is all.", "18"),
        ("#### 1,000", "1,000"),
        ("The answer is", None),
        ("The answer to it all: 42", None),
        ("Answers: 42", None),
        ("####", None),
        ("### 42", None),
    ],
)
def test_marked_answers(response: str, answer: str | None) -> None:
    assert extract_answer(response, "marked") == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("We get 5, and then 7.", "7"),
        ("so it costs -1,234.5 in all.", "-1,234.5"),
        ("a share of 1/2", "1/2"),
        ("about 50%", "50%"),
        ("it has 3 roots, $x = \\pm 1$ and one more", "x = \\pm 1"),
        ("$x = 1$ is one of 3", "3"),
        ("$5 in all", "5"),
        ("no idea", None),
    ],
)
def test_any_value(response: str, answer: str | None) -> None:
    assert extract_answer(response, "any") == answer


@pytest.mark.parametrize(
    ("response", "boxed", "marked", "any_"),
    [
        ("\\boxed{1} or the answer is 2 or\n#### 3", "1", "1", "1"),
        ("The answer is 2. Or 4\n#### 3", None, "3", "3"),
        ("#### 3\nThe answer is 2. Or 4", None, "2", "2"),
        ("#### 3\nor 4", None, "3", "3"),
        (r"\boxed{} the answer is 2. Or 4", None, "2", "2"),
        ("or 4", None, None, "4"),
        ("or four", None, None, None),
    ],
)
def test_levels_try_the_same_places_in_the_same_order(
    response: str, boxed: str | None, marked: str | None, any_: str | None
) -> None:
    assert [extract_answer(response, level) for level in ("boxed", "marked", "any")] == [boxed, marked, any_]


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("She has 16 - 3 = <<16-3=13>>13 eggs.\n#### 13", "13"),
        ("It costs 2,000 + 125.\n#### 2,125", "2,125"),
        (r"Hence $x = \boxed{\frac{3}{4}}$, as required.", r"\frac{3}{4}"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"\left( 3, \frac{\pi}{2} \right)"),
        (" 025\n", "025"),
        ("The answer is 5", "The answer is 5"),
        (["1", "-1"], "1, -1"),
        (["$\\frac{1}{2}$"], "$\\frac{1}{2}$"),
        ([1, 2.5], "1, 2.5"),
        (18, "18"),
        (-0.5, "-0.5"),
        ("", ""),
        (" ", ""),
        ([], ""),
        (None, ""),
        ("unfinished\n#### ", ""),
    ],
)
def test_gold_answer(gold: Any, answer: str) -> None:
    assert gold_answer(gold) == answer


@given(st.lists(st.sampled_from(FRAGMENTS)).map("".join) | st.text())
def test_nothing_raises(text: str) -> None:
    gold_answer(text)
    for level in get_args(Extraction):
        answer = extract_answer(text, level)
        assert answer is None or (answer and answer in text)


@given(st.text("0123456789+-/ "), st.lists(st.sampled_from(FRAGMENTS)).map("".join))
def test_a_box_is_found_after_any_text(answer: str, before: str) -> None:
    if answer.strip() and not before.endswith("\\"):
        assert last_boxed(rf"{before}\boxed{{{answer}}}") == answer.strip()


@pytest.mark.parametrize("fragment", HOSTILE)
def test_time_is_linear(fragment: str) -> None:
    """In quadratic time, these would take minutes."""
    text = (fragment * 100_000)[:100_000]
    for hostile in (text, text + "}" * 100_000, f"answer: {text}"):
        for level in get_args(Extraction):
            start = time.process_time()
            extract_answer(hostile, level)
            assert time.process_time() - start < 1
