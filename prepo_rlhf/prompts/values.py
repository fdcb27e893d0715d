"""What a row's values must be: a question, a chat, a reference answer; and how rows that have none are told.

Boundary: values in, values or `BadValue` out; knows neither files nor tokenizers.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.files.rows import lookup
from prepo_rlhf.prompts.render import Chat, user_message

SHOWN = 5  # rows of a fault, and faults of an option, in a message
_CHAT_AS_TEXT = re.compile(r"""\s*\[\s*\{\s*["'](role|content|from)["']\s*:""")
_SURROGATE = re.compile("[\ud800-\udfff]")


class BadValue(ValueError):
    """A row's value that cannot be used: what is wrong, to stand after the row's place, as in "line 7: is null"."""


class BadField(Exception):
    """A row's field that cannot be used, and the option that names the field."""

    def __init__(self, option: str, fault: BadValue) -> None:
        super().__init__(option, fault)
        self.option, self.fault = option, str(fault)


class BadRows:
    """Rows that cannot be used, collected by the option that asks for what they lack."""

    def __init__(self) -> None:
        self._faults: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))

    def add(self, place: str, bad: BadField) -> None:
        """Note a row by its place."""
        self._faults[bad.option][bad.fault].append(place)

    def check(self, total: int, source: str) -> None:
        """Raise ConfigError if there are any: how many of the `total` of `source`, the first few, what is wrong."""
        lines = []
        for option, faults in self._faults.items():
            count = sum(len(places) for places in faults.values())
            told = [f"{_first(places)}: {fault}" for fault, places in list(faults.items())[:SHOWN]]
            more = [f"and {len(faults) - SHOWN} other faults"] if len(faults) > SHOWN else []
            lines.append(
                f"{option}: {count} of the {total} rows of {source} cannot be used ({'; '.join([*told, *more])}); "
                "correct or remove them"
            )
        if lines:
            raise ConfigError("\n".join(lines))


def value_of(row: dict[str, Any], key: str) -> Any:
    """What the row has under `key`; BadValue if there is no such key."""
    try:
        return lookup(row, key)
    except KeyError:
        raise BadValue(f"has no such key, but {', '.join(map(str, row))}") from None


def text_of(value: Any) -> str:
    """A question's or message's text: text, or a list of parts {"type": "text", "text": ...}, put together."""
    if _is_parts(value):
        value = "".join(_part(part) for part in value)
    if not isinstance(value, str):
        raise BadValue(f"is {_named(value)}, not text")
    if _SURROGATE.search(value):
        raise BadValue("holds half of a surrogate pair, which is no text")
    return value


def question_of(value: Any) -> str:
    """The text of a question, which is not empty."""
    if isinstance(value, list) and value and not _is_parts(value):
        raise BadValue("is a list, not text; for chat messages give --data.apply_chat_template")
    question = text_of(value)
    if not question.strip():
        raise BadValue("is an empty text")
    return question


def chat_of(value: Any) -> Chat:
    """The messages of a chat that the model is to answer: a list of messages, or a question's text as the only one.

    Contents are plain text, and fields without a value, which tables add, are left out.
    """
    if isinstance(value, dict):
        raise BadValue("is a single dict, where a chat is a list of messages: put it in a list")
    if isinstance(value, str) and _CHAT_AS_TEXT.match(value):
        raise BadValue("is a chat written as text, where a list of messages is needed")
    if not isinstance(value, list) or _is_parts(value):
        return [user_message(question_of(value))]
    if not value:
        raise BadValue("is an empty list")
    chat = [_message(message, number) for number, message in enumerate(value, start=1)]
    if chat[-1]["role"] in ("assistant", "system"):
        raise BadValue(f"ends with a message of the {chat[-1]['role']}, which leaves nothing to answer")
    if not chat[-1]["content"].strip():
        raise BadValue(f"is a chat whose last message, {len(chat)}, is empty")
    return chat


def label_of(value: Any, for_verifier: bool = False) -> Any:
    """A reference answer as the data has it: text, a number, true or false, a list or a dict.

    For the math verifier it must be text, a number or a list of such, and not empty; a number is then read as its text.
    """
    if isinstance(value, Decimal):  # a column of exact numbers in a table
        value = str(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise BadValue("is NaN" if math.isnan(value) else "is infinite")
    if not isinstance(value, (str, int, float, list, dict)) or value == []:
        raise BadValue(f"is {_named(value)}, which is no reference answer")
    if isinstance(value, str) and _SURROGATE.search(value):
        raise BadValue("holds half of a surrogate pair, which is no text")
    if for_verifier and isinstance(value, dict):
        raise BadValue("is a dict, which the math verifier cannot read; name a key in it after a dot")
    if for_verifier and isinstance(value, str) and not value.strip():
        raise BadValue("is an empty text")
    if isinstance(value, list):
        return [_member(member, for_verifier) for member in value]
    return value


def rate_of(value: Any) -> float:
    """A pass rate: a number from 0 to 1, or its text."""
    try:
        if isinstance(value, bool):
            raise TypeError
        rate = float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadValue(f"is {_named(value)}, not a pass rate") from None
    if not 0 <= rate <= 1:
        raise BadValue(f"is {_named(rate)}, not a pass rate from 0 to 1")
    return rate


def repeated(texts: Sequence[str], places: Sequence[str]) -> list[tuple[int, int]]:
    """Numbers of texts that an earlier one equals, with that one's; a row that was drawn twice repeats none."""
    first: dict[str, int] = {}
    pairs = [(number, first.setdefault(text, number)) for number, text in enumerate(texts)]
    return [(number, earlier) for number, earlier in pairs if places[number] != places[earlier]]


def told_copies(pairs: Sequence[tuple[int, int]], total: int, what: str, places: Sequence[str]) -> str:
    """What to tell of them: how many of `total`, and the first few."""
    shown = _first([f"{places[number]} that of {places[earlier]}" for number, earlier in pairs])
    return f"{len(pairs)} of its {total} rows repeat the {what} of an earlier one ({shown}); all are kept"


def _member(value: Any, for_verifier: bool) -> Any:
    try:
        if for_verifier and isinstance(value, list):
            raise BadValue(f"is {_named(value)}")
        return label_of(value, for_verifier)
    except BadValue as error:
        raise BadValue(f"is a list with a member that {error}") from None


def _message(value: Any, number: int) -> dict[str, str]:
    if not isinstance(value, dict):
        raise BadValue(f"is a list whose item {number} is {_named(value)}, not a message with role and content")
    if missing := [name for name in ("role", "content") if name not in value]:
        has = ", ".join(map(str, value)) or "no keys"
        raise BadValue(f"has a message, {number}, without {' and '.join(missing)}, but {has}")
    role = value["role"]
    if not isinstance(role, str) or not role.strip():
        raise BadValue(f"has a message, {number}, whose role is {_named(role)}")
    try:
        content = text_of(value["content"])
    except BadValue as error:
        raise BadValue(f"has a message, {number}, whose content {error}") from None
    return {name: field for name, field in value.items() if field is not None} | {"content": content}


def _is_parts(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(part, dict) and "type" in part and "role" not in part for part in value)


def _part(part: dict[str, Any]) -> str:
    if part["type"] != "text":
        raise BadValue(f"has a part of the type {part['type']}: prompts here are text only")
    return text_of(part.get("text"))


def _named(value: Any) -> str:
    """A value's kind, as a sentence names it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float, Decimal)):
        return "NaN" if value != value else f"the number {value}"
    if isinstance(value, (str, list, dict)):
        kind = {str: "text", list: "list", dict: "dict"}[type(value)]
        return f"a {kind}" if value else f"an empty {kind}"
    return f"a {type(value).__name__}"


def _first(places: Sequence[str]) -> str:
    more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    return ", ".join(places[:SHOWN]) + more
