"""The selectors by the names of `--prepo.selector`, one line each.

Boundary: knows every selector; nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable

from prepo_rlhf.selection.base import PromptSelector
from prepo_rlhf.selection.ppl_schedule import PplScheduleSelector
from prepo_rlhf.selection.random_k import RandomKSelector
from prepo_rlhf.selection.static_ppl import HighPplSelector, LowPplSelector

SELECTORS: dict[str, Callable[[int], PromptSelector]] = {
    "prepo": lambda seed: PplScheduleSelector(),
    "low-ppl": lambda seed: LowPplSelector(),
    "high-ppl": lambda seed: HighPplSelector(),
    "random": lambda seed: RandomKSelector(seed),
}


def make_selector(name: str, seed: int) -> PromptSelector:
    """A fresh selector; `seed` is for those that draw at random.

    Raises:
        ValueError: no selector has that name.
    """
    if name not in SELECTORS:
        raise ValueError(f"--prepo.selector {name}: unknown; choose one of {', '.join(SELECTORS)}")
    return SELECTORS[name](seed)
