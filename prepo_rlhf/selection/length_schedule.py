"""A control for PREPO's schedule: the same window, over prompt lengths instead of perplexities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from prepo_rlhf.selection.base import Candidate
from prepo_rlhf.selection.ppl_schedule import PplScheduleSelector


class LengthScheduleSelector(PplScheduleSelector):
    """K candidates from rank floor(rho * (|B| - K)) on, from the longest prompt to the shortest.

    In the paper's data prompts of low perplexity are long ones, so PREPO's early windows hold long prompts: long to
    short is the order in which its schedule would run if length alone were at work. Needs no scores.
    """

    needs_scores = False

    def rank(self, candidates: Sequence[Candidate]) -> Tensor:
        return torch.tensor([-c.num_tokens for c in candidates])
