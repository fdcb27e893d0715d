"""A selector by its name of `--prepo.selector`; what is in the table of names is imported only when it is asked for."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

from prepo_rlhf.config import ConfigError
from prepo_rlhf.config.selectors import PREDICTING, SELECTORS
from prepo_rlhf.config.training import PrepoOptions
from prepo_rlhf.files.user_code import RAISED, no_exit, quoted
from prepo_rlhf.selection.base import PromptSelector
from prepo_rlhf.selection.checked import CheckedSelector, SelectorError


def make_selector(options: PrepoOptions, seed: int) -> PromptSelector:
    """A fresh selector as the options ask for; `seed` is for those that draw at random.

    Raises:
        ConfigError: no selector has that name, or it cannot be imported, made or called as selectors are.
    """
    if options.selector not in SELECTORS:
        raise ConfigError(f"--prepo.selector {options.selector}: unknown; choose one of {', '.join(SELECTORS)}")
    module, _, name = SELECTORS[options.selector].partition(":")
    option = f"--prepo.selector {options.selector}"
    try:
        with no_exit():
            selector_class = getattr(import_module(module), name, None)
            if not isinstance(selector_class, type) or not issubclass(selector_class, PromptSelector):
                raise ConfigError(f"{option}: {module} defines no class {name} derived from PromptSelector")
            selector = selector_class.from_options(options, seed)
        if not isinstance(selector, PromptSelector):
            raise ConfigError(f"{option}: from_options of {module}:{name} returned no selector, but {selector!r}")
        if options.selector in PREDICTING and not selector.predicts:
            raise ConfigError(f"{option}: PREDICTING has its name, but {module}:{name} does not say `predicts = True`")
        if options.allocation == "pilot" and selector.drops_zero_variance:
            raise ConfigError(f"--prepo.allocation pilot keeps the groups that {option} would drop: take another one")
        CheckedSelector(selector)  # which the prompt stream will put around it, once Ray has started
    except ConfigError:
        raise
    except SelectorError as error:
        raise ConfigError(str(error)) from error
    except RAISED as error:
        raise ConfigError(f"{option}: {module}:{name} cannot be made: {quoted(error, _file(module))}") from error
    return selector


def _file(module: str) -> str:
    """Where a module is, imported or not; "" if nowhere."""
    try:
        loaded = sys.modules.get(module)
        spec = loaded.__spec__ if loaded else find_spec(module)
    except (ImportError, ValueError):
        return ""
    return (spec.origin if spec else None) or ""
