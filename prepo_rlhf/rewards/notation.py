r"""One notation for answers that differ in typography only: LaTeX's spaces, unicode, plain text such as `pi/2`.

Boundary: standard library only; changes how an answer is written, never what it says.
"""

from __future__ import annotations

import re

_NOISE = re.compile(
    r"(?:US|HK|AU|CA)\\?\$(?=\s*\d)|\\?\$|(?<!\\)\\[!,;: ()\[\]]\s*|"
    r"\\(?:q?quad|left|right|[bB]ig+[lr]?|displaystyle|limits)(?![a-zA-Z])|~"
)
_THIN_SPACE = re.compile(r"(?<=\d)\\[,;: ]\s*(?=\d)")
_GROUP_OF_DIGITS = re.compile(r"\d{3}(?!\d)")
_HABITS = {
    r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\cfrac": r"\frac", r"\%": "%", r"\varnothing": r"\emptyset",
    r"\leqslant": r"\le", r"\geqslant": r"\ge", r"\leq": r"\le", r"\geq": r"\ge", r"\lbrace": r"\{", r"\rbrace": r"\}",
    r"\degree": r"^\circ", "^°": r"^\circ", "°": r"^\circ", "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "×": r"\times ",
    "⋅": r"\cdot ", "·": r"\cdot ", "÷": "/", "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
    "≈": r"\approx ", "∪": r"\cup ", "∩": r"\cap ", "∅": r"\emptyset ", "±": r"\pm ", "∈": r"\in ", "θ": r"\theta ",
    "²": "^{2}", "³": "^{3}", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "⅓": r"\frac{1}{3}",
    "⅔": r"\frac{2}{3}", "…": r"\ldots ", "...": r"\ldots ", r"\dots": r"\ldots", r"\cdots": r"\ldots", "{,}": ",",
    "\N{NO-BREAK SPACE}": " ", "**": "^", "per cent": "percent",
}  # fmt: skip
_HABIT = re.compile(
    "|".join(re.escape(key) + ("(?![a-zA-Z])" if key[-1].isalpha() and key.isascii() else "") for key in
             sorted(_HABITS, key=len, reverse=True))
)  # fmt: skip
_GROUPED = re.compile(r"-?\d{1,3}(?:(?: \d{3})+|(?:,\d{3})+)")
_GROUP = re.compile(r"(?<![\d,.])(\d{1,3}(?:,\d{3})+)(?![\d,])")
_SEVERAL = re.compile(r"[(\[;]|\\\{|,\s|,\d{1,2}(?!\d)|(?<![a-zA-Z])(?:and|or)(?![a-zA-Z])")
_MIXED = re.compile(r"(-?\d+)(?:\s|\\ )+(\d+)\s*/\s*(\d+)")
_AND_A_HALF = re.compile(r"(?<=\d) and (?:a|one)[ -](half|third|quarter)(?![a-z])")
_PARTS = {"half": r"\frac{1}{2}", "third": r"\frac{1}{3}", "quarter": r"\frac{1}{4}"}
_TEXT_WITH_NUMBER = re.compile(r"\\(?:text|mbox|mathrm|textbf|mathbf)\s*\{([^{}]*\d[^{}]*)\}")
_NEGATIVE_POWER = re.compile(r"\^\s*(-\d+)")
_EMPTY_BRACES = re.compile(r"\\\{\s*\\\}")
_NO_SOLUTION = re.compile(r"(?:\\text\s*\{\s*)?(?:no (?:real )?solutions?|(?:the )?empty set)(?:\s*\})?", re.IGNORECASE)
_HALF_OF_DAY = re.compile(
    r"(?:(?<=:\d\d)\s*(?:\\text\s*\{\s*)?([ap])\.?\s?m|(?<=\d)\s*(?:\\text\s*\{\s*)?([ap])\.\s?m)\.?(?![a-z])(?:\s*\})?",
    re.IGNORECASE,
)
_ANGLE = re.compile(r"(?<=[\d}])\s*(?:\\text\s*\{\s*degrees?\s*\}|degrees?(?![a-z]))")
_PLAIN_ROOT = re.compile(r"(?<![a-zA-Z\\])(?:sqrt|√)\s*(?=[(\d{a-zA-Z])|\\sqrt\s*(?=\()|√")
_FUNCTIONS = (
    r"arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp|pi|theta|alpha|beta|infinity|infty"
)
_PLAIN_NAME = re.compile(rf"(?<![a-zA-Z\\{{])({_FUNCTIONS})(?![a-zA-Z])")
_TIMES = re.compile(r"\s*\*\s*(?=\S)")
_LEADING = re.compile(r"^(?:(?:\\approx|\\therefore|=|:)\s*)+(?=\S)")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_PAIR = {"(": ")", "{": "}"}


