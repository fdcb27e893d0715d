"""The BOTS baseline: pass rates from a prompt's own rollouts, and from those of two reference models."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Tensor

from prepo_rlhf.config.training import PrepoOptions
from prepo_rlhf.selection.base import Candidate, Prediction, PromptOutcome, PromptSelector, SeededSelector
from prepo_rlhf.selection.success_rates import beta_moments, num_right, sample_beta

TARGET = 0.5
CAPABILITY_MEMORY = 0.9
WRONG = 0.25  # mean error of the implied pass rates from which they count half as much

Rates = tuple[float, float]  # pass rates of a prompt under the weak and the strong reference model


class BotsSelector(SeededSelector):
    """The K candidates whose sampled pass rate is closest to 1/2, all updated in every step (BOTS, arXiv 2510.26374).

    Every prompt has pass rates f0 and f1 under a weak and a strong reference model, measured once
    (--data.reference_rate_keys). Where the policy stands between the two, its capability c, follows from the groups of
    each training step, and gives an implied pass rate for every prompt, rolled out or not:

        c <- 0.9 c + 0.1 (mean s - mean f0) / (mean f1 - mean f0 + 1e-6),    p~ = clip(f0 + c (f1 - f0), 0, 1)

    with s the shares of right rollouts; the first c is the first step's. A prompt's pass rate has the posterior
    Beta(a, b), at first Beta(1, 1), which takes in n s right rollouts, if it was among those rolled out, and else
    rho n p~ that it would have had:

        a <- (1 - lambda) a + lambda + n s    or    a <- (1 - lambda) a + lambda + rho n p~;    b likewise

    rho is halved for good in every step whose mean |p~ - s| is 1/4 or more. Choice is by a draw from each posterior.

    From the authors' code, with its lambda = rho = 0.2 as defaults; there, too, what was rolled out takes the place of
    what is implied, so that its group counts (1 - rho) n s + rho n s. There a resumed run starts with new posteriors;
    here they are in the checkpoint. There halving, the draw and the target of 1/2 are options, and not its defaults.
    Our choice: n is the mean size of the step's groups. The rollouts of the reference models are the method's cost
    too, which a comparison has to count.
    """

    predicts = True
    state = ("capability", "rho", "steps", "posteriors", "references")

    def __init__(self, forgotten: float, rho: float, seed: int) -> None:
        super().__init__(seed)
        self._forgotten = forgotten
        self.rho = rho
        self.capability: float | None = None
        self.steps: list[tuple[float, float, float]] = []  # capability, rho and n after each step that had groups
        # Posteriors are brought up to date when they are asked for: a, b, and how many of the steps they have in them.
        self.posteriors: dict[int, tuple[float, float, int]] = {}
        self.references: dict[int, Rates] = {}  # of all prompts chosen so far

    @classmethod
    def from_options(cls, options: PrepoOptions, seed: int) -> PromptSelector:
        return cls(options.bots_lambda, options.bots_rho, seed)

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        if k > len(candidates):
            raise ValueError(f"cannot select {k} of {len(candidates)} candidates")
        rates = _reference_rates(candidates)
        draws = sample_beta(self._posteriors_of(candidates), self._generator)
        chosen = (draws - TARGET).abs().argsort(stable=True)[:k].tolist()
        self.references |= {candidates[i].row: rates[i] for i in chosen}
        return chosen

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        """Mean and variance of each candidate's posterior."""
        mean, variance = beta_moments(self._posteriors_of(candidates))
        return list(map(Prediction, mean.tolist(), variance.tolist()))

    def observe(self, outcomes: Sequence[PromptOutcome]) -> None:
        """Takes in the groups of a training step; those of prompts not selected here are left out."""
        groups = [outcome for outcome in outcomes if outcome.row in self.references]
        if not groups:
            return
        references = [self.references[group.row] for group in groups]
        shares = [num_right(group) / len(group.rewards) for group in groups]
        weak, strong = (fmean(rates) for rates in zip(*references, strict=True))
        estimate = (fmean(shares) - weak) / (strong - weak + 1e-6)
        before = estimate if self.capability is None else self.capability
        self.capability = CAPABILITY_MEMORY * before + (1 - CAPABILITY_MEMORY) * estimate
        errors = [abs(_implied(rates, self.capability) - s) for rates, s in zip(references, shares, strict=True)]
        if fmean(errors) >= WRONG:
            self.rho /= 2
        earlier = [self._posterior(group.row, rates) for group, rates in zip(groups, references, strict=True)]
        self.steps.append((self.capability, self.rho, fmean(len(group.rewards) for group in groups)))
        for group, posterior, share in zip(groups, earlier, shares, strict=True):
            self.posteriors[group.row] = (*self._moved(posterior, share, len(group.rewards)), len(self.steps))

    def metrics(self) -> dict[str, float]:
        """Where the policy stood between the reference models (0 to 1) in the step observed last, and rho."""
        return {} if self.capability is None else {"prepo/bots_capability": self.capability, "prepo/bots_rho": self.rho}

    def _posteriors_of(self, candidates: Sequence[Candidate]) -> Tensor:
        """[N, 2] float64, a and b of each candidate."""
        rates = _reference_rates(candidates)
        posteriors = [self._posterior(c.row, own) for c, own in zip(candidates, rates, strict=True)]
        return torch.tensor(posteriors, dtype=torch.float64)

    def _posterior(self, row: int, rates: Rates) -> tuple[float, float]:
        """a and b of a prompt after all steps."""
        a, b, there = self.posteriors.get(row, (1.0, 1.0, 0))
        for capability, rho, trials in self.steps[there:]:
            a, b = self._moved((a, b), _implied(rates, capability), rho * trials)
        self.posteriors[row] = (a, b, len(self.steps))
        return a, b

    def _moved(self, posterior: tuple[float, float], share: float, trials: float) -> tuple[float, float]:
        """The posterior a step later, with `trials` new rollouts of which a `share` is right."""
        a, b = ((1 - self._forgotten) * count + self._forgotten for count in posterior)
        return a + trials * share, b + trials * (1 - share)


def _implied(rates: Rates, capability: float) -> float:
    """The pass rate between those of the reference models."""
    weak, strong = rates
    return min(max(weak + capability * (strong - weak), 0.0), 1.0)


def _reference_rates(candidates: Sequence[Candidate]) -> list[Rates]:
    """Raises ValueError for candidates that have none."""
    if missing := [c.row for c in candidates if c.prompt.reference_rates is None]:
        raise ValueError(f"the prompts of rows {missing} have no reference pass rates: give --data.reference_rate_keys")
    return [c.prompt.reference_rates for c in candidates if c.prompt.reference_rates is not None]
