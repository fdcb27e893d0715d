r"""No random pair of different values is graded right, and no answer that a policy could learn is right."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from prepo_rlhf.config.training import MathOptions
from prepo_rlhf.files.rows import lookup, read_rows
from prepo_rlhf.rewards.extraction import gold_answer
from prepo_rlhf.rewards.verifier import MathVerifier

PAIRS, BATCH = 100_000, 5_000
GOLDS = 2_000
ANSWER_KEYS = {
    "math500.jsonl": "answer",
    "aime25.jsonl": "answer",
    "olympiadbench.jsonl": "final_answer",
    "gsm8k_test.jsonl": "answer",
    "asdiv.jsonl": "answer",
}
Value = tuple[str, object]  # the kind, and what is different in different values of it

CHEATS = r"""
0=1 @ 0=0 @ 1=1 @ x=x @ a=b @ x=y=z @ f(x)=f(x) @ 1=x=2=3 @ x=1=2=3=4=5 @ x \approx y @ 2=2=3 @ x-x=0 @ 0\cdot x=0
x=x+1 @ \text{answer} @ answer @ \text{True} @ \text{None} @ null @ True @ \text{all} @ \text{any} @ any number
all real numbers @ x \in \mathbb{R} @ x \in \mathbb{C} @ \mathbb{R} @ \mathbb{C} @ \mathbb{Z} @ \mathbb{N}
(-\infty,\infty) @ [-\infty,\infty] @ (-\infty,0)\cup(0,\infty) @ [0,\infty) @ [0,1000000] @ (-10^{100},10^{100})
-\infty<x<\infty @ x>-\infty @ x<\infty @ x^2\ge0 @ x \ne x @ x<x @ x\ge x @ x>0 or x\le 0 @ x^2+1=0 @ x^2<0
|x|=-1 @ \emptyset @ \{\} @ \{\emptyset\} @ \varnothing @ \{x\} @ \{x : x\in\mathbb{R}\} @ () @ [] @ (,) @ {}
\text{} @ \text{ } @ \infty @ -\infty @ \pm\infty @ \frac{1}{0} @ \frac{0}{0} @ 0/0 @ nan @ NaN @ zoo @ oo @ -oo
inf @ undefined @ \infty-\infty @ \frac{\infty}{\infty} @ \log 0 @ \log(-1) @ \sqrt{-1} @ 0 \cdot \infty @ \frac{}{}
\sqrt{} @ 1e400 @ 10^{-400} @ 1e-400 @ 1,2,3,4,5,6,7,8,9,10 @ 0,1,2,3,4,5,6,7,8,9
\{0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20\} @ 1;2;3;4;5 @ 1 \text{ or } 2 \text{ or } 3
1 or 2 or 3 or 4 or 5 @ (1,2,3,4,5) @ [1,2,3,4,5] @ 0 1 2 3 4 5 6 7 8 9 @ 1 2 3 @ 1, 2, \ldots @ \ldots
1,2,\ldots,1000 @ \text{one of } 1,2,3,4,5 @ \boxed{1}\boxed{2}\boxed{3} @ \boxed{\boxed{5}} @ \boxed{1},\boxed{2}
it could be 0, 1, 2, 3, 4, 5, 6, 7, 8 or 9 @ 5 is the answer, or 6, or 7 @ the answer is 1 or 2 or 3 or 4 or 5 or 6
\int f(x)dx @ \int_0^x f(t) dt @ \sum_{n} a_n @ \lim_{x \to a} f(x) @ f(x) @ \frac{d}{dx}f(x) @ \Gamma(x)
\max(x,y) @ \begin{pmatrix}\end{pmatrix} @ \begin{pmatrix}a\end{pmatrix} @ \begin{cases}1\\2\end{cases} @ \pm x
x \pm y @ \lfloor x\rfloor @ ? @ ! @ ... @ . @ - @ + @ % @ \% @ \$ @ $ @ ^\circ @ \text{ cm} @ cm @ units @ \approx
= @ == @ =x @ x= @ < @ > @ \le @ \\ @ 0.0000000001 @ 10^{-10} @ 99999999999999999999 @ 1.000001x @ x @ y @ n @ a
y=x @ k @ c @ C
"""


def integer(draw: random.Random) -> tuple[str, Value]:
    number = draw.randrange(10 ** draw.choice([1, 2, 4, 8, 16, 30])) * draw.choice([1, -1])
    return str(number), ("exact", Fraction(number))


def rational(draw: random.Random) -> tuple[str, Value]:
    value = Fraction(integer(draw)[0]) / draw.randrange(1, 10 ** draw.choice([1, 2, 4, 8]))
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}", ("exact", value)


def decimal(draw: random.Random) -> tuple[str, Value]:
    places = draw.randrange(1, 12)
    text = f"{draw.randrange(10 ** draw.choice([0, 1, 3, 6]))}.{draw.randrange(10**places):0{places}d}"
    return text, ("decimal", Fraction(text))


def scientific(draw: random.Random) -> tuple[str, Value]:
    mantissa, power = f"{draw.randrange(1, 10)}.{draw.randrange(1000)}", draw.randrange(-400, 400)
    notation = draw.choice([r"{} \times 10^{{{}}}", "{}e{}", r"{} \cdot 10^{{{}}}"])
    return notation.format(mantissa, power), ("decimal", Fraction(mantissa) * Fraction(10) ** power)


def power(draw: random.Random) -> tuple[str, Value]:
    base, exponent = draw.randrange(2, 20), draw.randrange(-60, 60)
    return f"{base}^{{{exponent}}}", ("exact", Fraction(base) ** exponent)


def equation(draw: random.Random) -> tuple[str, Value]:
    factor, constant = draw.randrange(1, 50), draw.randrange(1, 50)
    return f"{factor}x^2+{constant}=0", ("equation", Fraction(factor, constant))


def expression(draw: random.Random) -> tuple[str, Value]:
    root, factor, exponent = draw.choice([2, 3, 5, 6, 7]), draw.randrange(1, 30), draw.randrange(-20, 20)
    if draw.random() < 0.5:
        return f"{factor}x+{root}", ("expression", (factor, root))
    return rf"{factor} \cdot 10^{{{exponent}}}\sqrt{{{root}}}", ("root", factor**2 * root * Fraction(100) ** exponent)


KINDS: list[Callable[[random.Random], tuple[str, Value]]] = [
    integer, rational, decimal, scientific, power, equation, expression,
]  # fmt: skip


def different(first: Value, second: Value) -> bool:
    """Exactly, or beyond six significant digits where one is a decimal."""
    numbers = ("exact", "decimal")
    if first[0] not in numbers or second[0] not in numbers:
        return first[1] != second[1] if first[0] == second[0] else "root" not in (first[0], second[0])
    difference = abs(first[1] - second[1])
    is_near = difference <= Fraction(1, 10**5) * max(abs(first[1]), abs(second[1]))
    return not is_near if "decimal" in (first[0], second[0]) else difference > 0


def random_pairs(count: int) -> list[tuple[str, str]]:
    draw, pairs = random.Random(0), []
    while len(pairs) < count:
        kind = draw.choice(KINDS)
        other = kind if draw.random() < 0.5 else draw.choice(KINDS)
        (answer, value), (gold, gold_value) = kind(draw), other(draw)
        if different(value, gold_value):
            pairs.append((answer, gold))
    return pairs


def test_no_random_pair_of_different_values_is_right() -> None:
    pairs, wrongly_right = random_pairs(PAIRS), []
    with MathVerifier(MathOptions(timeout=60)) as verifier:
        for start in range(0, PAIRS, BATCH):
            batch = pairs[start : start + BATCH]
            grades = verifier.grade([rf"\boxed{{{answer}}}" for answer, _ in batch], [gold for _, gold in batch])
            wrongly_right += [pair for pair, grade in zip(batch, grades, strict=True) if grade.correct]
    assert wrongly_right == []


def test_no_answer_to_everything_is_right(benchmarks: Path) -> None:
    """None is right for golds of two values: `x=1=2=3=4=5` is 5, two boxes are the last one, and nothing else."""
    rows = [(row, key) for name, key in ANSWER_KEYS.items() for row in read_rows(benchmarks / name)]
    golds = random.Random(0).sample(sorted({gold_answer(lookup(row, key)) for row, key in rows}), GOLDS)
    cheats = [cheat.strip() for line in CHEATS.strip().splitlines() for cheat in line.split(" @ ")]
    assert len(cheats) > 100 and len(golds) == GOLDS
    values = {}
    with MathVerifier(MathOptions(timeout=60)) as verifier:
        for cheat in cheats:
            grades = verifier.grade([rf"\boxed{{{cheat}}}"] * GOLDS, golds)
            values[cheat] = {value(gold) for gold, grade in zip(golds, grades, strict=True) if grade.correct}
    assert values["\\boxed{\\boxed{5}}"] == {"5"}
    assert {cheat: right for cheat, right in values.items() if len(right) > 1} == {}


def value(gold: str) -> str:
    """What is right of the equals sign, without dollars, spaces, braces, ASDiv's unit in brackets and `:1`."""
    return re.sub(r"(?<=\d) \(.*\)$|(?<=\d):1$|\\text|[$\s{}()]", "", gold).rpartition("=")[2].casefold()
