r"""Which final answers are equal, different, or cannot be read: tables by notation."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepo_rlhf.rewards.equivalence import Unparsable, canonical, equivalent, normalise

NINES = "9" * 5000

EQUAL = {
    "typography": [
        (r"\left( 1 , 2 \right)", "(1,2)"),
        (r"\dfrac{1}{2}", r"\frac{1}{2}"),
        (r"\displaystyle\tfrac12", r"\frac12"),
        (" $5$. ", "5"),
        (r"2\,\sqrt{3}", r"2\sqrt{3}"),
        ("a  +\n b", "a + b"),
    ],
    "units": [
        (r"5\text{ cm}", "5"),
        ("5", r"5\text{ cm}"),
        (r"5 \text{ cm}^2", "5"),
        ("15", r"15\mbox{ cm}^2"),
        (r"18\,\mathrm{m}", "18"),
        ("18 dollars", "18"),
        ("18 dollars", r"\$18"),
        (r"\$18", "18"),
        ("$18", r"\$18"),
        ("60 km/h", "60"),
        ("60 miles per hour", "60"),
        ("60 square feet", "60"),
        ("60 cm^2", "60"),
        ("3.5 hours", r"\frac72"),
        ("1/2 cup", r"\frac{1}{2}"),
        ("1,000 dollars", "1000"),
        ("5.4", r"5.4 \text{ cents}"),
    ],
    "degrees": [
        (r"90^\circ", "90"),
        ("90", r"90^{\circ}"),
        ("90°", "90"),
        ("90 degrees", r"90^\circ"),
        (r"\frac{270}7", r"\frac{270}7\text{ degrees}"),
    ],
    "per cent": [
        (r"50\%", "50"),
        (r"50\%", "0.5"),
        ("50%", r"50\%"),
        ("50", r"50\%"),
        ("0.5", r"50\%"),
        (r"\frac12", "50%"),
        ("62.5%", "62.5"),
        ("62.5", "62.5%"),
        (r"62.5\ \%", "62.5%"),
        ("0.625", "62.5%"),
    ],
    "mixed numbers": [
        (r"1\frac45", r"\frac95"),
        ("1.8", r"1\frac{4}{5}"),
        ("3 1/2", r"\frac72"),
        ("3 1/2", "3.5"),
        (r"3\ 1/2", "3.5"),
        (r"-1\frac12", "-1.5"),
        ("-1 1/2", "-1.5"),
        (r"137 \frac12", "137.5"),
        ("137.5", r"137 \frac{1}{2}"),
    ],
    "thousands": [
        ("10,080", "10080"),
        ("10080", r"10,\!080"),
        ("10{,}080", "10080"),
        ("1 000", "1000"),
        (r"1\,000", "1000"),
        ("-1,234,567", "-1234567"),
        ("1,000.5", "1000.5"),
        (r"10^{6}", "1,000,000"),
    ],
    "tuples": [("(1,2)", "(1, 2)"), (r"\left(0.5, \sqrt4\right)", r"(\frac12, 2)"), ("(1,2,3)", "(1,2,3)")],
    "intervals": [
        (r"\left(0, 1\right]", "(0,1]"),
        (r"(-\infty, 0.5)", r"(-\infty, \frac12)"),
        (r"x \in [-2, 7]", "[-2,7]"),
        (r"(1,\infty)\cup(-\infty,0)", r"(-\infty,0) \cup (1,\infty)"),
        ("x < 3", r"(-\infty, 3)"),
    ],
    "several answers": [
        ("1,2,3", "3, 1, 2"),
        (r"\{1,2,3\}", r"\{3,2,1\}"),
        (r"\{1,2\}", "2,1"),
        ("1, 2 and 3", "1,2,3"),
        ("x = 1 or x = 2", "1,2"),
        (r"1 \text{ and } 2", "2, 1"),
        (r"\frac12, 2", "2, 0.5"),
        (r"\pm 2", "2, -2"),
        ("-2, 2", r"\pm 2"),
        (r"1 \pm \sqrt2", r"1-\sqrt2, 1+\sqrt2"),
    ],
    "matrices": [
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}"),
        (r"\begin{bmatrix}0.5\\2\end{bmatrix}", r"\begin{pmatrix}\frac12\\2\end{pmatrix}"),
    ],
    "equations": [
        ("x=5", "5"),
        ("5", "x = 5"),
        ("y = 3 + 2x", "y=2x+3"),
        ("2x+3", "y = 2x + 3"),
        ("f(x)=x^2", "x^2"),
    ],
    "words": [
        (r"\text{east}", "east"),
        ("East.", r"\text{east}"),
        (r"\textbf{East}", r"\text{east}"),
        ("No", r"\text{no}"),
        (r"\text{(C)}", "(C)"),
        ("C", r"\text{(C)}"),
        (r"\textbf{(C)}", r"\text{(C)}"),
        ("(C)", "C"),
    ],
    "integers": [
        ("025", "25"),
        ("25", "025"),
        ("+5", "5"),
        ("-0", "0"),
        (NINES, "0" + NINES),
        ("-0" + NINES, "-" + NINES),
        ("52_8", "52_{8}"),
        ("52", "52_8"),
    ],
    "numbers": [
        ("0.5", "1/2"),
        (r"\frac12", ".5"),
        ("2.00", "2"),
        (r"\frac{-1}{2}", r"-\frac12"),
        ("\u22123", "-3"),
        (r"\frac64", "1.5"),
        ("0.333333", r"\frac13"),
        (r"\frac13", "0.333333"),
        (r"1.5 \times 10^{3}", "1500"),
        ("2^{10}", "1024"),
        (r"\binom{5}{2}", "10"),
        ("10!", "3628800"),
        (r"\log_2 8", "3"),
    ],
    "expressions": [
        ("x^2 + 2x + 1", "(x+1)^2"),
        (r"\frac{\sqrt2}{2}", r"\frac{1}{\sqrt2}"),
        (r"2\sqrt2", r"\sqrt8"),
        (r"\sin^2 x + \cos^2 x", "1"),
        ("4i + 3", "3+4i"),
        ("b + a", "a + b"),
        (r"\frac{k^2}{2}", "k^2/2"),
    ],
}

DIFFERENT = {
    "units": [(r"5\text{ cm}", "6"), ("60 km/h", "50"), ("5 million", "5"), ("5 squared", "5"), ("5 dozen", "5")],
    "degrees": [(r"90^\circ", "9"), ("90°", "80")],
    "per cent": [(r"50\%", "5"), (r"50\%", "0.05"), ("0.5", "50"), ("5000%", "0.5"), ("62%", "62.5%")],
    "mixed numbers": [(r"1\frac45", r"\frac45"), ("3 1/2", "1.5"), ("3 1/2", "31/2"), (r"137 \frac12", "68.5")],
    "thousands": [("10,080", "1080"), ("10,080", "10"), ("10,80", "1080"), ("1 000", "1"), ("1.000", "1000")],
    "tuples": [("(2,1)", "(1,2)"), ("(1,3)", "(1,2)"), ("(1,2,3)", "(1,2)"), ("1", "(1,2)")],
    "intervals": [("[0,1]", "(0,1)"), ("[0,1)", "(0,1]"), ("[0,2]", "[0,1]"), ("x>3", "x<3"), (r"x \le 3", "x<3")],
    "several answers": [
        ("1", "1,2"),
        ("1,2", "1"),
        ("1,3", "1,2"),
        ("1,2,3", r"\{1,2\}"),
        ("2", r"\pm 2"),
        (r"\pm 2", "2"),
        (r"\pm 3", r"\pm 2"),
        ("1,2", "12"),
        ("1,2", "1.2"),
    ],
    "matrices": [
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&3\\2&4\end{pmatrix}"),
        (r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    ],
    "equations": [("x=5", "6"), ("x=5", "x=6"), ("y=5", "x=5"), ("y=2x-3", "y=2x+3"), ("x=5", "-5")],
    "words": [
        (r"\text{west}", r"\text{east}"),
        ("west", r"\text{east}"),
        ("seat", r"\text{east}"),
        ("on", r"\text{No}"),
        (r"\text{on}", r"\text{No}"),
        ("Yes", r"\text{No}"),
        ("(B)", r"\text{(C)}"),
        ("3", r"\text{even}"),
    ],
    "integers": [
        ("52", "25"),
        ("250", "25"),
        ("-5", "5"),
        (NINES, NINES[1:]),
        (NINES, NINES[1:] + "8"),
        ("52_8", "52_9"),
        ("53_8", "52_8"),
        ("42", "52_8"),
    ],
    "numbers": [
        (r"-\frac12", r"\frac12"),
        (r"\frac12", "2"),
        ("0.33", r"\frac13"),
        (r"\frac13", "0.33334"),
        ("0.500001", "0.5"),
        ("3.14", r"\pi"),
        (r"\frac{22}{7}", r"\pi"),
        ("2^{10}", "1023"),
    ],
    "expressions": [
        (r"2 \sin x", "2"),
        ("2 sin x", "2"),
        ("2 arcsin x", "2"),
        ("2 x", "2"),
        ("2 or 3", "2"),
        ("5 mod 3", "5"),
        ("x^3", "x^2"),
        ("(x+1)^2", "x^2+1"),
        ("x", "y"),
        (r"\sqrt3", r"\sqrt2"),
        ("3-4i", "3+4i"),
    ],
}


def rows(table: dict[str, list[tuple[str, str]]]) -> list[object]:
    return [pytest.param(*pair, id=f"{name} {n}") for name, pairs in table.items() for n, pair in enumerate(pairs)]


def is_equal(answer: str, gold: str) -> bool:
    try:
        return equivalent(answer, gold)
    except Unparsable:
        return False


@pytest.mark.parametrize(("answer", "gold"), rows(EQUAL))
def test_equal(answer: str, gold: str) -> None:
    assert equivalent(answer, gold)


@pytest.mark.parametrize(("answer", "gold"), rows(DIFFERENT))
def test_different(answer: str, gold: str) -> None:
    assert not is_equal(answer, gold)


@pytest.mark.parametrize("answer", ["", "{", r"\frac{1}{", "?", "\x00", "\udcff", r"\begin{pmatrix}", "x = "])
def test_unparsable(answer: str) -> None:
    with pytest.raises(Unparsable):
        equivalent(answer, "5")


def test_the_same_text_is_equal_even_if_unparsable() -> None:
    assert equivalent(r"\frac{1}{", r" \dfrac{1}{ ")


def test_long_integers_take_no_time() -> None:
    million = "7" * 10**6
    start = time.process_time()
    assert equivalent(million, "00" + million) and not equivalent(million, million[1:])
    assert time.process_time() - start < 2


@given(st.integers(), st.integers())
def test_integers_are_equal_by_value(first: int, second: int) -> None:
    assert equivalent(str(first), str(second)) == (first == second)
    assert equivalent(f"{first:,}", f"+{first}" if first >= 0 else str(first))


@given(st.integers(-(10**4), 10**4), st.integers(1, 99), st.integers(2, 9))
def test_fractions_are_equal_by_value(numerator: int, denominator: int, factor: int) -> None:
    reduced, expanded = rf"\frac{{{numerator}}}{{{denominator}}}", f"{numerator * factor}/{denominator * factor}"
    assert equivalent(expanded, reduced)
    assert not equivalent(rf"\frac{{{numerator + 1}}}{{{denominator}}}", reduced)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r" $\left(1,\;2\right)$ . ", "(1,2)"),
        (r"\dfrac12\%", r"\frac12%"),
        (r"10,\!080", "10080"),
        ("1 000 000", "1000000"),
        ("10,80", "10,80"),
        ("3 1/2", r"3\frac{1}{2}"),
        (r"\leftarrow", r"\leftarrow"),
    ],
)
def test_normalise(text: str, plain: str) -> None:
    assert normalise(text) == plain


@pytest.mark.parametrize(
    "equal",
    [
        ["0.5", "1/2", r"\frac12", r"\dfrac{1}{2}", ".5", "0.50", r"\frac24"],
        ["25", "025", "+25", "$25$", "25.0", "25 cm", r"25^\circ", r"25\text{ apples}"],
        ["1000", "1,000", r"1\,000", r"1{,}000"],
        ["-0.5", r"-\frac12", r"\frac{-1}{2}"],
        ["1,2", "2, 1", r"\{1,2\}"],
        ["(1,2)", r"\left(1, 2\right)"],
        ["x+1", "1 + x"],
        ["C", "(C)", r"\text{C}", r"\text{(C)}"],
        [r"\text{East}", "east"],
        [NINES, "0" + NINES],
        ["{", " { "],
    ],
)
def test_canonical_is_shared_by_equal_answers(equal: list[str]) -> None:
    assert len({canonical(answer) for answer in equal}) == 1


def test_canonical_tells_different_answers_apart() -> None:
    answers = ["1", "2", "-1", "0.5", "0.25", "x", "x+1", "(1,2)", "(2,1)", "1,3", "[0,1]", r"\text{east}", "west", "{"]
    assert len({canonical(answer) for answer in answers}) == len(answers)
