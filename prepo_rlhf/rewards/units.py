r"""Units of measure, money and things counted: what may stand beside a number without changing it.

A list, so that "5 halves" or "5 minus one" is never taken for five of something: SI with its prefixes, imperial units,
time, angles and money, and nouns that word problems often count.
Boundary: standard library only; knows texts, no values.
"""

from __future__ import annotations

import re
from functools import lru_cache

_METRIC = {
    "meter": "m", "metre": "m", "gram": "g", "gramme": "g", "liter": "L", "litre": "L", "second": "s", "watt": "W",
    "volt": "V", "ampere": "A", "amp": "A", "joule": "J", "newton": "N", "pascal": "Pa", "hertz": "Hz", "ohm": "Ω",
    "calorie": "cal", "byte": "B", "bit": "bit", "mole": "mol", "kelvin": "K", "coulomb": "C", "farad": "F",
    "tesla": "T", "electronvolt": "eV", "candela": "cd", "becquerel": "Bq", "lumen": "lm", "lux": "lx",
}  # fmt: skip
_PREFIXES = {
    "": "", "kilo": "k", "centi": "c", "milli": "m", "deci": "d", "micro": "μ", "nano": "n", "pico": "p", "mega": "M",
    "giga": "G", "tera": "T", "hecto": "h",
}  # fmt: skip
_OTHERS = """
inch inches in; foot feet ft; yard yd; mile mi; pound lb lbs; ounce oz; ton tonne; stone; gallon gal; quart qt; pint pt;
cup; tablespoon tbsp; teaspoon tsp; acre; hectare ha; minute min mins; hour hr hrs h; day; week; month; year yr yrs;
decade; century centuries; sec secs s; degree deg; radian rad; liter l; knot; celsius; fahrenheit; psi;
bar; atm; decibel dB; cc; rpm; horsepower hp; bushel; furlong; fathom;
dollar buck usd; cent ¢; euro eur; pence penny pennies p; yen jpy; yuan rmb cny; rupee rs inr; peso; franc; won; ruble;
nickel; dime
"""
_COUNTED = """
adult album angle animal ant apart apple arrangement away bag ball balloon banana basket batteries battery bead bear
bed bee berries berry bicycle bike bill bird black block blue boat book bottle bowl box boxes boy bracelet branch
branches bread brick bucket building burger bus buses bush bushes butterflies butterfly button cake call can candies
candy car card carrot carton case cat cd chair cherries cherry chicken child children chocolate cities city class
classroom coat coffee coin column combination computer cookie countries country cow cracker crate crayon cube cup
cupcake customer deep desk diagonal different digit distinct divisor dog doll donut door doughnut dress dresses drink
drum duck dvd edge egg element elephant email employee envelope eraser eye face family field file fish fishes floor
flour flower folder friend frog fruit game garden gem gift girl glass glasses goal goat grape green group guest guitar
hat high home horse hotdog house instrument integer item jacket jar job juice kid kind lamp lap laptop lawn layer leaf
leaves leg lemon letter level line lion loaf loaves lollipop long machine man mango marble marker match meal melon
member men message milk monkey movie muffin necklace new note notebook nut object office old orange outcome pack
package packet page painting paper part passenger path peach pear pen pencil people permutation person pet phone photo
picture pie piece pig pile pizza plane plant plate player plum point possible poster potato potatoes present pretzel
printer problem pupil question rabbit red ribbon rice ride ring robot rock room rope rose round row run sandwich
sandwiches seashell seat seed segment serving set sheep sheet shelf shell shelves shift ship shirt shoe shop show side
slice snack sock soda solution song stack stage stair stamp star state step stick sticker store story strawberries
strawberry string student subset sugar table tall tank task tea teacher team thing ticket tiger tile time tomato
tomatoes town toy train tray tree triangle trip truck type unit van vegetable vertex vertices video visitor vote voter
water way ways wheel white wide window woman women word worker yellow
"""
_MODIFIERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_MONEY = r"[€£¥₹¢₽₩]|\\(?:pounds|euro|yen)(?![A-Za-z])|(?:USD|EUR|GBP|JPY|CNY|INR|Rs\.?)(?![A-Za-z])"
"""Signs of money, before or after the number; dollar signs are gone by then."""

_WRAPPED = re.compile(
    r"\\(?:text(?:bf|it|rm|normal)?|[mh]box|math(?:rm|bf)|operatorname|rm)\s*\{((?:[^{}]|\{[^{}]*\})*)\}"
)
_QUOTIENT = re.compile(r"\\frac\s*\{\s*\\(?:text|mathrm)\{([^{}]*)\}\s*\}\s*\{\s*\\(?:text|mathrm)\{([^{}]*)\}\s*\}")
_GREEK = re.compile(
    r"(?<=[\d\s])\\(?:(mu)\s*(?=(?:\\(?:text|mathrm)\s*\{\s*)?[msgLlFAVWC](?![a-z]))|Omega(?![a-z]))"
)
_EXPONENT = r"(?:\s*\^\s*\{?\s*-?[1-3]\s*\}?)?"
_WORD = rf"(?:[A-Za-zμΩ¢]+\.?{_EXPONENT})"
_PHRASE = rf"{_WORD}(?:(?:\s*/\s*|\s*\\cdot\s*|\s*-\s*|\s+){_WORD})*"
_HEAD = r"(?P<head>.*?[\d})!|%]|.*?\\pi|.*?(?<![A-Za-z\\])[a-z])"
_TAIL = re.compile(rf"{_HEAD}(?P<gap>\s*/?\s*)(?P<unit>{_PHRASE})", re.DOTALL)
_TOKEN = re.compile(rf"(/|per\b)|([A-Za-zμΩ¢]+)\.?({_EXPONENT})")
_BEFORE = re.compile(rf"(?P<sign>-?)\s*(?:{_MONEY})\s*(?P<rest>-?[\d.\\].*)", re.DOTALL)
_AFTER = re.compile(rf"(?P<rest>.*[\d}}])\s*(?:{_MONEY})", re.DOTALL)
_IN_PARENTHESES = re.compile(r"(-?[\d.,/]+)\s*\(([A-Za-z][A-Za-z .'-]*)\)")
_ORDINAL = re.compile(r"(-?\d+)\s*(?:\^\s*\{?\s*)?(?:st|nd|rd|th)\s*\}?")

