"""The DPS baseline: each prompt is a hidden Markov chain over none, some or all rollouts right."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from prepo_rlhf.config.training import PrepoOptions
from prepo_rlhf.selection.base import Candidate, PromptOutcome, PromptSelector
from prepo_rlhf.selection.success_rates import num_right

NONE, SOME, ALL = range(3)  # states: how many of a prompt's rollouts are right
PRIOR = 1.0  # of every entry of a Dirichlet matrix


class DpsSelector(PromptSelector):
    """The K candidates most likely to have some, but not all, of their rollouts right (DPS, arXiv 2603.10887).

    A prompt has a belief pi over the three states, at first 1/3 each, and Dirichlet counts alpha [3, 3] of how it goes
    from one state (column) to another (row), at first all 1; P is alpha with columns divided by their sums. In each
    training step a prompt that was rolled out shows its state, so its belief is all there, and the counts learn which
    transition that was:

        xi(i, j) = pi_new(i) P(i, j) pi(j) / sum,    alpha <- lambda alpha + (1 - lambda) 1 + xi

    The counts of the others decay towards 1 too, and their belief stays. Then every belief moves on by a step,
    pi <- P pi. A prompt that was never rolled out stays at 1/3, and one that was returns there with time.

    From the authors' code. Its lambda is 0.7 on MATH, the default of --prepo.dps_lambda, and 0.5 on Countdown and
    geometry. Our choices: pi moves on by the P of the updated counts, and equally likely candidates are taken in the
    order of the stream, which is random. The authors' candidate batches are 8 to 32 times K.
    """

    state = ("places", "beliefs", "counts")

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self.places: dict[int, int] = {}  # row of a prompt rolled out before -> its place in the two tensors
        self.beliefs = torch.empty(0, 3, dtype=torch.float64)
        self.counts = torch.empty(0, 3, 3, dtype=torch.float64)

    @classmethod
    def from_options(cls, options: PrepoOptions, seed: int) -> PromptSelector:
        return cls(options.dps_lambda)

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        if k > len(candidates):
            raise ValueError(f"cannot select {k} of {len(candidates)} candidates")
        places = [self.places.get(c.row) for c in candidates]
        of_some = self.beliefs[:, SOME].tolist()
        chances = torch.tensor([1 / 3 if i is None else of_some[i] for i in places], dtype=torch.float64)
        return chances.argsort(descending=True, stable=True)[:k].tolist()

    def observe(self, outcomes: Sequence[PromptOutcome]) -> None:
        """Takes in the groups of a training step, and moves all beliefs on by it."""
        self._add([outcome.row for outcome in outcomes if outcome.row not in self.places])
        places = [self.places[outcome.row] for outcome in outcomes]
        seen = torch.nn.functional.one_hot(torch.tensor([*map(_state, outcomes)], dtype=torch.long), 3).double()
        likely = seen[:, :, None] * self._transitions()[places] * self.beliefs[places][:, None, :]
        self.counts = self._memory * self.counts + (1 - self._memory) * PRIOR
        self.counts[places] += likely / likely.sum(dim=(1, 2), keepdim=True)
        self.beliefs[places] = seen
        self.beliefs = (self._transitions() @ self.beliefs[:, :, None]).squeeze(2)

    def _add(self, rows: Sequence[int]) -> None:
        """Room for prompts rolled out for the first time."""
        new = list(dict.fromkeys(rows))
        self.places |= {row: len(self.places) + number for number, row in enumerate(new)}
        self.beliefs = torch.cat([self.beliefs, torch.full((len(new), 3), 1 / 3, dtype=torch.float64)])
        self.counts = torch.cat([self.counts, torch.full((len(new), 3, 3), PRIOR, dtype=torch.float64)])

    def _transitions(self) -> torch.Tensor:
        """[N, 3, 3]: P(to, from), whose columns sum to 1."""
        return self.counts / self.counts.sum(dim=1, keepdim=True)


def _state(outcome: PromptOutcome) -> int:
    """How many of a group's rollouts are right: NONE, SOME or ALL."""
    right = num_right(outcome)
    return NONE if right == 0 else ALL if right == len(outcome.rewards) else SOME
