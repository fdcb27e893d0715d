"""The error, the base class of all option groups, their dotted names, and how their values differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, ClassVar

from typing_extensions import Self


class ConfigError(ValueError):
    """An option that can't be used: the message names it as `--group.name` and says what to do."""


class OnResume(Enum):
    """What becomes of an option that has another value when `--ckpt.load_enable` goes on from a checkpoint."""

    SAME = auto()
    """Refused: with another value the checkpoint means nothing, or the run is no longer the one that was begun."""
    KEPT = auto()
    """The checkpoint's value stays: the optimizer and its schedule are restored with it."""
    TAKES_EFFECT = auto()
    """The new value holds from the next step on: it changes where and how fast a job runs, or what it tells."""


@dataclass(frozen=True)
class Options:
    """Base of all groups, which are frozen dataclasses: a changed value is a changed copy."""

    on_resume: ClassVar[OnResume]
    """Of every option of the group that is not annotated with another: `Annotated[int, OnResume.KEPT]`."""

    # Read by pydantic when a YAML file is loaded: a misspelt key is an error.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def replaced(self, changes: Mapping[str, Any]) -> Self:
        """A copy with other values, by dotted name: `config.replaced({"train.seed": 3})`."""
        values: dict[str, Any] = {}
        for name, value in changes.items():
            group, _, rest = name.partition(".")
            values[group] = values.get(group, getattr(self, group)).replaced({rest: value}) if rest else value
        return replace(self, **values)


def flatten(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of every option in nested groups; tuples become lists, which is what YAML has."""
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value


def differences(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`--name was X and is now Y` for each option of `now` that has another value, or none, in `saved`."""
    return [
        f"--{name} was {saved.get(name)!r} and is now {value!r}"
        for name, value in now.items()
        if saved.get(name) != value
    ]
