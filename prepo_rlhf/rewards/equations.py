r"""Whether two equations or inequalities say the same.

They do by form (the differences of their sides are proportional) or by their solutions, if there are any: equations
without solutions are not all alike. Boundary: sympy; knows no text. It has no limit on time.
"""

from __future__ import annotations

import sympy
from sympy import Eq, Set
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from sympy.functions.elementary.trigonometric import TrigonometricFunction

from prepo_rlhf.rewards.formulas import Formula
from prepo_rlhf.rewards.pairs import both
from prepo_rlhf.rewards.values import agree, at, equal, evaluate, points, same_members, without_calls

_SEVERAL = (TrigonometricFunction, sympy.floor, sympy.ceiling, sympy.Mod, sympy.Sum, sympy.Product)
"""What has infinitely many solutions, of which sympy names a few."""


def is_relation(formula: Formula) -> bool:
    """An equation, an inequality, or a chain of them."""
    return bool(_links(formula))


def same_relation(first: Formula, second: Formula) -> bool:
    """Whether two relations are the same by form or have the same solutions; a set stands for its own."""
    if not is_relation(first) or not is_relation(second):
        sets = both(_solutions(first), _solutions(second))
        return sets is not None and sets[0].is_empty is False and equal(*sets)
    links = _links(first), _links(second)
    if len(links[0]) == len(links[1]):
        for others in (links[1], [link.reversed for link in reversed(links[1])]):
            if all(_same_link(a, b) for a, b in zip(links[0], others, strict=True)):
                return True
    if any(isinstance(link, Eq) for link in links[0] + links[1]):
        return len(links[0]) == len(links[1]) == 1 and _same_solutions(links[0][0], links[1][0])
    sets = both(_solutions(first), _solutions(second))
    return sets is not None and sets[0].is_empty is False and sets[0] != sympy.S.Reals and equal(*sets)


def _links(formula: Formula) -> list[Relational]:
    """The relations of a chain such as 1 < x < 2."""
    if isinstance(formula, Relational):
        return [formula]
    links = getattr(formula, "_unsorted_args", ()) if isinstance(formula, sympy.And) else ()
    return list(links) if all(isinstance(link, Relational) for link in links) else []


def _same_link(first: Relational, second: Relational) -> bool:
    """Whether the differences of the sides are proportional, with the sign that the kinds of relation ask for."""
    differences = both(_difference(first), _difference(second))
    if differences is None:
        return type(first) is type(second) and first.args == second.args
    if type(first) is type(second):
        return _proportional(*differences, any_sign=isinstance(first, Eq | sympy.Ne))
    return type(first) is type(second.reversed) and _proportional(differences[0], -differences[1], any_sign=False)


def _difference(relation: Relational) -> Formula | None:
    sides = evaluate(relation.lhs), evaluate(relation.rhs)
    return sides[0] - sides[1] if all(isinstance(side, sympy.Expr) for side in sides) else None


def _proportional(first: Formula, second: Formula, any_sign: bool) -> bool:
    symbols = sorted(first.free_symbols, key=str)
    if not symbols or first.free_symbols != second.free_symbols:
        return False
    ratios = []
    for point in points(symbols, count=2):
        values = both(at(first, point), at(second, point))
        if values is not None and 0 not in values:
            ratios.append(values[0] / values[1])
    if not ratios or not agree(ratios[0], ratios[-1], digits=20):
        return False
    ratio = sympy.simplify(first / second)
    return not ratio.free_symbols and ratio.is_zero is False and (any_sign or ratio.is_positive is True)


def _same_solutions(first: Relational, second: Relational) -> bool:
    """Whether both are equations in the same variables with the same solutions, at least one, for each of them."""
    if not (isinstance(first, Eq) and isinstance(second, Eq)) or first.free_symbols != second.free_symbols:
        return False
    differences = both(_difference(first), _difference(second))
    if differences is None or not first.free_symbols or any(side.has(*_SEVERAL) for side in differences):
        return False
    try:
        for symbol in sorted(first.free_symbols, key=str):
            solutions = [sympy.solve(side, symbol) for side in differences]
            if not all(solutions) or not same_members(*solutions):
                return False
    except NotImplementedError:  # what sympy raises for an equation that it cannot solve
        return False
    return True


def _solutions(formula: Formula) -> Set | None:
    """The numbers that a relation in one variable allows; a set is its own."""
    if isinstance(formula, Set):
        return formula
    try:
        formula = without_calls(formula, formula.atoms(AppliedUndef))
        return formula.as_set() if len(formula.free_symbols) == 1 else None
    except (AttributeError, NotImplementedError, TypeError, ValueError):  # not a relation, or none that sympy can solve
        return None
