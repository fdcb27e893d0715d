"""Command line to `GivenConfig`: dotted flags over a YAML file over the defaults.

Boundary: tyro; the only module here that prints or exits (for `--help`, `--help-all`, `--print_config` and values of a
wrong type).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import tyro

from prepo_rlhf.config.arguments import understood
from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.config.bounds import SECRET
from prepo_rlhf.config.files import from_yaml, to_yaml
from prepo_rlhf.config.option_names import option_types
from prepo_rlhf.config.resolve import completed
from prepo_rlhf.config.root import GivenConfig
from prepo_rlhf.config.short_help import HELP, short_help

PROGRAM = "prepo train"
ABOUT = "PREPO training: rank prompts by perplexity, roll out the window that fits, weigh rollouts by entropy."
OF_A_FILE = "--config FILE reads options from YAML, and the command line wins; --print_config shows the effective ones."
# In the order in which a job's options are decided on.
THAT_MATTER = (
    "actor.model_name_or_path", "data.prompt_dataset", "data.input_key", "data.label_key", "data.input_template",
    "data.max_len", "reward.remote_url", "rollout.batch_size", "rollout.n_samples_per_prompt", "rollout.stop",
    "train.batch_size", "train.num_episodes", "actor.num_gpus_per_node", "vllm.num_engines", "train.colocate_all",
    "train.async_enable", "train.full_determinism_enable", "logger.run_dir", "logger.overwrite", "ckpt.load_enable",
)  # fmt: skip


@dataclass
class _CommandLine:
    """All options of training, and what to do with them."""

    options: Annotated[GivenConfig, tyro.conf.arg(name="")] = field(default_factory=GivenConfig)
    config: str | None = None
    """YAML file of options; flags on the command line win over it."""
    print_config: bool = False
    """Print all options as YAML, with what follows from others on any machine, and exit."""


def parse_args(argv: Sequence[str] | None = None) -> GivenConfig:
    """The options of a command line (by default the process's own), neither completed nor validated.

    Raises ConfigError for options that are refused, unknown or without a value. Exits with 0 after a help and
    `--print_config` (which skips validation, so that it can start a file), with 2 for a value of the wrong type.
    """
    options = {**option_types(GivenConfig), "config": str, "print_config": bool}
    argv = sys.argv[1:] if argv is None else argv
    if set(HELP) & set(argv):
        own = [name for name in options if name.startswith("prepo.")]
        sections = {"PREPO's own options": own, "Options of any job that matter most": THAT_MATTER}
        print(short_help(PROGRAM, f"{ABOUT} {OF_A_FILE}", GivenConfig, sections))
        raise SystemExit(0)
    argv = understood(argv, options, as_openrlhf=True)
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config")
    path = finder.parse_known_args(argv)[0].config
    if path == "":
        raise ConfigError("--config: give a YAML file of options, or leave it out")
    base = GivenConfig() if path is None else from_yaml(path)
    shown = base.replaced({SECRET: None})  # --help shows defaults
    parsed = tyro.cli(
        _CommandLine, prog=PROGRAM, description=ABOUT, args=argv, default=_CommandLine(shown), use_underscores=True
    )
    given = parsed.options.replaced({SECRET: parsed.options.logger.wandb.key or base.logger.wandb.key})
    if parsed.print_config:
        print(to_yaml(completed(given)), end="")
        raise SystemExit(0)
    return given
