"""After KGPS: the logit of each prompt's pass rate as a random walk, followed by a Kalman filter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from prepo_rlhf.selection.base import Candidate, Prediction, PromptOutcome, PromptSelector
from prepo_rlhf.selection.logit_drift import LogitDrift, observed_logit
from prepo_rlhf.selection.pass_rate_model import pass_rate_moments
from prepo_rlhf.selection.success_rates import num_right

PRIOR = (0.0, math.pi**2 / 3)  # mean and variance of the logit of a pass rate that is uniform in [0, 1]


class KgpsSelector(PromptSelector):
    """The K candidates of the highest expected p (1 - p), the variance of a reward (after KGPS, arXiv 2607.27610).

    The abstract says: the logit x of a prompt's pass rate is a random walk, whose process noise follows the size of the
    policy's update; a Kalman update from the group's mean; choice by posterior expected utility. All else here is our
    choice, and nothing that this selector does speaks for or against the paper's.

    - x has the posterior N(m, v), at first that of a uniform pass rate, N(0, pi^2 / 3).
    - A group with s of n right observes z = logit(p) with p = (s + 1/2) / (n + 1), which is neither 0 nor 1, and by the
      delta method has the variance r = 1 / (n p (1 - p)).
    - Process noise is q for each training step since the prompt's last group. How far an update has moved the policy is
      nothing that a selector is told. It is measured by what it has done, by the mean absolute change of z between two
      groups of a prompt: see `LogitDrift`.
    - The update has the gain g = v / (v + r):  m <- m + g (z - m),  v <- (1 - g) v.

    Of equal candidates, such as all that
    were never rolled out, those come first that the stream, whose order is random, has first.
    """

    predicts = True
    state = ("filtered",)

    def __init__(self) -> None:
        self.filtered: dict[int, tuple[float, float]] = {}  # m and v after the prompt's last group
        self._drift = LogitDrift()

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        if k > len(candidates):
            raise ValueError(f"cannot select {k} of {len(candidates)} candidates")
        return expected_usefulness(*self._logits(candidates)).argsort(descending=True, stable=True)[:k].tolist()

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        """Mean and variance of p = sigmoid(x), x ~ N(m, v)."""
        mean, variance = pass_rate_moments(*self._logits(candidates))
        return list(map(Prediction, mean.tolist(), variance.tolist()))

    def observe(self, outcomes: Sequence[PromptOutcome]) -> None:
        """Takes in the groups of a training step."""
        groups = {outcome.row: observed_logit(num_right(outcome), len(outcome.rewards)) for outcome in outcomes}
        self._drift.measure(groups)
        for row, (z, r) in groups.items():
            mean, variance = self._predicted(row)
            gain = variance / (variance + r)
            self.filtered[row] = (mean + gain * (z - mean), (1 - gain) * variance)
        self._drift.record(groups)

    def metrics(self) -> dict[str, float]:
        """The variance that a training step adds to a logit, once it is known."""
        return {"prepo/logit_drift": self._drift.rate} if self._drift.known else {}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"drift": self._drift.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._drift.load_state_dict(state["drift"])

    def _logits(self, candidates: Sequence[Candidate]) -> tuple[Tensor, Tensor]:
        """m and v now, [N] float64 each."""
        moments = torch.tensor([self._predicted(c.row) for c in candidates], dtype=torch.float64)
        return moments[:, 0], moments[:, 1]

    def _predicted(self, row: int) -> tuple[float, float]:
        """m and v now: the mean of a random walk stays, and its variance grows."""
        if row not in self.filtered:
            return PRIOR
        mean, variance = self.filtered[row]
        return mean, variance + self._drift.since_last_group(row)


def expected_usefulness(mean: Tensor, variance: Tensor) -> Tensor:
    """E[p (1 - p)] of p = sigmoid(x), x ~ N(mean, variance); all [N] float64."""
    expected, spread = pass_rate_moments(mean, variance)
    return expected * (1 - expected) - spread
