"""Types and bounds of single options, as they stand at the fields: `batch_size: Annotated[int, Ge(1)] = 128`.

Boundary: pydantic; of the options it knows only which one is secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

SECRET = "logger.wandb.key"
_SENTENCES = {"ge": "must be at least", "gt": "must be above", "le": "must not be above", "lt": "must be below"}


def field_problems(kind: type, options: Mapping[str, Any]) -> list[str]:
    """A line for each of the nested `options` that the dataclass `kind` doesn't have, or not with that value."""
    try:
        TypeAdapter(kind).validate_python(options)
    except ValidationError as error:
        return [_explain(problem) for problem in error.errors()]
    return []


def _explain(problem: Mapping[str, Any]) -> str:
    """One of pydantic's errors as a line that names the option."""
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "unexpected_keyword_argument":
        return f"--{name}: unknown option; --help lists all of them"
    for bound, limit in problem.get("ctx", {}).items():
        if bound in _SENTENCES:
            return f"--{name} {problem['input']}: {_SENTENCES[bound]} {limit:g}"
    given = "" if name == SECRET else f", got {problem['input']!r}"
    return f"--{name}: {problem['msg']}{given}"
