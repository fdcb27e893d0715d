"""Options from and to YAML: nested keys as in the dotted names, unknown keys refused.

Boundary: yaml, and pydantic by `bounds`; knows nothing of the command line, completes and validates nothing but types
and the bounds of single options.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.config.bounds import adapter, field_problems
from prepo_rlhf.config.refused import refusal
from prepo_rlhf.config.root import GivenConfig


def from_dict(options: Mapping[str, Any]) -> GivenConfig:
    """A `GivenConfig` from nested options; those not given keep their defaults.

    Raises ConfigError that lists every unknown, refused or ill-typed option.
    """
    refused = [text for name, value in flatten(options) if (text := refusal(name, value))]
    if problems := refused or field_problems(GivenConfig, options):
        raise ConfigError("\n".join(problems))
    return adapter(GivenConfig).validate_python(options)


def from_yaml(path: str | Path) -> GivenConfig:
    """A `GivenConfig` from the YAML file at `path`. Raises ConfigError also if the file can't be read."""
    try:
        options = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"--config {path}: can't be read as YAML: {error}") from None
    if not isinstance(options or {}, dict):
        raise ConfigError(f"--config {path}: holds no options; write them as nested keys, as --print_config does")
    try:
        return from_dict(options or {})
    except ConfigError as error:
        raise ConfigError(f"--config {path}:\n{error}") from None


def to_yaml(config: GivenConfig, secrets: bool = False) -> str:
    """All options as YAML that `from_yaml` reads back. The W&B key is written as null unless `secrets`."""
    options = config.to_dict()
    if not secrets:
        options["logger"]["wandb"]["key"] = None
    plain = json.loads(json.dumps(options))  # tuples as lists, which is what YAML has
    return yaml.safe_dump(plain, sort_keys=False)


def flatten(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of every option in nested groups; tuples become lists, which is what YAML has."""
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value
