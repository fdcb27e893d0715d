"""The error and the base class of all option groups.

Boundary: standard library only.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ConfigError(ValueError):
    """An option that can't be used: the message names it as `--group.name` and says what to do."""


class Options:
    """Base of all groups."""

    # Read by pydantic when a YAML file is loaded: a misspelt key is an error.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
