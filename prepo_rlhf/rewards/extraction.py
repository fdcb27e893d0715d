r"""Finding the final answer in a response, and in a dataset's reference solution.

Boundary: standard library only. Every search is linear in the text, so that no response can hang it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

Extraction = Literal["boxed", "marked", "any"]
"""Where an answer may stand: in `\boxed{}` only; also after "the answer is" or `####`; or anywhere."""

_BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_PHRASE = re.compile(r"\banswer[\s*]*(?:\bis\b|[:=])\s*:?\s*", re.IGNORECASE)
_INLINE_MATH = re.compile(r"\$([^$\n]+)\$")
_NUMBER = re.compile(r"-?(?:\d[\d,]*)?\.?\d+(?:/\d+)?%?")
_SENTENCE_END = re.compile(r"\.(?:\s|$)|\n")


def extract_answer(response: str, extraction: Extraction) -> str | None:
    r"""The final answer of a response, as it stands there; None where there is none.

    The last complete `\boxed{}` counts; without one, what follows `####` on the last line; then the last "answer is" or
    "answer:"; then the last `####` on any line; then, with "any", the last formula between dollar signs or number,
    whichever comes later.
    """
    marked = (last_boxed, _after_closing_hashes, _after_phrase, _after_hashes)
    finders = {"boxed": (last_boxed,), "marked": marked, "any": (*marked, _last_value)}
    for find in finders[extraction]:
        answer = find(response)
        if answer:
            return answer
    return None


def gold_answer(gold: str | int | float | Sequence[str] | None) -> str:
    r"""The reference answer of a dataset's row.

    Args:
        gold: the answer itself, a solution that ends in `#### 18` (GSM8K) or holds `\boxed{18}` (MATH), a number, or
            a list (OlympiadBench), of which every member must be given, in any order.
    Returns:
        the answer alone; empty where the row has none.
    """
    if isinstance(gold, str):
        after_hashes = _after_hashes(gold)
        return (last_boxed(gold) or gold.strip()) if after_hashes is None else after_hashes
    if isinstance(gold, Sequence):
        return ", ".join(gold_answer(member) for member in gold)
    return "" if gold is None else str(gold)


def last_boxed(text: str) -> str | None:
    r"""What the `\boxed{}` that opens last among the closed ones holds: the inner one of two nested."""
    open_braces: list[tuple[int, bool]] = []
    found: tuple[int, int] | None = None
    for brace in _BRACES.finditer(text):
        token = brace.group()
        if token.endswith("{") and token != r"\{":
            open_braces.append((brace.end(), token != "{"))
        elif token == "}" and open_braces:
            start, is_box = open_braces.pop()
            if is_box and (found is None or start > found[0]):
                found = (start, brace.start())
    return text[slice(*found)].strip() if found else None


def _after_phrase(text: str) -> str | None:
    ends = [match.end() for match in _PHRASE.finditer(text)]
    if not ends:
        return None
    line = text[ends[-1] :].split("\n", 1)[0]
    formula = _INLINE_MATH.search(line)
    return (formula.group(1) if formula else _SENTENCE_END.split(line, 1)[0]).strip(" *_:")


def _after_closing_hashes(text: str) -> str | None:
    """GSM8K's way to end; on any other line they may stand for a heading."""
    return _after_hashes(text.rstrip().rpartition("\n")[2])


def _after_hashes(text: str) -> str | None:
    _, found, rest = text.rpartition("####")
    return rest.strip().split("\n", 1)[0].strip() if found else None


def _last_value(text: str) -> str | None:
    last, value = -1, None
    for pattern, group in ((_INLINE_MATH, 1), (_NUMBER, 0)):
        for match in pattern.finditer(text):
            if match.end() > last:
                last, value = match.end(), match.group(group)
    return value.strip() if value else None
