"""Types and bounds of single options, as they stand at the fields: `batch_size: Annotated[int, Ge(1)] = 128`.

Boundary: pydantic; of the options it knows only which one is secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from typing import Annotated, Any, get_type_hints

from pydantic import BeforeValidator, TypeAdapter, ValidationError

SECRET = "logger.wandb.key"
_SENTENCES = {"ge": "must be at least", "gt": "must be above", "le": "must not be above", "lt": "must be below"}


def json_object(value: Any) -> Any:
    """The text of a JSON object, in one spelling, from that text or from a mapping; None stays None.

    Raises ValueError for what is neither.
    """
    if value is None:
        return None
    try:
        found = json.loads(value, parse_constant=_refuse_constant) if isinstance(value, str) else value
        text = json.dumps(found, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"must be a JSON object ({error})") from None
    if not isinstance(found, dict):
        raise ValueError('must be a JSON object, as in {"enable_thinking": false}')
    return text


JsonObject = Annotated[str, BeforeValidator(json_object)]
"""Text on the command line; in a YAML file also a mapping."""


@cache
def adapter(kind: type) -> TypeAdapter[Any]:
    """What reads the dataclass `kind` from nested options; made once, which takes longer than reading."""
    return TypeAdapter(kind)


def field_problems(kind: type, options: Mapping[str, Any]) -> list[str]:
    """A line for each of the nested `options` that the dataclass `kind` doesn't have, or not with that value."""
    try:
        adapter(kind).validate_python(options)
    except ValidationError as error:
        return list(dict.fromkeys(_explain(kind, problem) for problem in error.errors()))
    return []


def _explain(kind: type, problem: Mapping[str, Any]) -> str:
    """One of pydantic's errors as a line that names the option."""
    name = ".".join(_option(kind, problem["loc"]))
    if problem["type"] == "unexpected_keyword_argument":
        return f"--{name}: unknown option; --help lists all of them"
    for bound, limit in problem.get("ctx", {}).items():
        if bound in _SENTENCES:
            return f"--{name} {problem['input']}: {_SENTENCES[bound]} {limit:g}"
    given = "" if name == SECRET else f", got {problem['input']!r}"
    return f"--{name}: {problem['msg'].removeprefix('Value error, ')}{given}"


def _option(kind: Any, place: Sequence[str | int]) -> list[str]:
    """The option that holds `place`, which goes on into the option's value: its item, its member of a union."""
    parts: list[str] = []
    for part in place:
        if not is_dataclass(kind):
            break
        parts.append(str(part))
        kind = get_type_hints(kind).get(str(part))
    return parts


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
