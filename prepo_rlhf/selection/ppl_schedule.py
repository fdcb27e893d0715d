"""PREPO's selector: a window that moves from low to high perplexity as training progresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from prepo_rlhf.algorithm.length_bins import length_bins
from prepo_rlhf.algorithm.ppl_window import PACINGS, ppl_window, window_start
from prepo_rlhf.config.training import PrepoOptions
from prepo_rlhf.selection.base import Candidate, PromptSelector, perplexities
from prepo_rlhf.selection.ppl_feedback import PplFeedbackSelector


class PplScheduleSelector(PromptSelector):
    """K candidates from rank floor(rho * (|B| - K)) on, in ascending perplexity (PREPO, arXiv 2511.00794).

    Args:
        position: where the window lies at progress rho, 0 at the lowest perplexities and 1 at the highest; the
            paper's is rho itself.
        num_length_bins: N; above 1 the candidates are first cut into N bins by prompt length, and each bin has its
            own window at the same position (see `length_bins`). The paper's is 1.
    """

    needs_scores = True

    def __init__(self, position: Callable[[float], float] = PACINGS["linear"], num_length_bins: int = 1) -> None:
        self._position = position
        self._num_length_bins = num_length_bins
        self._window_start: int | None = None

    @classmethod
    def from_options(cls, options: PrepoOptions, seed: int) -> PromptSelector:
        if options.pacing == "feedback":
            return PplFeedbackSelector(seed)
        return cls(PACINGS[options.pacing], options.ppl_length_bins)

    def rank(self, candidates: Sequence[Candidate]) -> Tensor:
        """[N] numbers by which candidates are sorted, ascending."""
        return perplexities(candidates)

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        position, rank = self._position(progress), self.rank(candidates)
        bins = length_bins(torch.tensor([c.num_tokens for c in candidates]), k, self._num_length_bins)
        self._window_start = sum(window_start(position, len(members), share) for members, share in bins)
        windows = [members[ppl_window(rank[members], share, position)] for members, share in bins]
        return torch.cat(windows).tolist()

    def metrics(self) -> dict[str, float]:
        """prepo/window_start: l(rho), the candidates ranked below the window (below those of all bins together)."""
        return {} if self._window_start is None else {"prepo/window_start": self._window_start}
