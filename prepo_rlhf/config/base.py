"""The error, the base class of all option groups, and how their values differ.

Boundary: standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class ConfigError(ValueError):
    """An option that can't be used: the message names it as `--group.name` and says what to do."""


class Options:
    """Base of all groups."""

    # Read by pydantic when a YAML file is loaded: a misspelt key is an error.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


def differences(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`--name was X and is now Y` for each option of `now` that has another value, or none, in `saved`."""
    return [
        f"--{name} was {saved.get(name)!r} and is now {value!r}"
        for name, value in now.items()
        if saved.get(name) != value
    ]
