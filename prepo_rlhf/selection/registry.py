"""A selector as `--prepo.selector` says: by its name, or a class in a user's file; imported when asked for."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

from prepo_rlhf.config import ConfigError
from prepo_rlhf.config.selectors import PREDICTING, SELECTORS, is_own
from prepo_rlhf.config.training import PrepoOptions
from prepo_rlhf.files.user_code import RAISED, UserCodeError, load, no_exit, quoted
from prepo_rlhf.selection.base import PromptSelector
from prepo_rlhf.selection.checked import CheckedSelector, SelectorError

OWN_MODULE = "prepo_selector"  # how Python knows the user's file


def make_selector(options: PrepoOptions, seed: int) -> PromptSelector:
    """A fresh selector as the options ask for; `seed` is for those that draw at random.

    Raises:
        ConfigError: no selector has that name, or it cannot be imported, made or called as selectors are.
    """
    option, own = f"--prepo.selector {options.selector}", is_own(options.selector)
    if not own and options.selector not in SELECTORS:
        raise ConfigError(f"{option}: unknown; choose one of {', '.join(SELECTORS)}, or path/to/file.py:Class")
    where, _, name = (options.selector if own else SELECTORS[options.selector]).rpartition(":")
    try:
        with no_exit():
            module = load(where, OWN_MODULE) if own else import_module(where)
            selector_class = getattr(module, name, None)
            if not isinstance(selector_class, type) or not issubclass(selector_class, PromptSelector):
                raise ConfigError(f"{option}: {where} defines no class {name} derived from PromptSelector")
            selector = selector_class.from_options(options, seed)
        if not isinstance(selector, PromptSelector):
            raise ConfigError(f"{option}: from_options of {where}:{name} returned no selector, but {selector!r}")
        if options.selector in PREDICTING and not selector.predicts:
            raise ConfigError(f"{option}: PREDICTING has its name, but {where}:{name} does not say `predicts = True`")
        if options.allocation == "pilot" and selector.drops_zero_variance:
            raise ConfigError(f"--prepo.allocation pilot keeps the groups that {option} would drop: take another one")
        CheckedSelector(selector)  # which the prompt stream will put around it, once Ray has started
    except ConfigError:
        raise
    except SelectorError as error:
        raise ConfigError(str(error)) from error
    except UserCodeError as error:
        raise ConfigError(f"{option}: {error}") from error
    except RAISED as error:
        file = where if own else _file(where)
        raise ConfigError(f"{option}: {where}:{name} cannot be made: {quoted(error, file)}") from error
    return selector


def _file(module: str) -> str:
    """Where a module is, imported or not; "" if nowhere."""
    try:
        loaded = sys.modules.get(module)
        spec = loaded.__spec__ if loaded else find_spec(module)
    except (ImportError, ValueError):
        return ""
    return (spec.origin if spec else None) or ""
