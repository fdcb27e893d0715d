r"""Whether two final answers are equivalent: words, numbers with units, lists, tuples, equations, expressions.

An answer is taken apart as text, into terms and equations and a number with its unit, and what cannot be taken apart is
compared as formulas. Runs in the verifier's worker processes: sympy may never return on a hostile answer.
Boundary: no limits of its own, no search for the answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from prepo_rlhf.rewards.equations import is_relation, same_relation
from prepo_rlhf.rewards.formulas import read_formula
from prepo_rlhf.rewards.notation import is_enclosed, normalise, split
from prepo_rlhf.rewards.numerals import close, read_numeral
from prepo_rlhf.rewards.pairs import both
from prepo_rlhf.rewards.units import contradict, split_unit
from prepo_rlhf.rewards.values import close_to, equal
from prepo_rlhf.rewards.words import compute_words, is_prose, words

_INTEGER = re.compile(r"([+-]?)0*(\d+)")
_BASE = re.compile(r"(\d+)_\{?(\d+)\}?")
_EQUALS = re.compile(r"(?<![<>!\\:=])=(?!=)")
_CONNECTIVE = r"(?:\\text\s*\{\s*,?\s*(?:and|or)\s*\}|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z]))"
_SEPARATOR = re.compile(rf"\s*(?:[,;]\s*{_CONNECTIVE}?|{_CONNECTIVE})\s*")
_COMMA = re.compile(r"\s*[,;]\s*")
_SEMICOLON = re.compile(r"\s*;\s*")
_ROW, _CELL = re.compile(r"\\\\"), re.compile("&")
_BRACES = re.compile(r"\\?\{(.*?)\\?\}", re.DOTALL)
_BRACKETS = re.compile(r"([(\[])(.*)([)\]])", re.DOTALL)
_MATRIX = re.compile(r"[\[(]?\\begin\{([bp]?matrix)\}(.*)\\end\{\1\}[\])]?", re.DOTALL)
_MEMBER = re.compile(r"([A-Za-z])\s*\\in(?![a-z])\s*")
_NAME = re.compile(r"(?:[A-Za-z_'{}\\() ,|:/]|_\{?\d\}?|\^\{?-1\}?)+")
_CALL = re.compile(r"[A-Za-z]'*\([^()]*\)")
_DEGREES = re.compile(r"(.*[\d)}i])\s*\^\s*\{?\s*\\circ\s*\}?\s*(?:\\(?:text|mathrm)\{\s*[CF]\s*\}|[CF])?", re.DOTALL)
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_EULER = re.compile(r"\d+e[+-]\d+")


class Unparsable(ValueError):
    """The answer cannot be parsed and is not the gold's text either."""


def equivalent(answer: str, gold: str) -> bool:
    r"""Whether `answer` is equivalent to `gold`.

    Equal are the same text, the same value (exactly, or to six significant digits beside a decimal; 50\% and 0.5 and
    50, 90^\circ and 90, with and without unit), lists and sets in any order, tuples and intervals in theirs, equal
    expressions, the same equations, `x = 5` and `5`. Numbers with a base are equal in digits and, where both name one,
    in base.

    Raises:
        Unparsable: neither equal as text, nor to be read.
    """
    return _equal(normalise(answer), normalise(gold))


def _equal(answer: str, gold: str) -> bool:
    if not answer:
        raise Unparsable(answer)
    if answer == gold:
        return True
    integers = _integer(answer), _integer(gold)
    if all(integers):
        return integers[0] == integers[1]
    if numerals := both(read_numeral(answer), read_numeral(gold)):
        return close(*numerals)
    if gold_words := words(gold):
        return words(answer, plain=True) == gold_words
    if based := both(_BASE.fullmatch(answer), _BASE.fullmatch(gold)):
        return based[0].groups() == based[1].groups()
    for compare in (_as_sequences, _as_lists, _as_equations, _as_tuples, _as_quantities):
        verdict = compare(answer, gold)
        if verdict is not None:
            return verdict
    return _as_formulas(answer, gold)


def _as_sequences(answer: str, gold: str) -> bool | None:
    """Sequences with dots: as many terms, equal one by one."""
    if r"\ldots" not in answer and r"\ldots" not in gold or any(map(read_numeral, (answer, gold))):
        return None
    texts = [_BRACES.sub(r"\1", text) for text in (answer, gold)]
    terms = [[term.strip() for term in split(text, _COMMA)] for text in texts]
    if "".join(texts[0].split()) == "".join(texts[1].split()):
        return True
    return len(terms[0]) == len(terms[1]) > 1 and _equal_terms(*terms)


