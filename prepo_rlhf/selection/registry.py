"""A selector by its name of `--prepo.selector`; what is in the table of names is imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module

from prepo_rlhf.config.selectors import SELECTORS
from prepo_rlhf.config.training import PrepoOptions
from prepo_rlhf.selection.base import PromptSelector


def make_selector(options: PrepoOptions, seed: int) -> PromptSelector:
    """A fresh selector as the options ask for; `seed` is for those that draw at random.

    Raises:
        ValueError: no selector has that name.
    """
    if options.selector not in SELECTORS:
        raise ValueError(f"--prepo.selector {options.selector}: unknown; choose one of {', '.join(SELECTORS)}")
    module, _, name = SELECTORS[options.selector].partition(":")
    return getattr(import_module(module), name).from_options(options, seed)
