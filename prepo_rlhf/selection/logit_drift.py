"""How far training steps move the logits of pass rates, measured on the prompts that are rolled out again.

Boundary: numbers of groups, no policy: how far an update has moved the weights is nothing that a selector is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from statistics import fmean
from typing import Any

MEMORY = 0.9


def observed_logit(right: int, trials: int) -> tuple[float, float]:
    """The logit of a group's pass rate, with half a rollout more on either side so that it is finite, and its variance
    by the delta method."""
    p = (right + 0.5) / (trials + 1)
    return math.log(p / (1 - p)), 1 / (trials * p * (1 - p))


class LogitDrift:
    """The variance that a training step adds to the logit of each prompt's pass rate, as of a random walk.

    Its measure is the mean absolute change of the observed logit z between two groups of a prompt. Of a random walk in
    normal steps that is sqrt(2 / pi) of its deviation, and the luck of the rollouts, of variance r, takes part in it;
    so a training step in which prompts came again, after `steps` each, says

        q = max(0, pi / 2 (mean |z - z'|)^2 - mean(r + r')) / mean(steps)

    and the rate is the running mean of these, with a memory of 0.9; 0 before the first.
    """

    def __init__(self) -> None:
        self._observed: dict[int, tuple[float, float, int]] = {}  # of a prompt's last group: z, r, training step
        self._rate: float | None = None
        self._num_steps = 0

    @property
    def rate(self) -> float:
        """Of a training step."""
        return self._rate or 0.0

    @property
    def known(self) -> bool:
        """Whether any prompt has come again."""
        return self._rate is not None

    def since_last_group(self, row: int) -> float:
        """The variance that a prompt, which has had a group, has gained since."""
        return self.rate * (self._num_steps - self._observed[row][2])

    def measure(self, groups: Mapping[int, tuple[float, float]]) -> None:
        """Takes in the rows, observed logits and variances of a step's groups, before `record`."""
        again = [(*groups[row], *self._observed[row]) for row in groups if row in self._observed]
        if not again:
            return
        change = fmean(abs(z - earlier) for z, _, earlier, _, _ in again)
        luck = fmean(r + earlier for _, r, _, earlier, _ in again)
        steps = fmean(self._num_steps - step for *_, step in again)
        rate = max(0.0, math.pi / 2 * change**2 - luck) / steps
        self._rate = rate if self._rate is None else MEMORY * self._rate + (1 - MEMORY) * rate

    def record(self, groups: Mapping[int, tuple[float, float]]) -> None:
        """Ends the step: its groups are the last of their prompts."""
        self._observed |= {row: (z, r, self._num_steps) for row, (z, r) in groups.items()}
        self._num_steps += 1

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"observed": deepcopy(self._observed), "rate": self._rate, "num_steps": self._num_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        self._observed = deepcopy(state["observed"])
        self._rate, self._num_steps = state["rate"], state["num_steps"]
