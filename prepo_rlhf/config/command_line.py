"""Command line to `Config`: dotted flags over a YAML file over the defaults.

Boundary: tyro; the only module here that prints or exits (for `--help`, `--print_config` and ill-formed flags).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated

import tyro

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.config.checks import check
from prepo_rlhf.config.files import from_yaml, to_yaml
from prepo_rlhf.config.refused import refusal
from prepo_rlhf.config.resolve import resolve
from prepo_rlhf.config.root import Config


@dataclass
class _CommandLine:
    """PREPO training: rank prompts by perplexity, roll out the window that fits, weigh rollouts by entropy."""

    options: Annotated[Config, tyro.conf.arg(name="")] = field(default_factory=Config)
    config: str | None = None
    """YAML file of options; flags on the command line win over it."""
    print_config: bool = False
    """Print all options as YAML, those derived from others included, and exit."""


def parse_args(argv: Sequence[str] | None = None) -> Config:
    """The complete, valid options of a command line (by default the process's own, without the program's name).

    Raises ConfigError for refused, contradictory or missing options. Exits with 0 after `--help` and `--print_config`
    (which skips validation, so that it can start a file), with 2 for an unknown flag or a value of the wrong type.
    """
    options, print_config = parse_options(sys.argv[1:] if argv is None else argv)
    resolve(options)
    if print_config:
        print(to_yaml(options), end="")
        raise SystemExit(0)
    check(options)
    return options


def parse_options(argv: Sequence[str]) -> tuple[Config, bool]:
    """The options as given, neither completed nor validated, and whether `--print_config` is among them."""
    _refuse(argv)
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config")
    path = finder.parse_known_args(argv)[0].config
    base = _CommandLine(options=from_yaml(path) if path else Config())
    secret, base.options.logger.wandb.key = base.options.logger.wandb.key, None  # --help shows defaults
    parsed = tyro.cli(_CommandLine, args=list(argv), default=base, use_underscores=True)
    parsed.options.logger.wandb.key = parsed.options.logger.wandb.key or secret
    return parsed.options, parsed.print_config


def _refuse(argv: Sequence[str]) -> None:
    """Raise for flags that OpenRLHF has and this project leaves out."""
    problems = []
    for token, following in pairwise([*argv, ""]):
        if token.startswith("--"):
            name, _, value = token[2:].partition("=")
            problems.append(refusal(name.replace("-", "_"), value or following))
    if any(problems):
        raise ConfigError("\n".join(problem for problem in problems if problem))
