"""Baselines whose perplexity window never moves.

Boundary: `PplScheduleSelector` only.
"""

from __future__ import annotations

from prepo_rlhf.selection.ppl_schedule import PplScheduleSelector


class LowPplSelector(PplScheduleSelector):
    """Always the K candidates of lowest perplexity: the window starts at 0."""

    def __init__(self, num_length_bins: int = 1) -> None:
        super().__init__(lambda progress: 0.0, num_length_bins)


class HighPplSelector(PplScheduleSelector):
    """Always the K candidates of highest perplexity: the window starts at |B| - K."""

    def __init__(self, num_length_bins: int = 1) -> None:
        super().__init__(lambda progress: 1.0, num_length_bins)
