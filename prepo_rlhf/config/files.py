"""Options from and to YAML: nested keys as in the dotted names, unknown keys refused.

A file may name another whose options it takes, `extends: other.yaml`, and states what it changes.
Boundary: yaml, and pydantic by `bounds`; knows nothing of the command line, completes and validates nothing but types
and the bounds of single options.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import yaml

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.config.bounds import adapter, field_problems
from prepo_rlhf.config.option_names import option_types
from prepo_rlhf.config.root import GivenConfig

_EXTENDS = "extends"
_MERGE = "tag:yaml.org,2002:merge"
_DEEPEST = 8  # keys: a group too many is told by its name, and a JSON object that an option takes has keys of its own


def from_dict(options: Mapping[str, Any]) -> GivenConfig:
    """A `GivenConfig` from nested options; those not given keep their defaults.

    Raises ConfigError that lists every unknown, refused or ill-typed option.
    """
    if problems := field_problems(GivenConfig, options):
        raise ConfigError("\n".join(problems))
    return adapter(GivenConfig).validate_python(options)


def from_yaml(path: str | Path) -> GivenConfig:
    """A `GivenConfig` from the YAML file at `path`, over that of the file which it may extend.

    Raises ConfigError that names the file at fault, also if it can't be read.
    """
    told = f"--config {path}"
    options = _read(Path(path), told)
    if _EXTENDS not in options:
        return _checked(options, told)
    parent = options.pop(_EXTENDS)
    if not isinstance(parent, str) or not parent:
        raise ConfigError(f"{told}: {_EXTENDS} takes the path of one YAML file, relative to this one; got {parent!r}")
    changed = _checked(options, told)
    parent_told = f"{Path(path).parent / parent}, which {told} extends"
    inherited = _read(Path(path).parent / parent, parent_told)
    if _EXTENDS in inherited:
        raise ConfigError(
            f"{parent_told}: extends {inherited[_EXTENDS]} in turn, and only one step is followed: extend that file, "
            f"and repeat the options of {parent}"
        )
    return _checked(inherited, parent_told).replaced({name: attrgetter(name)(changed) for name in _names(options)})


def _read(path: Path, told: str) -> dict[Any, Any]:
    """The nested keys of a YAML file; `told` begins the sentence where it can't be read or holds something else."""
    try:
        options = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, ValueError, KeyError, RecursionError, yaml.YAMLError) as error:  # ValueError: a date in month 13
        raise ConfigError(f"{told}: can't be read as YAML: {error}") from None
    if not isinstance(options, dict | None):
        raise ConfigError(f"{told}: holds no options; write them as nested keys, as --print_config does")
    if _depth(options, _DEEPEST + 1) > _DEEPEST:
        raise ConfigError(f"{told}: keys are nested more than {_DEEPEST} deep, which no option is")
    return options or {}


def _checked(options: Mapping[Any, Any], told: str) -> GivenConfig:
    try:
        return from_dict(options)
    except ConfigError as error:
        raise ConfigError(f"{told}:\n{error}") from None


def _names(options: Mapping[str, Any]) -> Iterator[str]:
    """The dotted names of the valid options that stand in nested keys; the value of one may be a mapping itself."""
    for name in option_types(GivenConfig):
        keys, place = name.split("."), options
        while keys and isinstance(place, Mapping) and keys[0] in place:
            place = place[keys.pop(0)]
        if not keys:
            yield name


class _Loader(yaml.SafeLoader):
    """YAML, but that a key which stands twice is an error: the first of them would be dropped without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE]
        for number, key in enumerate(keys):
            if key.value in (earlier.value for earlier in keys[:number]):
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
        return super().construct_mapping(node, deep)


def _depth(options: object, limit: int) -> int:
    """How deep groups are nested, counted up to `limit`: an anchor may hold itself."""
    if not isinstance(options, Mapping) or limit == 0:
        return 0
    return 1 + max((_depth(value, limit - 1) for value in options.values()), default=0)


def to_yaml(config: GivenConfig, secrets: bool = False) -> str:
    """All options as YAML that `from_yaml` reads back. The W&B key is written as null unless `secrets`."""
    options = config.to_dict()
    if not secrets:
        options["logger"]["wandb"]["key"] = None
    plain = json.loads(json.dumps(options))  # tuples as lists, which is what YAML has
    return yaml.safe_dump(plain, sort_keys=False)
