"""PREPO's perplexity ranking without its schedule: a bandit over perplexity bins learns from the rewards."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from prepo_rlhf.algorithm.ppl_window import ppl_window
from prepo_rlhf.selection.base import Candidate, PromptOutcome, SeededSelector, perplexities
from prepo_rlhf.selection.success_rates import discounted_update, num_right, sample_beta

NUM_BINS = 5
DECAY = 0.9


class PplFeedbackSelector(SeededSelector):
    """Random candidates of the perplexity bins that were informative lately.

    PREPO (arXiv 2511.00794) ranks the candidates by perplexity and ties its window to progress: easy prompts first,
    hard ones last, whether or not the policy is ready for them. Here the ranking stays and the schedule goes. The
    ranked candidates are cut into five bins of equal size. Which bins are informative is a bandit problem that changes
    with the policy, and is solved by discounted Thompson sampling on the rewards:

    - The payoff of a group is x = 4 p (1 - p), with p its share of right rollouts: the variance of its rewards relative
      to the largest possible, 0 if all are equal and 1 at p = 1/2.
    - A bin's mean payoff has the posterior Beta(a, b), at first Beta(1, 1). A group counts as x successes and 1 - x
      failures of the bin that it was selected from; with every step older evidence is multiplied by 0.9.
    - For each of the K slots a payoff is sampled for every bin that has candidates left; the slot gets a random
      candidate of the bin with the highest.

    Bins, discount and payoff are our own first choice; nothing is tuned.
    """

    needs_scores = True
    state = ("posteriors", "bin_of")

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.posteriors = torch.ones(NUM_BINS, 2, dtype=torch.float64)
        self.bin_of: dict[int, int] = {}  # of selected prompts that wait for their rewards
        self._metrics: dict[str, float] = {}

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        if k > len(candidates):
            raise ValueError(f"cannot select {k} of {len(candidates)} candidates")
        bins = self._shuffled_bins(perplexities(candidates))
        chosen = []
        for _ in range(k):
            payoffs = sample_beta(self.posteriors, self._generator)
            payoffs[[not members for members in bins]] = -1.0
            best = int(payoffs.argmax())
            chosen.append(bins[best].pop())
            self.bin_of[candidates[chosen[-1]].row] = best
        means = self.posteriors[:, 0] / self.posteriors.sum(-1)
        self._metrics = {f"prepo/feedback_informative_{i}": mean for i, mean in enumerate(means.tolist())}
        return chosen

    def observe(self, outcomes: Sequence[PromptOutcome]) -> None:
        """Takes in the groups of a training step; those of prompts not selected here have no bin and are left out."""
        evidence = torch.zeros_like(self.posteriors)
        for outcome in outcomes:
            selected_from = self.bin_of.pop(outcome.row, None)
            if selected_from is not None:
                p = num_right(outcome) / len(outcome.rewards)
                payoff = 4 * p * (1 - p)
                evidence[selected_from] += torch.tensor([payoff, 1 - payoff], dtype=torch.float64)
        self.posteriors = discounted_update(self.posteriors, evidence, DECAY)

    def metrics(self) -> dict[str, float]:
        """The mean payoff that the last selection expected of each bin, from low to high perplexity."""
        return dict(self._metrics)

    def _shuffled_bins(self, ppl: Tensor) -> list[list[int]]:
        """Positions of the candidates by quantile of their perplexity, each bin in random order."""
        quantiles = ppl_window(ppl, len(ppl), progress=0.0).tensor_split(NUM_BINS)
        return [members[torch.randperm(len(members), generator=self._generator)].tolist() for members in quantiles]
