"""Weights & Biases: logged in before anything heavy starts, with a key that no other part of the job sees.

Boundary: the driver's process; wandb is imported only where it is wanted.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from prepo_rlhf.config import Config, ConfigError

KEY_VARIABLE = "WANDB_API_KEY"


def log_in(config: Config) -> Config:
    """Log this process in; returns the options, which go to files and other processes, without a key.

    Raises:
        ConfigError: there is no key, or one that cannot be.
    """
    settings = config.logger.wandb
    if not settings.enable:
        return config
    if key := settings.key:
        _hide(key)
    import wandb

    keyless = config.replaced({"logger.wandb.key": None})
    if wandb.setup().settings.mode != "online":  # nobody to log in to
        return keyless
    try:
        with _in_environment(key):
            known = wandb.login(prompt=False, verify=False)
    except wandb.errors.AuthenticationError as error:
        raise ConfigError(f"--logger.wandb.enable: the key of Weights & Biases cannot be one: {error}") from None
    if not known:
        raise ConfigError(
            f"--logger.wandb.enable: no key of Weights & Biases is known: set {KEY_VARIABLE}, or run `wandb login` "
            "once; with WANDB_MODE=offline none is needed"
        )
    return keyless


def start(config: Config) -> Any:
    """The run at Weights & Biases, or None if none is wanted; after `log_in`."""
    settings = config.logger.wandb
    if not settings.enable:
        return None
    import wandb

    options = config.to_dict()
    options["logger"]["wandb"].pop("key")
    return wandb.init(
        entity=settings.org, project=settings.project, group=settings.group, name=settings.run_name, config=options
    )


def _hide(key: str) -> None:
    """Take the key out of the command line, which Ray and wandb write down and which the list of processes shows."""
    if not any(key in argument for argument in sys.argv):
        return
    import setproctitle

    warnings.warn(
        "--logger.wandb.key on a command line can be read by others, in the list of processes and in Ray's list of "
        f"jobs: set {KEY_VARIABLE} or run `wandb login` once, and give --logger.wandb.enable",
        stacklevel=2,
    )
    sys.argv = [argument.replace(key, "***") for argument in sys.argv]
    setproctitle.setproctitle(setproctitle.getproctitle().replace(key, "***"))


@contextmanager
def _in_environment(key: str | None) -> Generator[None]:
    """The one way to tell wandb of a key that it keeps in this process, instead of writing it to ~/.netrc."""
    before = os.environ.get(KEY_VARIABLE)
    if key:
        os.environ[KEY_VARIABLE] = key
    try:
        yield
    finally:
        if key:
            os.environ.pop(KEY_VARIABLE)
        if before is not None:
            os.environ[KEY_VARIABLE] = before
