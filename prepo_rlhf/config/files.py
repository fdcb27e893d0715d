"""Options from and to YAML: nested keys as in the dotted names, unknown keys refused.

Boundary: yaml, and pydantic by `bounds`; knows nothing of the command line, completes and validates nothing but types
and the bounds of single options.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.config.bounds import adapter, field_problems
from prepo_rlhf.config.root import GivenConfig

_MERGE = "tag:yaml.org,2002:merge"
_DEEPEST = 4  # keys, as in logger: {wandb: {key: ...}}, and one more for a group too many to be told by its name


def from_dict(options: Mapping[str, Any]) -> GivenConfig:
    """A `GivenConfig` from nested options; those not given keep their defaults.

    Raises ConfigError that lists every unknown, refused or ill-typed option.
    """
    if problems := field_problems(GivenConfig, options):
        raise ConfigError("\n".join(problems))
    return adapter(GivenConfig).validate_python(options)


def from_yaml(path: str | Path) -> GivenConfig:
    """A `GivenConfig` from the YAML file at `path`. Raises ConfigError also if the file can't be read."""
    try:
        options = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)
    except (OSError, ValueError, KeyError, RecursionError, yaml.YAMLError) as error:  # ValueError: a date in month 13
        raise ConfigError(f"--config {path}: can't be read as YAML: {error}") from None
    if options is None:
        return GivenConfig()
    if not isinstance(options, dict):
        raise ConfigError(f"--config {path}: holds no options; write them as nested keys, as --print_config does")
    if _depth(options, _DEEPEST + 1) > _DEEPEST:
        raise ConfigError(f"--config {path}: keys are nested more than {_DEEPEST} deep, which no option is")
    try:
        return from_dict(options)
    except ConfigError as error:
        raise ConfigError(f"--config {path}:\n{error}") from None


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
