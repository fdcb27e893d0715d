"""The Random-K baseline.

Boundary: torch only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from prepo_rlhf.selection.base import Candidate, PromptSelector


class RandomKSelector(PromptSelector):
    """K of the candidates, uniformly without replacement, from a random state of its own.

    Args:
        seed: of the generator; no other random state is read or changed.
    """

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        if k > len(candidates):
            raise ValueError(f"cannot select {k} of {len(candidates)} candidates")
        return torch.randperm(len(candidates), generator=self._generator)[:k].tolist()

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._generator.set_state(state["generator"])
