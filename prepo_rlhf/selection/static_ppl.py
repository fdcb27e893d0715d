"""Baselines whose perplexity window never moves."""

from __future__ import annotations

from prepo_rlhf.config.training import PrepoOptions
from prepo_rlhf.selection.ppl_schedule import PplScheduleSelector


class LowPplSelector(PplScheduleSelector):
    """Always the K candidates of lowest perplexity: the window starts at 0."""

    @classmethod
    def from_options(cls, options: PrepoOptions, seed: int) -> PplScheduleSelector:
        return cls(lambda progress: 0.0, options.ppl_length_bins)


class HighPplSelector(PplScheduleSelector):
    """Always the K candidates of highest perplexity: the window starts at |B| - K."""

    @classmethod
    def from_options(cls, options: PrepoOptions, seed: int) -> PplScheduleSelector:
        return cls(lambda progress: 1.0, options.ppl_length_bins)
