"""Bounds of a single option, written at its field: `batch_size: Annotated[int, Ge(1)] = 128`.

Pydantic reads them when YAML is loaded, `bound_problems` whatever the values come from; both answer in the same words.
Boundary: standard library and annotated_types; knows no option.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

_SENTENCES = {"ge": "must be at least", "gt": "must be above", "le": "must not be above", "lt": "must be below"}


def bound_problems(options: Any, prefix: str = "") -> Iterator[str]:
    """A sentence for each value outside its field's bounds, in a dataclass of options and in the groups in it."""
    hints = get_type_hints(type(options), include_extras=True)
    for field in fields(options):
        name, value = prefix + field.name, getattr(options, field.name)
        if is_dataclass(value):
            yield from bound_problems(value, f"{name}.")
        elif value is not None:
            for kind, limit in _bounds(hints[field.name]):
                if not getattr(operator, kind)(value, limit):  # so that nan, which compares to nothing, is refused
                    yield out_of_bounds(name, value, kind, limit)


def out_of_bounds(name: str, value: object, kind: str, limit: float) -> str:
    """The sentence for a value that breaks the bound `kind` ("ge", "gt", "le" or "lt", as pydantic has them too)."""
    return f"--{name} {value}: {_SENTENCES[kind]} {limit:g}"


def _bounds(hint: Any) -> Iterator[tuple[str, float]]:
    """The bounds anywhere in a type, such as `Annotated[int, Ge(1)] | None`."""
    if isinstance(hint, Ge | Gt | Le | Lt):
        kind = type(hint).__name__.lower()
        yield kind, getattr(hint, kind)
    for part in get_args(hint):
        yield from _bounds(part)
