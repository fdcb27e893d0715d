"""The MoPPS baseline: success rates estimated from each prompt's own past rollouts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from prepo_rlhf.selection.base import Candidate, Prediction, PromptOutcome, SeededSelector
from prepo_rlhf.selection.success_rates import beta_moments, discounted_update, num_right, sample_beta

PRIOR = (1.0, 1.0)
DECAY = 0.5
TARGET = 0.5


class MoppsSelector(SeededSelector):
    """The K candidates whose sampled success rate is closest to 1/2 (MoPPS, arXiv 2507.04632).

    A prompt's success rate has the posterior Beta(a, b), at first the uniform Beta(1, 1). A group with s of n
    rollouts right moves it, older evidence decaying towards the prior because the policy changes:

        a <- lambda a + (1 - lambda) + s,    b <- lambda b + (1 - lambda) + n - s

    Selection is Thompson sampling: one draw from each candidate's posterior, and the K draws closest to the target
    1/2, where rewards vary most. A prompt never seen is a uniform draw, so it is explored.

    Prior, target and rule are the paper's. Its authors' recipes have lambda = 0.5 on countdown and geometry tasks and
    1 on MATH; 0.5 is our choice for all, because here a prompt comes back after a whole epoch. Their candidate
    batches are 8 to 16 times K; here they are what --prepo.candidate_batch_size says.
    """

    predicts = True
    state = ("posteriors",)

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.posteriors: dict[int, tuple[float, float]] = {}

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        if k > len(candidates):
            raise ValueError(f"cannot select {k} of {len(candidates)} candidates")
        rates = sample_beta(self._posteriors_of(candidates), self._generator)
        return (rates - TARGET).abs().argsort(stable=True)[:k].tolist()

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        """Mean and variance of each candidate's posterior."""
        mean, variance = beta_moments(self._posteriors_of(candidates))
        return list(map(Prediction, mean.tolist(), variance.tolist()))

    def observe(self, outcomes: Sequence[PromptOutcome]) -> None:
        for outcome in outcomes:
            right = num_right(outcome)
            evidence = torch.tensor([right, len(outcome.rewards) - right], dtype=torch.float64)
            posterior = torch.tensor(self.posteriors.get(outcome.row, PRIOR), dtype=torch.float64)
            self.posteriors[outcome.row] = tuple(discounted_update(posterior, evidence, DECAY).tolist())

    def _posteriors_of(self, candidates: Sequence[Candidate]) -> Tensor:
        """[N, 2], a and b of each candidate."""
        return torch.tensor([self.posteriors.get(c.row, PRIOR) for c in candidates], dtype=torch.float64)
