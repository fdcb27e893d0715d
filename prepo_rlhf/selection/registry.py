"""The selectors by the names of `--prepo.selector`, one line each.

Boundary: knows every selector; nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable

from prepo_rlhf.config.training import PrepoOptions
from prepo_rlhf.selection.base import PromptSelector
from prepo_rlhf.selection.ppl_schedule import PplScheduleSelector
from prepo_rlhf.selection.random_k import RandomKSelector
from prepo_rlhf.selection.static_ppl import HighPplSelector, LowPplSelector

SELECTORS: dict[str, Callable[[PrepoOptions, int], PromptSelector]] = {
    "prepo": lambda options, seed: PplScheduleSelector(),
    "low-ppl": lambda options, seed: LowPplSelector(),
    "high-ppl": lambda options, seed: HighPplSelector(),
    "random": lambda options, seed: RandomKSelector(seed),
}


def make_selector(options: PrepoOptions, seed: int) -> PromptSelector:
    """A fresh selector as the options ask for; `seed` is for those that draw at random.

    Raises:
        ValueError: no selector has that name.
    """
    if options.selector not in SELECTORS:
        raise ValueError(f"--prepo.selector {options.selector}: unknown; choose one of {', '.join(SELECTORS)}")
    return SELECTORS[options.selector](options, seed)
