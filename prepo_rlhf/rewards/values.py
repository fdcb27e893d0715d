r"""Whether two formulas have the same value: numbers, expressions with variables, sets and matrices.

Decisions are exact: digits at high precision only rule out equality, or confirm what algebra could not simplify.
Boundary: sympy; knows no text. It has no limit on time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation

import sympy
from sympy import FiniteSet, Interval, MatrixBase, Rational, Set, Symbol, oo
from sympy.core.function import AppliedUndef

from prepo_rlhf.rewards.formulas import Formula
from prepo_rlhf.rewards.numerals import Numeral, close_decimals

_DIGITS, _MORE_DIGITS = 40, 120
_LARGEST = 10**40
_POINTS = 4  # of which two are tried first
_STEPPED = (sympy.Abs, sympy.floor, sympy.ceiling, sympy.sign, sympy.Max, sympy.Min, sympy.Piecewise, sympy.Mod)


def equal(first: Formula, second: Formula) -> bool:
    """Whether two formulas, neither of them a relation, have the same value."""
    if isinstance(first, MatrixBase | sympy.MatrixExpr) or isinstance(second, MatrixBase | sympy.MatrixExpr):
        return _equal_matrices(first, second)
    if isinstance(first, Set | sympy.Tuple) or isinstance(second, Set | sympy.Tuple):
        return _equal_sets(first, second)
    if not (isinstance(first, sympy.Expr) and isinstance(second, sympy.Expr)):
        return first == second
    if first == second:
        return True
    calls = first.atoms(AppliedUndef)
    if calls != second.atoms(AppliedUndef) or (calls and first.has(sympy.Derivative, sympy.Integral)):
        return False
    first, second = (evaluate(without_calls(value, calls)) for value in (first, second))
    if first == second:
        return not first.has(sympy.nan, sympy.zoo)
    if first.has(oo, -oo, sympy.nan, sympy.zoo) or second.has(oo, -oo, sympy.nan, sympy.zoo):
        return False
    difference = first - second
    if difference.is_Rational:
        return difference.is_zero
    symbols = sorted(difference.free_symbols, key=str)
    return _equal_functions(first, second, symbols) if symbols else _equal_constants(first, second)


def close_to(numeral: Numeral, formula: Formula) -> bool:
    """Whether a decimal stands for the value of a formula: exactly, or to six significant digits."""
    if not isinstance(formula, sympy.Expr) or formula.free_symbols:
        return False
    value = evaluate(formula).evalf(_DIGITS)
    if not value.is_Float:
        return False
    try:
        return close_decimals(numeral.decimal(), Decimal(str(value)), numeral.last_place, None)
    except InvalidOperation:
        return False


def without_calls(formula: Formula, calls: Iterable[Formula]) -> Formula:
    """Values of unknown functions, such as f(x), as variables."""
    return formula.subs({call: Symbol(f"value of {call}", real=True) for call in calls})


def same_members(first: Sequence[Formula], second: Sequence[Formula]) -> bool:
    """Whether two collections hold the same values, in any order, however often."""
    return all(any(equal(a, b) for b in second) for a in first) and all(any(equal(a, b) for a in first) for b in second)


def evaluate(formula: Formula) -> Formula:
    """Sums, integrals, factorials and per cents carried out."""
    return formula.doit()


def points(symbols: Sequence[Symbol], count: int = _POINTS) -> Iterator[dict[Symbol, Rational]]:
    """Points where different expressions differ: fractions of either sign that no identity is likely to know."""
    for number in range(count):
        yield {
            symbol: Rational((-1) ** (number * (place + 1)) * (37 + 19 * place + 101 * number), 29 + 6 * place)
            for place, symbol in enumerate(symbols)
        }


def at(formula: Formula, point: dict[Symbol, Rational], digits: int = _DIGITS) -> Formula | None:
    """The number that a formula is at a point; None where it has none there."""
    value = formula.subs(point).evalf(digits, maxn=4 * digits) if point else formula.evalf(digits, maxn=4 * digits)
    is_number = value.is_number and not value.has(oo, -oo, sympy.nan, sympy.zoo) and _is_plain(value)
    return value if is_number else None


def _is_plain(value: Formula) -> bool:
    return all(part.is_Float or part.is_Rational for part in value.as_real_imag())


def agree(first: Formula, second: Formula, digits: int) -> bool:
    """Whether two evaluated numbers have the same first digits."""
    size = max(abs(first).evalf(10), abs(second).evalf(10))
    return size == 0 or abs(first - second).evalf(10) <= size * Rational(10) ** -digits


def _equal_constants(first: Formula, second: Formula) -> bool:
    values = at(first, {}), at(second, {})
    if all(value is not None for value in values):
        if not agree(*values, _DIGITS // 2) and max(abs(value) for value in values) > Rational(10) ** -_DIGITS:
            return False
        if _is_tame(first) and _is_tame(second) and max(abs(value) for value in values) > Rational(1, _LARGEST):
            more = at(first, {}, _MORE_DIGITS), at(second, {}, _MORE_DIGITS)
            return None not in more and agree(*more, _MORE_DIGITS - 20)
    return _is_zero(first - second)


def _equal_functions(first: Formula, second: Formula, symbols: Sequence[Symbol]) -> bool:
    """Equal if algebra says so, or else at points, for expressions without steps; different if at one point."""
    evaluated = 0
    for number, point in enumerate(points(symbols)):
        values = at(first, point), at(second, point)
        if None in values:
            continue
        if not agree(*values, _DIGITS // 2):
            return False
        evaluated += 1
        if number == 1 and _is_zero(first - second):
            return True
    is_sure = evaluated == _POINTS and _is_tame(first) and _is_tame(second) and not (first - second).has(*_STEPPED)
    return is_sure or _is_zero(first - second)


def _is_tame(formula: Formula) -> bool:
    """Whether no number in it is so large or small that it could hide behind the digits compared."""
    return all(max(abs(number.p), number.q) < _LARGEST for number in formula.atoms(Rational))


def _is_zero(difference: Formula) -> bool:
    try:
        return sympy.expand(difference) == 0 or sympy.simplify(difference) == 0
    except MemoryError:
        raise
    except Exception:  # sympy's own, of any class, for what it cannot simplify
        return False


def _equal_matrices(first: Formula, second: Formula) -> bool:
    first, second = evaluate(first), evaluate(second)
    if not (isinstance(first, MatrixBase) and isinstance(second, MatrixBase)) or first.shape != second.shape:
        return first == second
    return all(equal(a, b) for a, b in zip(first.flat(), second.flat(), strict=True))


def _equal_sets(first: Formula, second: Formula) -> bool:
    if isinstance(first, sympy.Tuple) or isinstance(second, sympy.Tuple):
        pair = _members(first), _members(second)
        return len(pair[0]) == len(pair[1]) and all(equal(a, b) for a, b in zip(*pair, strict=True))
    first, second = (value if isinstance(value, Set) else FiniteSet(value) for value in (first, second))
    if first == second:
        return True
    if None not in (first.is_finite_set, second.is_finite_set) and first.is_finite_set != second.is_finite_set:
        return False
    if isinstance(first, sympy.FiniteSet) and isinstance(second, sympy.FiniteSet):
        return same_members(list(first.args), list(second.args))
    if isinstance(first, Interval) and isinstance(second, Interval):
        borders = (first.left_open, first.right_open) == (second.left_open, second.right_open)
        return borders and equal(first.start, second.start) and equal(first.end, second.end)
    return first.doit().symmetric_difference(second.doit()).is_empty is True


def _members(value: Formula) -> list[Formula]:
    if isinstance(value, Interval) and value.is_open:
        return [value.start, value.end]
    is_collection = isinstance(value, sympy.Tuple | sympy.FiniteSet)
    return list(getattr(value, "_unsorted_args", value.args)) if is_collection else []
