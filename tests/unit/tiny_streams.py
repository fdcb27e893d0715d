"""Selectors and outcomes for the tests, made as a run makes them."""

from __future__ import annotations

from typing import Any

from prepo_rlhf.config.training import PrepoOptions
from prepo_rlhf.selection import PromptSelector, make_selector


def selector_named(name: str, seed: int = 0, **options: Any) -> PromptSelector:
    """The selector of `--prepo.selector name`; `options` are others of the group `prepo`."""
    return make_selector(PrepoOptions(selector=name, **options), seed)