Unit = tuple[tuple[str, int], ...]


def _names() -> dict[str, str]:
    """Every way to write a unit, and the one name of that unit; "" for what is counted."""
    names: dict[str, str] = {}
    for name, symbol in _METRIC.items():
        for prefix, letter in _PREFIXES.items():
            unit = letter + symbol
            names |= {prefix + name: unit, prefix + name + "s": unit, unit: unit}
    names |= {"um": "μm", "ug": "μg", "ul": "μL", "ml": "mL", "cl": "cL", "dl": "dL", "metres": "m", "kWh": "kWh"}
    for line in _OTHERS.replace("\n", " ").split(";"):
        first, *others = line.split()
        for word in (first, *others):
            names.setdefault(word, first)
            names.setdefault(word + "s", first)
    for word in _COUNTED.split():
        names |= {form: "" for form in (word, word + "s") if form not in names}
    return names | {"l": "L", "s": "s", "sec": "s", "secs": "s", "sq": "", "units": ""}


_NAMES = _names()
_QUOTIENTS = {"mph": "mile/hour", "kmh": "km/hour", "kph": "km/hour", "kmph": "km/hour"}
_AMBIGUOUS = {"K", "B", "T"}  # thousand, billion, trillion, where they stand alone
_CONNECTING = {"of", "a", "an", "in", "the", "per", "and"}


def unwrap(text: str) -> str:
    r"""What stands in `\text{}` and its like, as plain text."""
    text = _QUOTIENT.sub(r" \1/\2", _GREEK.sub(lambda letter: "μ" if letter[1] else "Ω", text))
    return " ".join(_WRAPPED.sub(lambda wrapped: f" {wrapped[1]} ", text).replace("μ ", "μ").split())


def split_unit(text: str, is_gold: bool = False) -> tuple[str, Unit | None]:
    r"""A number without the unit or currency beside it, and the unit; None where there is none, or no known one.

    Args:
        text: a normalised answer.
        is_gold: whether the text is a reference, in which one letter next to the number might be a variable ("5m"), and
            any words in parentheses after it are a unit: "9 (apples)".
    """
    for pattern in (_BEFORE, _AFTER):
        if match := pattern.fullmatch(unwrap(text)):
            return match.groupdict().get("sign", "") + match["rest"].strip(), ()
    if match := _ORDINAL.fullmatch(unwrap(text)):
        return match[1], ()
    plain = unwrap(text)
    if is_gold and (match := _IN_PARENTHESES.fullmatch(plain)):
        return match[1], read_unit(match[2])
    match = _TAIL.fullmatch(plain)
    if not match:
        return text, None
    is_wrapped = plain != text
    is_variable = match["unit"] in _AMBIGUOUS or "/" in match["gap"] or is_gold and not match["gap"]
    if len(match["unit"]) == 1 and is_variable and not is_wrapped:
        return text, None
    if match["head"][-1].isalpha() and not is_wrapped and not match["head"].endswith("\\pi"):
        return text, None
    for word in re.finditer(r"(?<![A-Za-z])[A-Za-zμΩ¢]", match["unit"]):
        unit = read_unit(match["unit"][word.start() :])
        if unit is not None:
            return plain[: match.start("unit") + word.start()].strip(" /"), () if "/" in match["gap"] else unit
    return text, None


@lru_cache(maxsize=512)
def read_unit(phrase: str) -> Unit | None:
    """The unit that a phrase names, as powers of units; empty for things counted, None where a word is not known."""
    powers: dict[str, int] = {}
    sign, modifier, known = 1, 1, False
    phrase = phrase.replace(r"\cdot", " ")
    for name, quotient in _QUOTIENTS.items():
        phrase = re.sub(rf"\b{name}\b", quotient, phrase, flags=re.IGNORECASE)
    for per, word, exponent in _TOKEN.findall(phrase):
        if per:
            sign = -1
            continue
        lower = word.casefold()
        if lower in _MODIFIERS:
            modifier = _MODIFIERS[lower]
            continue
        if lower in ("squared", "cubed") and powers:
            last = next(reversed(powers))
            powers[last] *= 2 if lower == "squared" else 3
            continue
        if lower in _CONNECTING and known:
            continue
        name = _NAMES.get(word, _NAMES.get(lower) if len(word) > 1 else None)
        if name is None:
            return None
        known = True
        power = int(re.sub(r"[^\d-]", "", exponent) or 1)
        powers[name] = powers.get(name, 0) + sign * power * modifier
        modifier = 1
    return () if "" in powers else tuple(sorted(powers.items())) if known else None


def contradict(first: Unit | None, second: Unit | None) -> bool:
    """Whether both are units of measure, and not the same."""
    return bool(first and second and first != second)
