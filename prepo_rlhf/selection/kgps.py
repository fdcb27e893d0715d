"""After KGPS: the logit of each prompt's pass rate as a random walk, followed by a Kalman filter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Tensor

from prepo_rlhf.selection.base import Candidate, PromptOutcome, PromptSelector
from prepo_rlhf.selection.success_rates import num_right

PRIOR = (0.0, math.pi**2 / 3)  # mean and variance of the logit of a pass rate that is uniform in [0, 1]
DRIFT_MEMORY = 0.9
_DEVIATIONS = torch.linspace(-5, 5, 101, dtype=torch.float64)
_WEIGHTS = torch.softmax(-(_DEVIATIONS**2) / 2, dim=0)


class KgpsSelector(PromptSelector):
    """The K candidates of the highest expected p (1 - p), the variance of a reward (after KGPS, arXiv 2607.27610).

    The abstract says: the logit x of a prompt's pass rate is a random walk, whose process noise follows the size of the
    policy's update; a Kalman update from the group's mean; choice by posterior expected utility. All else here is our
    choice, and nothing that this selector does speaks for or against the paper's.

    - x has the posterior N(m, v), at first that of a uniform pass rate, N(0, pi^2 / 3).
    - A group with s of n right observes z = logit(p) with p = (s + 1/2) / (n + 1), which is neither 0 nor 1, and by the
      delta method has the variance r = 1 / (n p (1 - p)).
    - Process noise is q for each training step since the prompt's last group. How far an update has moved the policy is
      nothing that a selector is told. It is measured by what it has done: by the mean absolute change of z between two
      groups of a prompt. Of a random walk in normal steps that is sqrt(2 / pi) of its deviation, and the luck of the
      rollouts takes part in it; so a training step in which prompts came again, after `steps` each, says

          q = max(0, pi / 2 (mean |z - z'|)^2 - mean(r + r')) / mean(steps)

      and q is the running mean of these, with a memory of 0.9; 0 before the first.
    - The update has the gain g = v / (v + r):  m <- m + g (z - m),  v <- (1 - g) v.

    E[p (1 - p)] under N(m, v) is a sum over 101 points from -5 to 5 deviations. Of equal candidates, such as all that
    were never rolled out, those come first that the stream, whose order is random, has first.
    """

    state = ("filtered", "observed", "drift", "num_steps")

    def __init__(self) -> None:
        self.filtered: dict[int, tuple[float, float]] = {}  # m and v after the prompt's last group
        self.observed: dict[int, tuple[float, float, int]] = {}  # of that group: z, r and the training step
        self.drift: float | None = None
        self.num_steps = 0

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        if k > len(candidates):
            raise ValueError(f"cannot select {k} of {len(candidates)} candidates")
        moments = torch.tensor([self._predicted(c.row) for c in candidates], dtype=torch.float64)
        return expected_usefulness(*moments.unbind(-1)).argsort(descending=True, stable=True)[:k].tolist()

    def observe(self, outcomes: Sequence[PromptOutcome]) -> None:
        """Takes in the groups of a training step."""
        groups = {outcome.row: observed_logit(num_right(outcome), len(outcome.rewards)) for outcome in outcomes}
        again = [(*groups[row], *self.observed[row]) for row in groups if row in self.observed]
        if again:
            change = fmean(abs(z - earlier) for z, _, earlier, _, _ in again)
            luck = fmean(r + earlier for _, r, _, earlier, _ in again)
            steps = fmean(self.num_steps - step for *_, step in again)
            drift = max(0.0, math.pi / 2 * change**2 - luck) / steps
            self.drift = drift if self.drift is None else DRIFT_MEMORY * self.drift + (1 - DRIFT_MEMORY) * drift
        for row, (z, r) in groups.items():
            mean, variance = self._predicted(row)
            gain = variance / (variance + r)
            self.filtered[row] = (mean + gain * (z - mean), (1 - gain) * variance)
            self.observed[row] = (z, r, self.num_steps)
        self.num_steps += 1

    def metrics(self) -> dict[str, float]:
        """The variance that a training step adds to a logit, once it is known."""
        return {} if self.drift is None else {"prepo/logit_drift": self.drift}

    def _predicted(self, row: int) -> tuple[float, float]:
        """m and v now: the mean of a random walk stays, and its variance grows."""
        if row not in self.filtered:
            return PRIOR
        mean, variance = self.filtered[row]
        return mean, variance + (self.drift or 0.0) * (self.num_steps - self.observed[row][2])


def observed_logit(right: int, trials: int) -> tuple[float, float]:
    """The logit of a group's pass rate, with half a rollout more on either side, and its variance."""
    p = (right + 0.5) / (trials + 1)
    return math.log(p / (1 - p)), 1 / (trials * p * (1 - p))


def expected_usefulness(mean: Tensor, variance: Tensor) -> Tensor:
    """E[p (1 - p)] of p = sigmoid(x), x ~ N(mean, variance); all [N] float64."""
    p = torch.sigmoid(mean[:, None] + variance.sqrt()[:, None] * _DEVIATIONS)
    return (p * (1 - p)) @ _WEIGHTS
