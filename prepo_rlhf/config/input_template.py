"""`--data.input_template`: a template by name, or a text with {} in the place of the question.

OpenRLHF reads such a text with `str.format`, where doubled braces stand for one. Here it is text: braces that are
neither doubled nor the place of the question stay as they are, and what could be read in two ways is refused.
Boundary: standard library only.
"""

from __future__ import annotations

import re
from collections import Counter
from difflib import get_close_matches

from prepo_rlhf.config.prompt_templates import CHAT, NAMES, PLACEHOLDER, TEMPLATES

_BRACES = re.compile(r"\{\{|\}\}|\{\}|\{|\}")
# What takes the braces after it as its own: a command of LaTeX with the arguments before them (\boxed, \frac{1}), or a
# sub- or superscript. \n, \t and \r are a user's line breaks and tabs, which a shell did not read.
_TAKES_BRACES = re.compile(r"(\\(?![ntr](?![A-Za-z]))[A-Za-z]+\*?(\[[^\[\]]*\])?(\{[^{}]*\})*|[\^_])\Z")
_REMEDY = "write {} once, where the question goes (after a LaTeX command, as in \\boxed{}, it is text)"


def around_question(template: str) -> tuple[str, str]:
    """What stands before and after the question. Raises ValueError, with a sentence, if that is not plain."""
    if template in NAMES:
        before, after = TEMPLATES["plain" if template == CHAT else template].split(PLACEHOLDER)
        return before, after
    if "{}" not in template and not re.search(r"[{}\s]", template):
        near = get_close_matches(template.lower(), NAMES, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        known = ", ".join(NAMES)
        raise ValueError(f"there is no such template{meant}; give {known}, or a text with {{}} for the question")
    places = _places(template)
    if len(places) != 1:
        found = f"{len(places)} places" if places else "no place"
        raise ValueError(f"has {found} for the question: {_REMEDY}")
    before, after = template[: places[0]], template[places[0] + 2 :]
    return (_single(before), _single(after)) if _means_single(before, after) else (before, after)


def keeps_doubled_braces(template: str) -> bool:
    """Whether doubled braces, which OpenRLHF's reading would make one, or refuse, stay two here."""
    if template in NAMES or not re.search(r"\{\{|\}\}", template):
        return False
    try:
        return "{}".join(around_question(template)) == template
    except ValueError:
        return False


def _places(template: str) -> list[int]:
    """Where the {} are that no command takes."""
    starts = [brace.start() for brace in _BRACES.finditer(template) if brace.group() == "{}"]
    return [start for start in starts if not _TAKES_BRACES.search(template[:start])]


def _means_single(before: str, after: str) -> bool:
    """Whether doubled braces stand for one each; ValueError where both readings make sense or neither does."""
    kinds = Counter(brace.group() for part in (before, after) for brace in _BRACES.finditer(part))
    opened, closed, doubled = kinds["{"], kinds["}"], (kinds["{{"], kinds["}}"])
    if doubled == (0, 0):
        return False
    if not (opened or closed or kinds["{}"]):
        return True
    # Beside single braces they are two braces only where no other reading balances, as in {"a": {"b": "{}"}}.
    if doubled[0] != doubled[1] and opened + 2 * doubled[0] == closed + 2 * doubled[1]:
        return False
    raise ValueError(
        "has doubled and single braces: double all braces but those of the question, as OpenRLHF has it, or none"
    )


def _single(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}")