def _as_lists(answer: str, gold: str) -> bool | None:
    r"""Lists and sets: every term of either is one of the other's, in any order; beside a tuple, in its order."""
    lists = _list(answer), _list(gold)
    if lists == (None, None):
        return None
    if not all(lists):
        answer, gold = (_named_tuple(text) or text for text in (answer, gold))
    tuples = _tuple(answer), _tuple(gold)
    for given, other in zip(lists, reversed(tuples), strict=True):
        if given and other and not given == [answer] and other[0] == "()":
            first, second = (part[1] if part else terms or [] for part, terms in zip(tuples, lists, strict=True))
            return _equal_terms(first, second)
    terms = [found or [text] for found, text in zip(lists, (answer, gold), strict=True)]
    if len(terms[0]) == 1 or len(terms[1]) == 1:
        nothing = None in lists and r"\emptyset" in (terms[0][0], terms[1][0])
        return len(terms[0]) == len(terms[1]) and not nothing and _equal(terms[0][0], terms[1][0])
    missing = list(terms[0])
    for member in terms[1]:
        matches = [term for term in terms[0] if _equal(term, member)]
        if not matches:
            return False
        missing = [term for term in missing if term not in matches]
    return not missing


def _as_equations(answer: str, gold: str) -> bool | None:
    """What an equation says of its left side, beside a value; two equations by what both sides say."""
    sides = [split(text, _EQUALS) for text in (answer, gold)]
    sides = [[part.strip() for part in parts] for parts in sides]
    if any("" in parts for parts in sides):
        raise Unparsable(answer)
    members = [match[1] for text in (answer, gold) if (match := _MEMBER.match(text))]
    if members and members[0] == members[-1]:
        return _equal(_MEMBER.sub("", answer, count=1), _MEMBER.sub("", gold, count=1))
    (*left, right), (*gold_left, gold_right) = sides
    if not left and not gold_left:
        return None
    if not gold_left:
        return _says_something(left, right) and _equal(right, gold)
    if not left:
        return bool(_NAME.fullmatch(gold_left[0])) and _equal(answer, gold_right)
    if left[0] == gold_left[0] and _NAME.fullmatch(left[0]):
        return _equal(right, gold_right)
    if len(left) > 1 or len(gold_left) > 1:
        answer, gold = f"{left[0]}={right}", f"{gold_left[0]}={gold_right}"
    return None


def _says_something(left: Sequence[str], right: str) -> bool:
    """Whether an equation's right side is what it finds: its left side has a variable, or is equal.

    Not so are 0=1, x=x, and x^2+1=0, which is still to be solved.
    """
    if right in left:
        return False
    formula = read_formula(left[0])
    if formula is None or len(formula.free_symbols) > 1 or _NAME.fullmatch(left[0]) or _CALL.fullmatch(left[0]):
        return True
    return _equal(left[0], right) if not formula.free_symbols else _integer(right) != "0"


def _as_tuples(answer: str, gold: str) -> bool | None:
    """Tuples, intervals and matrices: with the same brackets, equal term by term."""
    shapes = both(_tuple(answer), _tuple(gold)) or both(_matrix(answer), _matrix(gold))
    if shapes is None:
        return None
    (brackets, terms), (gold_brackets, gold_terms) = shapes
    return brackets == gold_brackets and _equal_terms(terms, gold_terms)


def _as_quantities(answer: str, gold: str) -> bool | None:
    """Numbers with a unit, with words that change their value, in degrees, or in per cent."""
    (bare, unit), (bare_gold, gold_unit) = split_unit(answer), split_unit(gold, is_gold=True)
    if (bare, bare_gold) != (answer, gold):
        if contradict(unit, gold_unit):
            return False
        return _equal(bare, bare_gold) or (read_numeral(bare_gold) is None and _as_formulas(answer, gold))
    computed = compute_words(answer), compute_words(gold)
    if any(computed):
        return _equal(computed[0] or answer, computed[1] or gold)
    degrees = [None if _TRIGONOMETRIC.search(text) else _DEGREES.fullmatch(text) for text in (answer, gold)]
    if any(degrees):
        return _equal(*(match[1] if match else text for match, text in zip(degrees, (answer, gold), strict=True)))
    shares = [text.removesuffix("%").rstrip("\\ ") if text.endswith("%") else None for text in (answer, gold)]
    if together := both(shares[0] or None, shares[1] or None):
        return _equal(*together)
    if shares[0]:
        return _equal(shares[0], gold) or _equal(_hundredth(shares[0]), gold)
    if shares[1]:
        return _equal(answer, shares[1]) or _equal(answer, _hundredth(shares[1]))
    return None


