"""A synthetic run that judges selectors by what they choose: no model, pass rates that are known.

Pass rates are a logistic function of difficulty, and rise over training, each prompt's at a speed of its own, whatever
is selected: all selectors meet the same prompts in the same state. Perplexity and length are noisy functions of
difficulty, and all perplexities fall over training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from tiny_candidates import make_candidate
from torch import Tensor

from prepo_rlhf.algorithm.ppl_window import progress
from prepo_rlhf.selection import Candidate, PromptOutcome, PromptSelector

NUM_PROMPTS, NUM_CANDIDATES, NUM_SELECTED, NUM_ROLLOUTS, NUM_EPOCHS = 2400, 80, 16, 8, 3


class OracleSelector(PromptSelector):
    """The K candidates whose true pass rate is nearest 1/2."""

    def __init__(self, population: Population) -> None:
        self._population = population

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        p = self._population.pass_rates(progress)[[c.row for c in candidates]]
        return (p - 0.5).abs().argsort()[:k].tolist()


class Population:
    """Prompts, and what the policy makes of them at a point of training.

    Args:
        seed: of the prompts.
        ppl_correlation: of log perplexity with difficulty.
        length_correlation: of log length with difficulty.
    """

    def __init__(self, seed: int, ppl_correlation: float, length_correlation: float) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        difficulty = self._normal()
        self._difficulty = 2.5 * difficulty
        self._log_ppl = 1.5 + 0.4 * self._correlated(difficulty, ppl_correlation)
        self._num_tokens = (4.5 + 0.5 * self._correlated(difficulty, length_correlation)).exp().long().tolist()
        self._speed = 3.0 + 0.75 * self._normal()

    def pass_rates(self, progress: float) -> Tensor:
        return torch.sigmoid(-2.0 + self._speed * progress - self._difficulty)

    def candidates(self, indices: Sequence[int], progress: float) -> list[Candidate]:
        ppl = (self._log_ppl - 0.5 * progress).exp().tolist()
        return [make_candidate(i, self._num_tokens[i], perplexity=ppl[i]) for i in indices]

    def _normal(self) -> Tensor:
        return torch.randn(NUM_PROMPTS, generator=self._generator, dtype=torch.float64)

    def _correlated(self, with_: Tensor, correlation: float) -> Tensor:
        return correlation * with_ + math.sqrt(1 - correlation**2) * self._normal()


def informativeness(selector: PromptSelector, population: Population, seed: int, delay: int = 0) -> float:
    """Mean p (1 - p) of the prompts selected over three epochs (90 steps, K = 16 of 80, n = 8).

    Args:
        seed: of the shuffles and the rewards.
        delay: steps by which outcomes are observed late, as in asynchronous training.
    """
    generator = torch.Generator().manual_seed(seed)
    total, waiting = 0.0, []
    epochs = [torch.randperm(NUM_PROMPTS, generator=generator) for _ in range(NUM_EPOCHS)]
    batches = torch.cat(epochs).split(NUM_CANDIDATES)
    for step, batch in enumerate(batches):
        rho = progress(step, len(batches))
        candidates = population.candidates(batch.tolist(), rho)
        selected = [candidates[i].row for i in selector.select(candidates, NUM_SELECTED, rho)]
        p = population.pass_rates(rho)[selected]
        total += (p * (1 - p)).mean().item()
        draws = torch.rand(NUM_SELECTED, NUM_ROLLOUTS, generator=generator, dtype=torch.float64)
        rewards = (draws < p[:, None]).double().tolist()
        waiting.append([PromptOutcome(index, tuple(group)) for index, group in zip(selected, rewards, strict=True)])
        if len(waiting) > delay:
            selector.observe(waiting.pop(0))
    return total / len(batches)
