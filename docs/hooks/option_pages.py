"""A command's options as a page: name, values, default, help and, of a training run's, what a resumption does with it.

All is read from the option groups in `prepo_rlhf`: types and defaults at the fields, help in the string under each.
Boundary: dataclasses of options in, Markdown out.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

from prepo_rlhf.config.base import OnResume, Options
from prepo_rlhf.config.option_names import alternatives, option_types
from prepo_rlhf.config.short_help import field_texts

BOUNDS = {Ge: ("at least", "ge"), Gt: ("above", "gt"), Le: ("at most", "le"), Lt: ("below", "lt")}
NAMES = {int: "whole number", float: "number", str: "text", bool: "switch"}
RESUMED = {
    OnResume.SAME: "another value is refused",
    OnResume.KEPT: "the checkpoint's value is kept",
    OnResume.TAKES_EFFECT: "a new value takes effect",
}


def options_of(kind: type[Options], first: str = "") -> str:
    """Markdown: a section for each group of the command `kind`, the group `first` before the others."""
    names = frozenset(option_types(kind))
    sections = dict(_sections(kind, "", names))
    return "\n\n".join([*(sections.pop(name) for name in [first] if first), *sections.values()])


def _sections(kind: type[Options], group: str, names: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Name and text of a group and, after it, of each group in it."""
    hints = get_type_hints(kind, include_extras=True)
    inner = {field.name: hints[field.name] for field in fields(kind) if _is_group(hints[field.name])}
    entries = [
        _entry(kind, field, hints[field.name], f"{group}.{field.name}".lstrip("."), names)
        for field in fields(kind)
        if field.name not in inner
    ]
    if entries:
        title = f"`--{group}.*`" if group else "Options without a group"
        about = (kind.__doc__ or "").splitlines()[0] if group else ""
        yield group, "\n\n".join([f"{'###' if '.' in group else '##'} {title}", about, *entries])
    for name, its_kind in inner.items():
        yield from _sections(its_kind, f"{group}.{name}".lstrip("."), names)


def _is_group(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Options)


def _entry(kind: type[Options], field: Field[Any], hint: Any, name: str, names: frozenset[str]) -> str:
    """A term with an anchor of the option's name, and its definition."""
    facts = [_values(hint)]
    if (default := _default(field)) is not None:
        facts.append(f"default {default}")
    markers = [marker for marker in _markers(hint) if isinstance(marker, OnResume)]
    if resumed := next(iter(markers), getattr(kind, "on_resume", None)):
        facts.append(f"on resumption: {RESUMED[resumed]}")
    text = _linked(html.escape(" ".join(field_texts(kind)[field.name].split()), quote=False), names - {name})
    return f"`--{name}`{{ #{name} }}\n\n:   {text}\n\n    {' · '.join(facts)}\n    {{ .facts }}"


def _linked(text: str, names: frozenset[str]) -> str:
    """`text` with the options that it mentions as links to them."""
    return re.sub(r"--([a-z]\w*(?:\.\w+)*)", lambda m: f"[`{m[0]}`](#{m[1]})" if m[1] in names else f"`{m[0]}`", text)


def _markers(hint: Any) -> Iterator[Any]:
    """Bounds and classes of an annotated type, those of its alternatives among them."""
    if get_origin(hint) is Annotated:
        yield from hint.__metadata__
    if get_origin(hint) is not Literal:
        for part in get_args(hint):
            yield from _markers(part)


def _values(hint: Any) -> str:
    """What may be given, in words."""
    kinds = list(dict.fromkeys(_kind(one) for one in alternatives(hint)))
    bounds = [f"{word} {getattr(marker, name):g}" for marker in _markers(hint) for word, name in _bound(marker)]
    return ", ".join([" or ".join(kinds), *bounds])


def _bound(marker: Any) -> list[tuple[str, str]]:
    return [BOUNDS[type(marker)]] if type(marker) in BOUNDS else []


def _kind(hint: Any) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in parts)
    if origin is list or Ellipsis in parts:
        return f"{NAMES[alternatives(parts[0])[0]]}s, one or several"
    if origin is tuple:
        return f"{len(parts)} {NAMES[alternatives(parts[0])[0]]}s"
    return NAMES[hint]


def _default(field: Field[Any]) -> str | None:
    """A default as one would type it; None where there is none, or the help says what follows from other options."""
    if field.default is MISSING or field.default is None or field.default == "":
        return None
    if isinstance(field.default, bool):
        return "on" if field.default else "off"
    values = field.default if isinstance(field.default, tuple) else (field.default,)
    return f"`{' '.join(map(str, values))}`"
