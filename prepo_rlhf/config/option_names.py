"""The names of all options of a command, what each takes, and which of them a misspelt name may stand for.

Boundary: dataclasses and their types; what is told of names that others have given up is in `refused` and
`older_names`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from prepo_rlhf.config.older_names import OLDER, todays_name
from prepo_rlhf.config.refused import refusal

MANY = -1  # of values: as many as follow
_SHOWN = 3  # candidates for a misspelt name
_ALIKE = 0.75  # of letters, for two names to be taken for the same


@cache
def option_types(kind: type) -> Mapping[str, Any]:
    """Dotted name -> type, without bounds, of every option of the dataclass `kind`; groups are not options."""
    return dict(_walk(kind, ""))


def _walk(kind: type, prefix: str) -> Iterator[tuple[str, Any]]:
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        hint = hints[field.name]
        while get_origin(hint) is Annotated:
            hint = get_args(hint)[0]
        if is_dataclass(hint):
            yield from _walk(hint, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", hint


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The types of a union but None, or the type itself; without bounds."""
    if get_origin(hint) is Annotated:
        return alternatives(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return tuple(one for part in get_args(hint) if part is not NoneType for one in alternatives(part))
    return (hint,)


def num_values(hint: Any) -> int:
    """How many values follow an option of this type on a command line: 0 for a switch, MANY for a list."""
    counts = [_num_values(one) for one in alternatives(hint)]
    return MANY if MANY in counts else max(counts)


def _num_values(hint: Any) -> int:
    if hint is bool:
        return 0
    parts = get_args(hint) if get_origin(hint) is tuple else ()
    if get_origin(hint) is list or Ellipsis in parts:
        return MANY
    return len(parts) or 1


def unknown_option(name: str, value: object, names: Iterable[str], as_openrlhf: bool = True) -> str:
    """What to tell a user who gave an option `name`, which is none of `names`: what it looks like; or, of OpenRLHF's
    names where they are taken, what it is called today or why it is left out."""
    plain = name.replace("-", "_")
    if as_openrlhf and (told := _of_openrlhf(plain, value)):
        return told
    if any(other.startswith(f"{plain}.") for other in names):
        return f"--{name}: is a group of options, each of which is given by itself: --{name}.NAME VALUE"
    found = [f"--{candidate}" for candidate in similar(plain, names)]
    guess = f"did you mean {' or '.join(found)}?" if found else "--help-all lists all of them"
    return f"--{name}: unknown option; {guess}"


def _of_openrlhf(name: str, value: object) -> str | None:
    if told := refusal(name, value):
        return told
    if name.startswith("no_") and (positive := OLDER.get(name.removeprefix("no_"))):
        group, _, last = positive.rpartition(".")
        return f"--{name}: is now --{group}.no_{last}"
    if told := todays_name(name):
        successor = told.removeprefix("is now --")
        return refusal(successor, value, shown=f"{name} (now --{successor})") or f"--{name}: {told}"
    return None


def similar(name: str, names: Iterable[str]) -> list[str]:
    """The few of `names` that `name` may stand for, the likeliest first: those that end as it does, hold all its words,
    or are spelt alike, as a whole or in the last part."""
    wanted, flat = name.lower().strip("._"), {other.replace(".", "_"): other for other in names}
    whole, last = re.sub(r"\.+", "_", wanted), wanted.rpartition(".")[2]
    if whole in flat:
        return [flat[whole]]
    ends: dict[str, list[str]] = {}
    for other in flat.values():
        ends.setdefault(other.rpartition(".")[2], []).append(other)
    same_end = sorted(ends.get(last, []), key=lambda other: other.partition(".")[0] != wanted.partition(".")[0])
    successor = [OLDER[last]] if OLDER.get(last) in flat.values() else []
    words = set(whole.split("_"))
    longer = sorted((other for other in flat if words <= set(other.split("_"))), key=lambda other: other.count("_"))
    alike = get_close_matches(whole, flat, _SHOWN, _ALIKE)
    alike_end = [other for end in get_close_matches(last, ends, _SHOWN, _ALIKE) for other in ends[end]]
    found = [*same_end, *successor, *(flat[other] for other in (*longer, *alike)), *alike_end]
    return list(dict.fromkeys(found))[:_SHOWN]
