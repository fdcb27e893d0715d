"""The Random-K baseline."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from prepo_rlhf.selection.base import Candidate, SeededSelector


class RandomKSelector(SeededSelector):
    """K of the candidates, uniformly without replacement."""

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        if k > len(candidates):
            raise ValueError(f"cannot select {k} of {len(candidates)} candidates")
        return torch.randperm(len(candidates), generator=self._generator)[:k].tolist()
