"""Baselines whose perplexity window never moves.

Boundary: `prepo_rlhf.algorithm` only.
"""

from __future__ import annotations

from prepo_rlhf.selection.ppl_schedule import PplScheduleSelector


class LowPplSelector(PplScheduleSelector):
    """Always the K candidates of lowest perplexity: the window starts at 0."""

    def position(self, progress: float) -> float:
        return 0.0


class HighPplSelector(PplScheduleSelector):
    """Always the K candidates of highest perplexity: the window starts at |B| - K."""

    def position(self, progress: float) -> float:
        return 1.0
