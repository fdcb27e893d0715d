r"""Words in answers: those that are the answer ("east", "no"), and those that change a value ("million", "halves").

A word that changes a value is computed; no word is ever dropped here. Boundary: standard library only.
"""

from __future__ import annotations

import re

from prepo_rlhf.rewards.units import unwrap

_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mbox|mathrm|mathbf)\s*\{([^{}]*)\}")
_WORDS = re.compile(r"\(?([A-Za-z][A-Za-z .'-]*)\)?")
_SHORT_WORDS = frozenset(
    """no on yes odd all any one two six ten red tie win won lie is it in at as by or so up us we he me my go do if
    of an am be to the and not but top low big new old few his her him she who why how now day dog cat god own
    owe woe net pie sum saw was war raw law tar rat art""".split()
)  # fmt: skip
_POWERS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_PARTS = {
    name: number
    for number, names in enumerate(
        "half|halves third quarter|fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split(), start=2
    )
    for name in names.split("|")
} | {"hundredth": 100, "thousandth": 1000, "millionth": 10**6}
_MULTIPLES = {"dozen": 12, "score": 20, "gross": 144, "pair": 2}
_SUFFIXES = {"squared": "^{2}", "cubed": "^{3}", "factorial": "!", "percent": "%", "pct": "%"}
_LAST_WORD = re.compile(r"(.*?[\d})!%a-z])\s*(?:-\s*)?\b([A-Za-z]+)", re.DOTALL)
_PROSE = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{3,}\s+[A-Za-z]{2,}(?![A-Za-z])")


def words(text: str, plain: bool = False) -> str | None:
    r"""The words that a text is made of, where they are no product of variables: in `\text{}`, long, a short word of
    English, or capitalised.

    Sympy would take them for products, and "on" for "no". `plain` takes any short ones.
    """
    bare = _TEXT.sub(r"\1", text).strip()
    match = _WORDS.fullmatch(bare)
    if not match:
        return None
    word = match.group(1).strip(" .").casefold()
    is_name = len(bare) > 1 and bare.istitle()
    return word if plain or bare != text or len(bare) > 3 or is_name or word in _SHORT_WORDS else None


def is_prose(text: str) -> bool:
    """Whether words follow each other, as no formula has them."""
    return bool(_PROSE.search(unwrap(text)))


def compute_words(text: str) -> str | None:
    r"""A number with a word that changes its value, as a formula: "5 million" as `5 \times 10^{6}`; else None."""
    match = _LAST_WORD.fullmatch(unwrap(text))
    if not match:
        return None
    head, word = match[1].strip(), match[2].casefold()
    singular = word if word in _PARTS or word in _MULTIPLES else word.removesuffix("s")
    if word in _SUFFIXES:
        return (head if re.fullmatch(r"\d+", head) or _SUFFIXES[word] == "%" else f"({head})") + _SUFFIXES[word]
    if not re.search(r"[\d})!]$", head):
        head = compute_words(head) or ""  # "5 hundred thousand"
    if not head:
        return None
    if singular in _POWERS:
        before = re.fullmatch(r"(.*) \\times 10\^\{(\d+)\}", head)
        value, power = (before[1], int(before[2])) if before else (head, 0)
        return rf"{value} \times 10^{{{power + _POWERS[singular]}}}"
    if singular in _MULTIPLES:
        return rf"{_MULTIPLES[singular]} \cdot ({head})"
    return rf"\frac{{{head}}}{{{_PARTS[singular]}}}" if singular in _PARTS else None
