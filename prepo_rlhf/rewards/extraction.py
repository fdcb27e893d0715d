r"""Finding the final answer in a response, and in a dataset's reference solution.

Boundary: standard library only. Every search is linear in the text, so that no response can hang it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

Extraction = Literal["boxed", "marked", "any"]
"""Where an answer may stand: in `\boxed{}` only; also after "the answer is" or `####`; or anywhere."""

_BRACES = re.compile(
    r"\\(?:boxed|fbox)(?:\s*(?P<brace>\{)|(?P<digits>\d[\d.,]*)|"
    r"\s+(?P<bare>[^\s{}$\\][^\s{}$]*|\\(?!boxed|fbox)[a-zA-Z]+(?:\{[^{}$]*\})*))"
    r"|\\.|[{}]",
    re.DOTALL,
)
_PHRASE = re.compile(r"\b(?:answer[\s*]*(?:\bis\b|[:=])|answers\s+are\b)\s*:?\s*", re.IGNORECASE)
_INLINE_MATH = re.compile(r"\$([^$\n]+)\$")
_NUMBER = re.compile(r"-?(?:\d[\d,]*)?\.?\d+(?:/\d+)?%?")
_SENTENCE_END = re.compile(r"\.(?:\s|$)|\n")
_VERB = re.compile(r"(?<=\s)(?:is|are|equals|be)\s+(?=\S)")
_REASON = re.compile(
    r"[,;]?\s(?:because|since|as|so|which|where|when|hence|thus|therefore|but|for|by|and\s(?:we|this|that|so|the))\b"
    r"|(?:[;:]|\s[-–—])\s+(?=[A-Za-z]{2})|\s\((?=[a-z]{3}[a-z -]*\))"
)
_FILLER = re.compile(
    r"(?:(?:approximately|about|roughly|around|exactly|simply|just|therefore|thus|then|clearly|indeed|equal\sto|given\sby)"
    r"[,:]?\s)*",
    re.IGNORECASE,
)
_VALUE = re.compile(r"[\d$\\(\[{.-]|[A-Za-z](?![A-Za-z])")
_FORMULAS = re.compile(r"\$[^$\n]+\$(?:\s*(?:,|;|(?:,\s*)?(?:and|or)\s)\s*\$[^$\n]+\$)+")


def extract_answer(response: str, extraction: Extraction) -> str | None:
    r"""The final answer of a response, as it stands there; None where there is none.

    The last complete `\boxed{}` with something in it counts; without one, what follows `####` on the last line; then
    the last "answer is", "answers are" or "answer:", of whose sentence the value counts, without the words around it
    and the reason; then the last `####` on any line; then, with "any", the last formula between dollar signs or number,
    whichever is later.
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
    r"""What the last `\boxed{}` with something in it holds, by where it opens, or `\boxed 5`; empty if all are."""
    open_braces: list[tuple[int, bool]] = []
    boxes: list[tuple[bool, int, int]] = []  # whether something is in it, start, end
    for brace in _BRACES.finditer(text):
        token = brace.group()
        if brace["bare"] or brace["digits"]:
            boxes.append((True, *brace.span("bare" if brace["bare"] else "digits")))
        elif token == "{" or brace["brace"]:
            open_braces.append((brace.end(), token != "{"))
        elif token == "}" and open_braces:
            start, is_box = open_braces.pop()
            if is_box:
                boxes.append((bool(text[start : brace.start()].strip()), start, brace.start()))
    if not boxes:
        return None
    _, start, end = max(boxes)
    content = text[start:end].strip()
    return content if text[start - 1] == "{" else content.rstrip(".,;:")


def _after_phrase(text: str) -> str | None:
    ends = [match.end() for match in _PHRASE.finditer(text)]
    if not ends:
        return None
    line = text[ends[-1] :].split("\n", 1)[0]
    sentence = _SENTENCE_END.split(line, maxsplit=1)[0]
    return (_value_in(sentence) if "$" in sentence or "$" not in line else _value_in(line)).strip(" *_:,")


def _value_in(sentence: str) -> str:
    """The value that a sentence states: what follows its verb, without the reason; of several formulas that a list does
    not join, the first."""
    outside = _INLINE_MATH.sub(lambda formula: "$" * len(formula.group()), sentence)  # where words are no formula's
    verbs = list(_VERB.finditer(outside))
    begins = (0, verbs[-1].end() if verbs else 0)
    starts = [filler.end() if (filler := _FILLER.match(outside, begin)) else begin for begin in begins]
    is_first = bool(_VALUE.match(outside, starts[0]) and not _VALUE.match(outside, starts[1]))
    reason = _REASON.search(outside, starts[0] + 1)
    if is_first or not verbs or (reason and reason.start() < verbs[-1].start()):
        start, end = starts[0], verbs[-1].start() if verbs else len(outside)
    else:
        start, end = starts[1], len(outside)
        reason = _REASON.search(outside, start + 1)
    value = sentence[start : min(end, reason.start()) if reason else end]
    formula = _INLINE_MATH.search(value)
    if not formula:
        return value
    several = _FORMULAS.search(value)
    return several.group() if several and several.start() <= formula.start() else formula.group(1)


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
