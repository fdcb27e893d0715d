"""The answer to `--help` where a command has many options: those that matter; `--help-all` is tyro's, with all.

Boundary: dataclasses of options in, text out. An option's help is the string under its field, read from the source.
"""

from __future__ import annotations

import ast
import inspect
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache, partial
from operator import attrgetter
from typing import Any, Literal, get_args, get_origin, get_type_hints

from prepo_rlhf.config.option_names import MANY, alternatives, num_values, option_types

HELP, HELP_ALL = ("-h", "--help", "-help"), ("--help-all", "--help_all")
WIDEST = 120
_INDENT = " " * 6


def short_help(program: str, about: str, kind: type, sections: Mapping[str, Sequence[str]]) -> str:
    """Title by title, the options of these names of the dataclass `kind`, all of which have defaults."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    wrap = partial(textwrap.wrap, width=width, break_on_hyphens=False)
    types, texts, defaults = option_types(kind), dict(_texts(kind, "")), kind()
    lines = [f"usage: {program} [OPTIONS]", "", *wrap(about)]
    for title, names in sections.items():
        lines += ["", f"{title}:"]
        for name in names:
            given, default = f"  --{name} {_placeholder(types[name])}", attrgetter(name)(defaults)
            text = f"{texts[name]}{_default(default)}"
            if len(given) > width:  # a long list of choices, which has no place to break at
                given = given.replace(",", ", ")
            lines += wrap(given.rstrip(), subsequent_indent=_INDENT)
            lines += wrap(text, initial_indent=_INDENT, subsequent_indent=_INDENT)
    closing = f"These are {sum(map(len, sections.values()))} of {len(types)} options; {HELP_ALL[0]} lists all of them."
    return "\n".join([*lines, "", *wrap(closing)])


@cache
def field_texts(kind: type) -> Mapping[str, str]:
    """The string under each field of the dataclass `kind`, by the field's name."""
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in zip(definition.body, definition.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }


def _texts(kind: type, prefix: str) -> Iterator[tuple[str, str]]:
    """Dotted name and help of every option of the dataclass `kind`."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        if is_dataclass(hints[field.name]):
            yield from _texts(hints[field.name], f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", field_texts(kind)[field.name]


def _placeholder(hint: Any) -> str:
    """What stands for the values of an option on a command line; nothing for a switch."""
    count, kind = num_values(hint), alternatives(hint)[0]
    if count == 0:
        return ""
    if get_origin(kind) is Literal:
        return f"{{{','.join(map(str, get_args(kind)))}}}"
    name = (get_args(kind) or (kind,))[0].__name__.upper()
    return f"{name} [{name} ...]" if count == MANY else " ".join([name] * count)


def _default(value: object) -> str:
    """Nothing for what is off, empty or told by the help text."""
    if value is None or value is False or isinstance(value, str | list) and not value:
        return ""
    return f" (default: {' '.join(map(str, value)) if isinstance(value, tuple) else value})"
