"""Types and bounds of single options, as they stand at the fields: `batch_size: Annotated[int, Ge(1)] = 128`.

Boundary: pydantic; of the options it knows only which one is secret.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from prepo_rlhf.config.base import flatten
from prepo_rlhf.config.option_names import alternatives, option_types, unknown_option
from prepo_rlhf.config.refused import refusal

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
    types = option_types(kind)
    wrong = dict(_wrong_numbers({name: value for name, value in flatten(options) if name in types}, types))
    problems = list(wrong.values())
    try:
        adapter(kind).validate_python(options)
    except ValidationError as error:
        for problem in error.errors():
            if (name := _option_name(problem["loc"], types)) not in wrong:
                problems += _explain(name, problem, types)
    return list(dict.fromkeys(problems))


def _wrong_numbers(given: Mapping[str, Any], types: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What pydantic lets pass, by option: a NaN, which no bound refuses, and true for the number 1."""
    for name, value in given.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, float) and math.isnan(item):
                yield name, f"--{name} nan: must be a number"
            elif isinstance(item, bool) and bool not in alternatives(types[name]):
                yield name, f"--{name} {str(item).lower()}: is not a switch; give a value, a text in quotes"


def _option_name(place: Sequence[int | str], types: Mapping[str, Any]) -> str:
    """The option, or the key that is none, in which pydantic has found something; where in its value is left out."""
    names = [".".join(map(str, place[: end + 1])) for end in range(len(place))]
    return next((name for name in names if name in types), names[-1])


def _explain(name: str, problem: Mapping[str, Any], types: Mapping[str, Any]) -> list[str]:
    """One of pydantic's errors as lines that name the options."""
    kind, value = problem["type"], problem["input"]
    if kind == "unexpected_keyword_argument":
        return _unknown_group(name, value, types) if isinstance(value, Mapping) else [_unknown_key(name, value, types)]
    if kind == "invalid_key":
        group = ".".join(map(str, problem["loc"][:-1]))
        return [f"{f'--{group}: ' if group else ''}the key {value!r} is no text: put it in quotes"]
    if kind == "dataclass_type":
        return [f"--{name}: is a group of options, which stand below it, further to the right; {_given(name, value)}"]
    for bound, limit in problem.get("ctx", {}).items():
        if bound in _SENTENCES:
            return [f"--{name} {value}: {_SENTENCES[bound]} {limit:g}"]
    if told := refusal(name, value):
        return [told]
    message = "More values are needed" if kind == "missing" else problem["msg"].removeprefix("Value error, ")
    quotes = "; put it in quotes" if kind == "string_type" and str in alternatives(types.get(name)) else ""
    return [f"--{name}: {message}, {_given(name, value)}{quotes}"]


def _given(name: str, value: object) -> str:
    return "which is not shown" if name == SECRET else f"got {reprlib.repr(value)}"


def _unknown_group(name: str, options: Mapping[str, Any], types: Mapping[str, Any]) -> list[str]:
    refused = [told for option, value in flatten({name: options}) if (told := refusal(option, value))]
    groups = {option.rpartition(".")[0] for option in types}
    return refused or [unknown_option(name, options, groups)]


def _unknown_key(name: str, value: object, types: Mapping[str, Any]) -> str:
    if name in types:  # `train.seed: 3`, in one key
        nested = name.replace(".", ": {") + ": ..." + "}" * name.count(".")
        return f"--{name}: write it as nested keys, {nested}"
    return unknown_option(name, value, types)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