def normalise(answer: str) -> str:
    """One notation for what differs only in typography; mixed numbers in LaTeX, grouped digits joined."""
    if answer.isdigit():
        return answer
    text = _THIN_SPACE.sub(_join_or_part, answer)
    text = " ".join(_NOISE.sub("", _TEXT_WITH_NUMBER.sub(r" \1 ", text)).split())
    text = _HABIT.sub(lambda match: _HABITS[match.group()], text)
    if not text.endswith(r"\ldots "):
        text = text.rstrip(". ")
    if _GROUPED.fullmatch(text):
        return re.sub(r"[ ,]", "", text)
    if "," in text and not _SEVERAL.search(text):
        text = _GROUP.sub(lambda match: match[1].replace(",", ""), text)
    if _MIXED.fullmatch(text):
        return _MIXED.sub(r"\1\\frac{\2}{\3}", text)
    return _from_plain_text(_LEADING.sub("", text, count=1))


def _join_or_part(space: re.Match[str]) -> str:
    """A thin space between digits groups thousands, or parts two numbers."""
    return "" if _GROUP_OF_DIGITS.match(space.string, space.end()) else " "


def _from_plain_text(text: str) -> str:
    text = _PLAIN_NAME.sub(lambda match: "\\" + match[1].replace("infinity", "infty"), text)
    text = _TIMES.sub(r" \\cdot ", _EMPTY_BRACES.sub(r"\\emptyset", text))
    text = _NEGATIVE_POWER.sub(r"^{\1}", text)
    text = r"\emptyset" if _NO_SOLUTION.fullmatch(text) else text
    text = _HALF_OF_DAY.sub(lambda match: f" {(match[1] or match[2]).lower()}m", text)
    text = _AND_A_HALF.sub(lambda match: _PARTS[match[1]], text)
    if _TRIGONOMETRIC.search(text):
        text = _ANGLE.sub(r"^\\circ", text)
    while match := _PLAIN_ROOT.search(text):
        text = _with_braces(text, match.start(), match.end())
    return text.strip()


def _with_braces(text: str, start: int, end: int) -> str:
    r"""`\sqrt{}` for a root whose argument, from `end`, is in parentheses, in braces, or one number or letter."""
    opening = text[end : end + 1]
    if opening in _PAIR and (stop := _closing(text, end)):
        return rf"{text[:start]}\sqrt{{{text[end + 1 : stop]}}}{text[stop + 1 :]}"
    match = re.compile(r"\d+|[a-zA-Z]").match(text, end)
    argument = match.group() if match else ""
    return rf"{text[:start]}\sqrt{{{argument}}}{text[end + len(argument) :]}"


def _closing(text: str, start: int) -> int | None:
    opening, closing, depth = text[start], _PAIR[text[start]], 0
    for place in range(start, len(text)):
        depth += (text[place] == opening) - (text[place] == closing)
        if not depth:
            return place
    return None


def split(text: str, separator: re.Pattern[str]) -> list[str]:
    """The parts of a text between the separators that stand in no brackets; one part where brackets do not match."""
    parts, depth, start, place = [], 0, 0, 0
    while place < len(text):
        character = text[place]
        if not depth and (match := separator.match(text, place)) and match.end() > place:
            parts.append(text[start:place])
            start = place = match.end()
            continue
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return [text]
        place += 1
    return [*parts, text[start:]] if not depth else [text]


def is_enclosed(text: str) -> bool:
    """Whether the bracket that a text starts with closes at its end, and not before."""
    depth = 0
    for place, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if not depth and character in ")]}":
            return place == len(text) - 1
    return False
