r"""Whether two final answers are equivalent: math-verify, and plain-text notations that it does not know.

Runs in the verifier's worker processes: sympy may never return on a hostile answer.
Boundary: math-verify alone; no limits of its own, no search for the answer.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from math_verify import parse, verify
from sympy import Float, Rational

_NOISE = re.compile(r"\\?\$|\\[!,;:]\s*|\\(?:left|right|displaystyle)(?![a-zA-Z])|~")
_HABITS = {r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\%": "%", "°": r"^\circ"}
_INTEGER = re.compile(r"([+-]?)0*(\d+)")
_BASE = re.compile(r"(\d+)_\{?(\d+)\}?")
_GROUPED = re.compile(r"-?\d{1,3}(?:(?: \d{3})+|(?:,\d{3})+)")
_MIXED = re.compile(r"(-?\d+)(?:\s|\\ )+(\d+)\s*/\s*(\d+)")
_NO_UNIT = (
    r"(?!(?:or|and|to|mod|(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|log|ln|exp|sqrt|"
    r"half|squared|cubed|factorial|dozen|hundred|thousand|million|billion|trillion)\b)"
)
_UNIT = (
    rf"{_NO_UNIT}(?:[A-Za-z]{{3,}}|cm|mm|km|kg|mg|ml|ft|in|mi|hr)"
    rf"(?:(?:\s+|/){_NO_UNIT}[A-Za-z]+)*(?:\^\{{?[23]\}}?)?"
)
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mbox|mathrm|mathbf)\s*\{([^{}]*)\}")
_WORDS = re.compile(r"\(?([A-Za-z][A-Za-z .'-]*)\)?")
_WITH_UNIT = re.compile(rf"(-?[\d.,/]*\d)\s+{_UNIT}")


class Unparsable(ValueError):
    """The answer cannot be parsed and is not the gold's text either."""


def equivalent(answer: str, gold: str) -> bool:
    r"""Whether `answer` is equivalent to `gold`.

    Equal are the same text, the same value (a fraction and its decimal to six digits, 50\% and 0.5 and 50, 90^\circ and
    90, with and without unit), lists and sets in any order, tuples and intervals in theirs, equal expressions,
    `x = 5` and `5`. Numbers with a base are equal in digits and, where both name one, in base.

    Raises:
        Unparsable: neither equal as text, nor to be read.
    """
    answer, gold = normalise(answer), normalise(gold)
    if answer == gold:
        return True
    integers = _integer(answer), _integer(gold)
    if all(integers):
        return integers[0] == integers[1]
    gold_words = _words(gold)
    if gold_words:
        return _words(answer, plain=True) == gold_words
    based = _BASE.fullmatch(answer), _BASE.fullmatch(gold)
    if all(based):
        return based[0].groups() == based[1].groups()
    parsed_gold, parsed = _parse(gold), _parse(answer)
    if not parsed:
        raise Unparsable(answer)
    if verify(parsed_gold, parsed, allow_set_relation_comp=True, timeout_seconds=None):
        return True
    return _equal_but_for_unit(answer, gold, parsed_gold)


def _equal_but_for_unit(answer: str, gold: str, parsed_gold: list[Any]) -> bool:
    """Whether they are equal when the answer's unit in plain letters, or the per cent sign of either, is dropped."""
    with_unit = _WITH_UNIT.fullmatch(answer)
    if with_unit and parsed_gold and getattr(parsed_gold[0], "is_number", False):
        return equivalent(with_unit.group(1), gold)
    bare_answer, bare_gold = (text.removesuffix("%").rstrip("\\ ") for text in (answer, gold))
    if (bare_answer == answer) != (bare_gold == gold):
        return equivalent(bare_answer, bare_gold)
    return False


def _integer(text: str) -> str | None:
    """An integer's canonical text; of any length, while int() refuses more than 4300 digits."""
    match = _INTEGER.fullmatch(text)
    if not match:
        return None
    sign, digits = match.groups()
    return f"-{digits}" if sign == "-" and digits != "0" else digits


def _words(text: str, plain: bool = False) -> str | None:
    r"""The words that a text is made of, where they are words and not a product of variables: in `\text{}`, or long.

    Sympy would take them for products, and "on" for "no". `plain` takes short ones without `\text{}` too.
    """
    bare = _TEXT.sub(r"\1", text).strip()
    words = _WORDS.fullmatch(bare)
    is_text = plain or bare != text or len(bare) > 3
    return words.group(1).strip(" .").casefold() if words and is_text else None


def normalise(answer: str) -> str:
    """One notation for what differs only in typography; mixed numbers in LaTeX, grouped digits joined."""
    text = " ".join(_NOISE.sub("", answer).split()).rstrip(". ")
    for habit, standard in _HABITS.items():
        text = text.replace(habit, standard)
    if _GROUPED.fullmatch(text):
        return re.sub(r"[ ,]", "", text)
    return _MIXED.sub(r"\1\\frac{\2}{\3}", text) if _MIXED.fullmatch(text) else text


def canonical(answer: str) -> str:
    """A text that equal answers mostly share, for majority votes; the answer's own where it cannot be read."""
    text = normalise(answer)
    plain = _integer(text) or _words(text)
    if plain:
        return plain
    parsed = _parse(text)
    if not parsed:
        return text
    value = parsed[0]
    return str(Rational(str(value)) if isinstance(value, Float) else value)


@lru_cache(maxsize=2048)
def _parse(text: str) -> list[Any]:
    """Sympy objects, empty where there is no reading: math-verify's fallback to a bare string is none."""
    return [value for value in parse(rf"\boxed{{{text}}}", parsing_timeout=None) if not isinstance(value, str)]
