"""After HIVE: prompts that have taught something, of which those stay whose words the policy finds uncertain."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import torch

from prepo_rlhf.selection.base import Candidate, PromptOutcome, SeededSelector, entropies
from prepo_rlhf.selection.success_rates import num_right

HISTORY_MEMORY = 0.5
LOWEST_CHANCE = 0.1
MEDIAN_MEMORY = 0.9


class HiveSelector(SeededSelector):
    """K candidates that pass two stages (after HIVE, arXiv 2603.25184).

    A third party's note, not checked against the paper, says: stage 1 keeps a prompt with a probability that comes from
    its reward history and the mean entropy of its responses; stage 2 keeps those whose mean token entropy over the
    prompt, under the current policy, is above a running median. All else here is our choice, and nothing that this
    selector does speaks for or against the paper's.

    - Stage 1 looks at rewards alone: a selector is told no entropy of responses. With u the running mean, with a
      memory of 0.5, of 4 p (1 - p) over a prompt's groups, p the share right, it is kept with the probability
      max(u, 0.1); one never rolled out is.
    - Stage 2: the median is that of the prompts that stage 1 has kept, its running mean having a memory of 0.9, with
      this window's in it.
    - Of more than K that pass, the first in the stream's order, which is random, get rollouts. Fewer are filled up,
      from those that failed stage 2 first and then from those that failed stage 1, each from high entropy to low.

    Prompts of high entropy are the opposite end of PREPO's early windows. The entropies are the policy's, since engines
    tell the log-probs of a few tokens only: they cost a forward pass over every candidate's prompt.
    """

    needs_entropies = True
    state = ("usefulness", "running_median")

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.usefulness: dict[int, float] = {}  # u of each prompt rolled out before
        self.running_median: float | None = None
        self._passed: tuple[float, float] | None = None

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        if k > len(candidates):
            raise ValueError(f"cannot select {k} of {len(candidates)} candidates")
        uncertain = entropies(candidates).tolist()
        luck = torch.rand(len(candidates), dtype=torch.float64, generator=self._generator).tolist()
        kept = [i for i, c in enumerate(candidates) if luck[i] < max(self.usefulness.get(c.row, 1.0), LOWEST_CHANCE)]
        if kept:
            now = median(uncertain[i] for i in kept)
            before = now if self.running_median is None else self.running_median
            self.running_median = MEDIAN_MEMORY * before + (1 - MEDIAN_MEMORY) * now
        passed = [i for i in kept if self.running_median is not None and uncertain[i] > self.running_median]
        self._passed = len(kept) / len(candidates), len(passed) / len(candidates)
        failed = sorted(set(range(len(candidates))) - set(passed), key=lambda i: (i not in kept, -uncertain[i], i))
        return [*passed, *failed][:k]

    def observe(self, outcomes: Sequence[PromptOutcome]) -> None:
        for outcome in outcomes:
            p = num_right(outcome) / len(outcome.rewards)
            useful = 4 * p * (1 - p)
            before = self.usefulness.get(outcome.row, useful)
            self.usefulness[outcome.row] = HISTORY_MEMORY * before + (1 - HISTORY_MEMORY) * useful

    def metrics(self) -> dict[str, float]:
        """Shares of the last candidates that passed stage 1, and both."""
        if self._passed is None:
            return {}
        return dict(zip(("prepo/hive_passed_rewards", "prepo/hive_passed_both"), self._passed, strict=True))
