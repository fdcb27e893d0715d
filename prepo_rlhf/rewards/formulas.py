r"""Formulas read by math-verify's LaTeX parser into exact sympy objects.

A formula is read whole or not at all: no part of a text counts as its value, no word is dropped, and nothing undefined
(nan, a division by zero) is a value. Boundary: reads; `values` and `equations` compare.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import sympy
from latex2sympy2_extended.latex2sympy2 import NormalizationConfig, latex2sympy, normalize_latex
from sympy import Basic, E, Float, I, MatrixBase, Rational, Symbol

from prepo_rlhf.rewards.numerals import Numeral, read_numeral

Formula = Any  # a sympy expression, set, relation or matrix: sympy's types know no arithmetic of what they share
_CONFIG = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_NOT_A_FORMULA = re.compile(
    r"(?<![_^\d.])\d[\d.]*\s+\.?\d|\d*\.\d+\.|\\(?:boxed|fbox|ldots|input|def)(?![a-z])|\?|(?<!\\)[#&]|\b(?:nan|NaN|zoo|oo|undefined)\b"
)
_COMPLEX = re.compile(
    r"\\mathbb\{C\}|\\i\b|(?<![A-Za-z\\])i(?![A-Za-z])|\\(?:text|mathrm)\{i\}|\\imath|\\(?:Re|Im|arg)\b"
)
_LARGEST_EXPONENT = 100_000


@lru_cache(maxsize=2048)
def read_formula(text: str) -> Formula | None:
    """The sympy object that a text is, with exact numbers; None where it is no formula as a whole, or has no value."""
    if numeral := read_numeral(text):
        return _rational(numeral)
    if not text or (_NOT_A_FORMULA.search(text) and "matrix" not in text):
        return None
    latex = normalize_latex(text, _CONFIG)
    try:
        formula = latex2sympy(
            latex,
            is_real=not _COMPLEX.search(text),
            convert_degrees="circ" in latex and bool(_TRIGONOMETRIC.search(latex)),
            normalization_config=None,
        )
        formula = _exact(formula)
    except MemoryError:
        raise
    except Exception:  # the parser's own, of any class, for whatever it cannot read
        return None
    return None if formula is None or _has(formula, sympy.nan, sympy.zoo) else formula


def _exact(formula: Formula) -> Formula | None:
    """Decimals as the fractions that they are written as, and i and e as the numbers, in a formula with a value."""
    if not isinstance(formula, Basic | MatrixBase):
        return None
    free: set[Any] = formula.free_symbols
    numbers = {decimal: Rational(str(decimal)) for decimal in formula.atoms(Float)}
    letters = {"e": E} | ({"i": I} if not formula.atoms(sympy.Sum, sympy.Product, sympy.Integral) else {})
    symbols = {symbol: letters.get(symbol.name, Symbol(symbol.name, real=True)) for symbol in free}
    changes = {old: new for old, new in (numbers | symbols).items() if old != new}
    return formula.xreplace(changes) if changes else formula


def _rational(numeral: Numeral) -> Rational | None:
    if abs(numeral.exponent) > _LARGEST_EXPONENT:
        return None
    mantissa: Any = Rational(numeral.mantissa.numerator, numeral.mantissa.denominator)
    return mantissa * Rational(10) ** numeral.exponent


def _has(formula: Formula, *values: Formula) -> bool:
    return formula.has(*values)
