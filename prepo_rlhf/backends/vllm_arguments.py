"""Whether vLLM has the options of `--vllm.engine_args`, and takes their values: asked of the vLLM that is installed.

Boundary: imports vLLM, which takes seconds, so only where such options are given. What breaks a job although vLLM takes
it is in `config.engine_args`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from types import NoneType
from typing import Any, Literal, get_origin

from pydantic import TypeAdapter, ValidationError

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.config.option_names import alternatives, similar

_PLAIN = (bool, int, float, str, NoneType)


def check(option: str, given: Mapping[str, Any]) -> None:
    """Refuse names that are none of vLLM's engine arguments, and plain values that they do not take.

    Raises:
        ConfigError: a line for each of them.
    """
    if not given:
        return
    from vllm.config.speculative import SpeculativeConfig
    from vllm.engine.arg_utils import AsyncEngineArgs

    problems = list(_problems(option, AsyncEngineArgs, given))
    problems += _problems(f"{option} speculative_config", SpeculativeConfig, given.get("speculative_config") or {})
    if problems:
        raise ConfigError("\n".join(problems))


def _problems(place: str, kind: Any, given: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the values `given` to the dataclass `kind`."""
    types: dict[str, Any] = {field.name: field.type for field in fields(kind)}
    for name, value in given.items():
        if name not in types:
            guess = " or ".join(similar(name.replace("-", "_"), types))
            remedy = f"did you mean {guess}?" if guess else "vLLM's documentation of EngineArgs lists all of them"
            yield f"{place} {name}: vLLM has no such option; {remedy}"
        elif _is_plain(types[name]):
            try:
                TypeAdapter(types[name]).validate_python(value, strict=True)
            except ValidationError as error:
                message = error.errors()[0]["msg"].replace("Input should", "must")
                yield f"{place} {name} {value!r}: {message}"


def _is_plain(hint: Any) -> bool:
    """Whether JSON has its values: of others vLLM makes objects in ways of its own."""
    return all(kind in _PLAIN or get_origin(kind) is Literal for kind in alternatives(hint))
