r"""Numbers as they are written: exact values of integers, fractions, decimals, powers of ten, and their comparison.

An exact number (an integer, a fraction, an integer times a power of ten) equals another exactly. A decimal also stands
for what rounds to it, to six significant digits at least.
Boundary: standard library only. No power of ten is ever written out, so 1e999999999 costs nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache

SIGNIFICANT_DIGITS = 6
_DECIMAL_PLACES = Decimal("1e-6")  # what math-verify compares to
_EXACT = Context(prec=1100, Emax=MAX_EMAX, Emin=MIN_EMIN)
_SIX = Context(prec=SIGNIFICANT_DIGITS, rounding=ROUND_HALF_EVEN, Emax=MAX_EMAX, Emin=MIN_EMIN)

_SIGN = r"([+-]?)\s*"
_TIMES_TEN = r"(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*(?:\{\s*([+-]?\d+)\s*\}|\(\s*([+-]?\d+)\s*\)|([+-]?\d+))"
_POWER = re.compile(rf"{_SIGN}(\d{{1,20}})\s*\^\s*\{{\s*([+-]?\d{{1,3}})\s*\}}")
_POWER_OF_TEN = re.compile(rf"{_SIGN}10\s*\^\s*(?:\{{\s*([+-]?\d+)\s*\}}|([+-]?\d+))")
_SCIENTIFIC = re.compile(
    rf"{_SIGN}(\d{{1,3}}(?:,\d{{3}})+(?:\.\d*)?|\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d+)|\s*{_TIMES_TEN})?"
)
_FRACTION = re.compile(
    rf"{_SIGN}(?:([+-]?\d+)\s*/\s*([+-]?\d+)|\\frac\s*(?:\{{\s*([+-]?\d+)\s*\}}|(\d))\s*(?:\{{\s*([+-]?\d+)\s*\}}|(\d)))"
)
_MIXED = re.compile(rf"{_SIGN}(\d+)\s*\\frac\s*(?:\{{\s*(\d+)\s*\}}|(\d))\s*(?:\{{\s*(\d+)\s*\}}|(\d))")
_REPEATING = re.compile(
    rf"{_SIGN}(\d*)\.(\d*?)(?:\\(?:overline|bar|dot|overset\{{\.\}})\s*(?:\{{(\d+)\}}|(\d))|\((\d+)\)|(\d)\7\7+\s*\\ldots)"
)
_TWO_DOTS = re.compile(rf"{_SIGN}(\d*)\.(\d*)\\dot\s*\{{?(\d)\}}?(\d*)\\dot\s*\{{?(\d)\}}?")


@dataclass(frozen=True)
class Numeral:
    """The number mantissa * 10**exponent.

    Attributes:
        last_place: the power of ten of the last digit written, for a decimal; None for an exact number.
    """

    mantissa: Fraction
    exponent: int = 0
    last_place: int | None = None

    def equals(self, other: Numeral) -> bool:
        """Whether both are exactly the same number."""
        if not self.mantissa or not other.mantissa:
            return self.mantissa == other.mantissa
        shift = self.exponent - other.exponent
        if abs(shift) > _digits(self.mantissa) + _digits(other.mantissa):
            return False
        return self.mantissa * Fraction(10) ** shift == other.mantissa

    def decimal(self) -> Decimal:
        """Its value to a thousand digits.

        Raises:
            InvalidOperation: beyond what Decimal can hold.
        """
        quotient = _EXACT.divide(Decimal(self.mantissa.numerator), Decimal(self.mantissa.denominator))
        return quotient.scaleb(self.exponent, _EXACT)


@lru_cache(maxsize=2048)
def read_numeral(text: str) -> Numeral | None:
    """The number that a text is, where it is a single number; None for anything else."""
    if match := _SCIENTIFIC.fullmatch(text):
        sign, digits, *exponents = match.groups()
        return _decimal(sign, digits, next((power for power in exponents if power), "0"))
    if match := _POWER_OF_TEN.fullmatch(text):
        sign, *exponents = match.groups()
        return Numeral(_signed(sign, Fraction(1)), _whole(next(power for power in exponents if power)))
    if match := _POWER.fullmatch(text):
        sign, base, power = match.groups()
        return Numeral(_signed(sign, Fraction(int(base)) ** int(power))) if int(base) else None
    if match := _FRACTION.fullmatch(text):
        sign, *parts = match.groups()
        numerator, denominator = (Fraction(_whole(part)) for part in parts if part)
        return Numeral(_signed(sign, numerator / denominator)) if denominator else None
    if match := _MIXED.fullmatch(text):
        sign, *parts = match.groups()
        whole, numerator, denominator = (Fraction(_whole(part)) for part in parts if part)
        return Numeral(_signed(sign, whole + numerator / denominator)) if denominator else None
    return _read_repeating(text)


def close(first: Numeral, second: Numeral) -> bool:
    """Whether two numbers are equal: exactly where both are exact, and else to six significant digits."""
    if first.equals(second):
        return True
    if first.last_place is None and second.last_place is None:
        return False
    try:
        return close_decimals(first.decimal(), second.decimal(), first.last_place, second.last_place)
    except InvalidOperation:
        return False


def close_decimals(first: Decimal, second: Decimal, first_place: int | None, second_place: int | None) -> bool:
    """Whether two numbers agree to six significant digits, and one is the other's rounding, to the last digit written
    (`*_place`, the power of ten of that digit in a decimal) or to six decimal places.
    """
    if first.normalize(_SIX) != second.normalize(_SIX):
        return False
    pairs = ((first, second, first_place), (second, first, second_place))
    return any(place is not None and _rounds_to(value, written, place) for written, value, place in pairs) or (
        first.adjusted() < SIGNIFICANT_DIGITS * 2
        and first.quantize(_DECIMAL_PLACES, context=_EXACT) == second.quantize(_DECIMAL_PLACES, context=_EXACT)
    )


def _rounds_to(value: Decimal, written: Decimal, place: int) -> bool:
    last_digit = Decimal(1).scaleb(place, _EXACT)
    try:
        return any(
            value.quantize(last_digit, rounding=mode, context=_EXACT) == written
            for mode in (ROUND_HALF_UP, ROUND_HALF_EVEN)
        )
    except InvalidOperation:  # the last digit written is that far below the value's thousandth
        return False


def _decimal(sign: str, digits: str, power: str) -> Numeral:
    whole, point, places = digits.replace(",", "").partition(".")
    exponent = _whole(power) - len(places)
    mantissa = Fraction(_integer(whole + places))
    return Numeral(_signed(sign, mantissa), exponent, exponent if point and places else None)


def _read_repeating(text: str) -> Numeral | None:
    if match := _TWO_DOTS.fullmatch(text):
        sign, whole, start, first, middle, last = match.groups()
        period = first + middle + last
    elif match := _REPEATING.fullmatch(text):
        sign, whole, start, *periods = match.groups()
        period = next(digits for digits in periods if digits)
    else:
        return None
    repeated = Fraction(_integer(period), 10 ** len(period) - 1)
    return Numeral(_signed(sign, _integer(whole + start) + repeated), -len(start))


def _integer(digits: str) -> int:
    """Any number of digits: int() refuses more than 4300 in decimal notation."""
    if len(digits) <= 4000:
        return int(digits or "0")
    half = len(digits) // 2
    return _integer(digits[:-half]) * 10**half + _integer(digits[-half:])


def _whole(number: str) -> int:
    return _integer(number.lstrip("+-")) * (-1 if number.startswith("-") else 1)


def _signed(sign: str, value: Fraction) -> Fraction:
    return -value if sign == "-" else value


def _digits(value: Fraction) -> int:
    return (value.numerator.bit_length() + value.denominator.bit_length()) // 3 + 2