def _as_formulas(answer: str, gold: str) -> bool:
    numerals = read_numeral(answer), read_numeral(gold)
    if is_prose(answer):
        raise Unparsable(answer)
    if _EULER.fullmatch(gold) and "e" in answer and not numerals[0]:
        gold = gold.replace("e", "e ")
    if _EULER.fullmatch(answer) and "e" in gold and not numerals[1]:
        answer = answer.replace("e", "e ")
    parsed, parsed_gold = read_formula(answer), read_formula(gold)
    if parsed is None and not numerals[0]:
        raise Unparsable(answer)
    if parsed is None or parsed_gold is None or is_prose(gold):
        return False
    try:
        for numeral, formula in ((numerals[0], parsed_gold), (numerals[1], parsed)):
            if numeral and numeral.last_place is not None and close_to(numeral, formula):
                return True
        if is_relation(parsed) or is_relation(parsed_gold):
            return same_relation(parsed_gold, parsed)
        return equal(parsed_gold, parsed)
    except MemoryError:
        raise
    except Exception:  # sympy's own, of any class, for what it cannot compare
        return False


def _equal_terms(terms: Sequence[str], gold_terms: Sequence[str]) -> bool:
    return len(terms) == len(gold_terms) and all(_equal(a, b) for a, b in zip(terms, gold_terms, strict=True))


def _list(text: str) -> list[str] | None:
    r"""The members of a list or a set in braces, `\pm` as two of them; None for a single answer."""
    braces = _BRACES.fullmatch(text)
    inner = braces[1] if braces and is_enclosed(text) else text
    rows = split(inner, _SEMICOLON)
    if len(rows) > 1 and all(len(split(row, _COMMA)) > 1 for row in rows):
        return [f"({row})" for row in rows]
    terms = [part for term in split(inner, _SEPARATOR) for part in _both_signs(term.strip())]
    return terms if terms != [text] else None


def _both_signs(term: str) -> list[str]:
    if r"\pm" not in term and r"\mp" not in term:
        return [term]
    plus = re.sub(r"(^|[={(])\s*\+", r"\1", term.replace(r"\pm", "+").replace(r"\mp", "-"))
    return [" ".join(plus.split()), " ".join(term.replace(r"\pm", "-").replace(r"\mp", "+").split())]


def _tuple(text: str) -> tuple[str, list[str]] | None:
    """The brackets and the terms of a tuple or an interval."""
    match = _BRACKETS.fullmatch(text)
    if not match or not is_enclosed(text):
        return None
    terms = split(match[2], _COMMA)
    return (match[1] + match[3], terms) if len(terms) > 1 else None


def _named_tuple(text: str) -> str | None:
    """The tuple of (x,y)=(1,2)."""
    left, *right = split(text, _EQUALS)
    return right[0].strip() if len(right) == 1 and _NAME.fullmatch(left) and _tuple(right[0].strip()) else None


def _matrix(text: str) -> tuple[str, list[str]] | None:
    """The shape and the cells of a matrix."""
    match = _MATRIX.fullmatch(text)
    if not match:
        return None
    rows = [[cell.strip() for cell in _CELL.split(row)] for row in _ROW.split(match[2].strip().removesuffix(r"\\"))]
    return "x".join(str(len(row)) for row in rows), [cell for row in rows for cell in row]


def _hundredth(text: str) -> str:
    numeral = read_numeral(text)
    if numeral and text.lstrip("+-").replace(".", "").isdigit():
        return rf"{text} \times 10^{{-2}}"
    if numeral and numeral.last_place is None and abs(numeral.exponent) < 100:
        value = numeral.mantissa * Fraction(10) ** numeral.exponent / 100
        return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
    return rf"\frac{{{text}}}{{100}}"


def _integer(text: str) -> str | None:
    """An integer's canonical text; of any length, while int() refuses more than 4300 digits."""
    match = _INTEGER.fullmatch(text)
    if not match:
        return None
    sign, digits = match.groups()
    return f"-{digits}" if sign == "-" and digits != "0" else digits


def canonical(answer: str) -> str:
    """A text that equal answers mostly share, for majority votes; the answer's own where it cannot be read."""
    text = normalise(answer)
    if plain := _integer(text) or words(text):
        return plain
    bare, _ = split_unit(text)
    if bare != text:
        return canonical(bare)
    if computed := compute_words(text):
        return canonical(computed)
    if (match := _DEGREES.fullmatch(text)) and not _TRIGONOMETRIC.search(text):
        return canonical(match[1])
    formula = None if is_prose(text) else read_formula(text)
    try:
        return text if formula is None else str(formula)
    except ValueError:  # an integer of more than 4300 digits
        return text
