"""The options of a run that goes on from a checkpoint, and those that the run was begun with.

What may differ between them stands at the fields: `OnResume`.
Boundary: options, and the YAML file that they were saved in; where that is, and what to do about a difference, is for
the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml

from prepo_rlhf.config.base import ConfigError, OnResume, Options, differences, flatten
from prepo_rlhf.config.bounds import SECRET
from prepo_rlhf.config.files import from_dict
from prepo_rlhf.config.root import Config, GivenConfig

# Of one start, not of the run; each has another value as a rule, which nobody needs to be told.
_OF_A_START = ("ckpt.load_enable", "logger.overwrite", "logger.wandb.run_name", SECRET, "local_rank")


@cache
def on_resume() -> dict[str, OnResume]:
    """The class of every option, by its dotted name."""
    return classes_of(GivenConfig)


def classes_of(group: type[Options], prefix: str = "") -> dict[str, OnResume]:
    """The classes of a group's options and of those of the groups in it. Raises TypeError for one that has none."""
    hints, found = get_type_hints(group, include_extras=True), {}
    for field in fields(group):
        name, kind = prefix + field.name, hints[field.name]
        if isinstance(kind, type) and issubclass(kind, Options):
            found |= classes_of(kind, f"{name}.")
            continue
        markers = [marker for marker in get_args(kind) if isinstance(marker, OnResume)]
        if not markers and not hasattr(group, "on_resume"):
            raise TypeError(f"--{name}: neither its field nor {group.__name__} says what becomes of it on resumption")
        found[name] = markers[0] if markers else group.on_resume
    return found


def read_options(path: Path) -> GivenConfig:
    """The options that a run was begun with, from its config.yaml.

    Raises ConfigError, with the path, if they cannot be read or are not whole.
    """
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(options, dict) or not all(isinstance(name, str) for name in options):
        raise ConfigError(f"{path} holds no options")
    try:
        given = from_dict(options)
    except ConfigError as error:
        raise ConfigError(f"{path} is damaged, or of another version of prepo_rlhf: {error}") from error
    there = dict(flatten(options))
    # A default would not be what the optimizer was made with; of the others it is what an older version did.
    if missing := [name for name, kind in on_resume().items() if kind is OnResume.KEPT and name not in there]:
        raise ConfigError(f"{path} is damaged: it has no --{missing[0]}")
    return given


def changed(saved: GivenConfig, now: GivenConfig, kind: OnResume) -> list[str]:
    """`--name was X and is now Y` for each option of this class that differs."""
    names = [name for name, its_kind in on_resume().items() if its_kind is kind and name not in _OF_A_START]
    return differences(_values(saved, names), _values(now, names))


def _values(config: GivenConfig, names: Sequence[str]) -> dict[str, Any]:
    """Options by their names, tuples as lists, which is what YAML makes of them."""
    values = {name: attrgetter(name)(config) for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def keep(saved: GivenConfig, now: Config) -> Config:
    """`now` with the values of `saved` for what is kept."""
    kept: dict[str, Any] = {
        name: attrgetter(name)(saved) for name, kind in on_resume().items() if kind is OnResume.KEPT
    }
    return now.replaced(kept)
