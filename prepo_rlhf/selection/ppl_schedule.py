"""PREPO's selector: a window that moves from low to high perplexity as training progresses.

Boundary: `prepo_rlhf.algorithm` only.
"""

from __future__ import annotations

from collections.abc import Sequence

from prepo_rlhf.algorithm.schedule import ppl_window, window_start
from prepo_rlhf.selection.base import Candidate, PromptSelector, perplexities


class PplScheduleSelector(PromptSelector):
    """K candidates from rank floor(rho * (|B| - K)) on, in ascending perplexity (PREPO, arXiv 2511.00794)."""

    needs_scores = True

    def __init__(self) -> None:
        self._window_start: int | None = None

    def position(self, progress: float) -> float:
        """Where the window lies: 0 at the lowest perplexities, 1 at the highest."""
        return progress

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        position = self.position(progress)
        self._window_start = window_start(position, len(candidates), k)
        return ppl_window(perplexities(candidates), k, position).tolist()

    def metrics(self) -> dict[str, float]:
        return {} if self._window_start is None else {"prepo/window_start": self._window_start}
