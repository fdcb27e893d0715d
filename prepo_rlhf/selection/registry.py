"""The selectors by the names of `--prepo.selector`, one line each.

Boundary: knows every selector; nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable

from prepo_rlhf.algorithm.ppl_window import PACINGS
from prepo_rlhf.config.training import PrepoOptions
from prepo_rlhf.selection.base import PromptSelector
from prepo_rlhf.selection.calibrated import CalibratedSelector
from prepo_rlhf.selection.greso import GresoSelector
from prepo_rlhf.selection.length_schedule import LengthScheduleSelector
from prepo_rlhf.selection.mopps import MoppsSelector
from prepo_rlhf.selection.ppl_feedback import PplFeedbackSelector
from prepo_rlhf.selection.ppl_schedule import PplScheduleSelector
from prepo_rlhf.selection.random_k import RandomKSelector
from prepo_rlhf.selection.static_ppl import HighPplSelector, LowPplSelector


def _prepo(options: PrepoOptions, seed: int) -> PromptSelector:
    if options.pacing == "feedback":
        return PplFeedbackSelector(seed)
    return PplScheduleSelector(PACINGS[options.pacing], options.ppl_length_bins)


SELECTORS: dict[str, Callable[[PrepoOptions, int], PromptSelector]] = {
    "prepo": _prepo,
    "low-ppl": lambda options, seed: LowPplSelector(options.ppl_length_bins),
    "high-ppl": lambda options, seed: HighPplSelector(options.ppl_length_bins),
    "random": lambda options, seed: RandomKSelector(seed),
    "length": lambda options, seed: LengthScheduleSelector(PACINGS[options.pacing]),
    "mopps": lambda options, seed: MoppsSelector(seed),
    "calibrated": lambda options, seed: CalibratedSelector(seed),
    "greso": lambda options, seed: GresoSelector(seed),
}


def make_selector(options: PrepoOptions, seed: int) -> PromptSelector:
    """A fresh selector as the options ask for; `seed` is for those that draw at random.

    Raises:
        ValueError: no selector has that name.
    """
    if options.selector not in SELECTORS:
        raise ValueError(f"--prepo.selector {options.selector}: unknown; choose one of {', '.join(SELECTORS)}")
    return SELECTORS[options.selector](options, seed)
